"""One learner of every kind, for the tests of saving."""

import learn2learn as l2l
import torch
from torch import nn

from l2l_rnn.algorithms import (
    ANIL,
    BOIL,
    LRD2,
    MAML,
    R2D2,
    DistributionalSignatures,
    EnsemblePrior,
    GaussianPrior,
    MAMLPlusPlus,
    MemoryLearner,
    MetaSGD,
    PerTensorLR,
    ProtoMAML,
    ProtoNet,
    ProximalRegularizer,
    Reptile,
    StackedLearner,
    TfIdfLearner,
)
from l2l_rnn.memory import DeltaFastWeights, KeyValueMemory, SlotMemory
from l2l_rnn.models import EncoderEnsemble, MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.nn import Embedding


def classifier():
    return SequenceClassifier(3, vocab_size=9, embedding_size=3, hidden_size=5, pooling="max")


def encoder():
    return SequenceEncoder(vocab_size=9, embedding_size=3, hidden_size=4, bidirectional=True)


def regularized():
    model = classifier()
    return MAML(model, lr=0.1, momentum=0.5, regularizer=ProximalRegularizer(model, 0.5))


def ensemble():
    priors = [GaussianPrior(8), GaussianPrior(8, shrinkage=0.7)]
    for prior in priors:
        prior.fit(torch.randn(20, 8), torch.arange(20) // 4)
    return ProtoNet(EncoderEnsemble([encoder(), encoder()]), ways=3, prior=EnsemblePrior(priors))


def stacked():
    prior = GaussianPrior(8).fit(torch.randn(20, 8), torch.arange(20) // 4)
    members = [ProtoNet(nn.Identity(), 3, prior), R2D2(nn.Identity(), 3)]
    return StackedLearner(encoder(), 3, members, [background()])


def background():
    return TfIdfLearner(3, (1, 2)).fit_background(torch.randint(0, 9, (30, 6)))


LEARNERS = {
    "MAML": lambda: MAML(classifier(), lr=0.1, momentum=0.5),
    "regularized": regularized,
    "learned": lambda: ProtoMAML(model := classifier(), PerTensorLR(model, 0.1, steps=2)),
    "MAML++": lambda: MAMLPlusPlus(classifier(), 0.1, steps=3, max_grad_norm=1.0),
    "MetaSGD": lambda: MetaSGD(classifier(), 0.2),
    "ANIL": lambda: ANIL(classifier(), torch.tensor(0.1)),
    "BOIL": lambda: BOIL(classifier(), 0.1),
    "Reptile": lambda: Reptile(classifier(), 0.1),
    "ProtoMAML": lambda: ProtoMAML(classifier(), 0.1),
    "ProtoNet": lambda: ProtoNet(encoder(), 3),
    "R2D2": lambda: R2D2(encoder(), 3),
    "stacked": stacked,
    "TfIdf": lambda: TfIdfLearner(3, (1, 2), head="ridge"),
    "LRD2": lambda: LRD2(encoder(), 3, 0.1),
    "DistributionalSignatures": lambda: DistributionalSignatures(
        Embedding(9, 5), 3, vocab_size=9, dropout=0.0
    ),
    "ensemble": ensemble,
    "key-value": lambda: MemoryLearner(MemoryModel(encoder(), KeyValueMemory(8, 3))),
    "slots": lambda: MemoryLearner(MemoryModel(encoder(), SlotMemory(8, 3, slots=32))),
    "hybrid": lambda: MemoryLearner(
        MemoryModel(encoder(), DeltaFastWeights(8, 3)), lr=0.1, adapts=["log_scale"]
    ),
    "all hybrid": lambda: MemoryLearner(MemoryModel(encoder(), DeltaFastWeights(8, 3)), lr=0.1),
}

# Those of learn2learn have a state, but no configuration.
WITH_LEARN2LEARN = {
    **LEARNERS,
    "learn2learn MAML": lambda: l2l.algorithms.MAML(classifier(), 0.1),
    "learn2learn MetaSGD": lambda: l2l.algorithms.MetaSGD(classifier(), 0.1),
}


def support(tasks=None, ways=3):
    """Token ids of 6 texts, and their classes; with a leading axis for tasks."""
    shape = (6, 5) if tasks is None else (tasks, 6, 5)
    x = torch.randint(2, 9, shape)
    return x, (torch.arange(6) % ways).expand(x.shape[:-1])
