"""Small learners, and options of a Trainer, that the tests of training share."""

import learn2learn as l2l
from torch import nn

from l2l_rnn.algorithms import (
    ANIL,
    BOIL,
    LRD2,
    MAML,
    R2D2,
    MAMLPlusPlus,
    MemoryLearner,
    MetaSGD,
    ProtoMAML,
    ProtoNet,
    Reptile,
    StackedLearner,
)
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder

WAYS = 3


def _model(vocab_size):
    return SequenceClassifier(WAYS, vocab_size=vocab_size, hidden_size=8)


def _encoder(vocab_size):
    return SequenceEncoder(vocab_size=vocab_size, hidden_size=8)


def _memory_model(vocab_size):
    return MemoryModel(_encoder(vocab_size), DeltaFastWeights(8, WAYS))


LEARNERS = {
    "MAML": lambda size: MAML(_model(size), 0.1),
    "first order": lambda size: MAML(_model(size), 0.1, first_order=True),
    "MAML++": lambda size: MAMLPlusPlus(_model(size), 0.1, steps=2),
    "MetaSGD": lambda size: MetaSGD(_model(size), 0.1),
    "ANIL": lambda size: ANIL(_model(size), 0.1),
    "BOIL": lambda size: BOIL(_model(size), 0.1),
    "Reptile": lambda size: Reptile(_model(size), 0.1),
    "ProtoMAML": lambda size: ProtoMAML(_model(size), 0.1),
    "ProtoNet": lambda size: ProtoNet(_encoder(size), WAYS),
    "R2D2": lambda size: R2D2(_encoder(size), WAYS),
    "stacked": lambda size: StackedLearner(
        _encoder(size), WAYS, [ProtoNet(nn.Identity(), WAYS), R2D2(nn.Identity(), WAYS)]
    ),
    "LRD2": lambda size: LRD2(_encoder(size), WAYS),
    "memory": lambda size: MemoryLearner(_memory_model(size)),
    "hybrid": lambda size: MemoryLearner(_memory_model(size), lr=0.1),
    "learn2learn": lambda size: l2l.algorithms.MAML(_model(size), 0.1),
}
# Options of a Trainer that writes nothing.
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
