"""Small models of each kind of learner, and texts and series that they can tell apart."""

import random

import learn2learn
import numpy as np
import torch
from torch import nn

from l2l_rnn.algorithms import (
    LRD2,
    MAML,
    R2D2,
    DistributionalSignatures,
    EnsemblePrior,
    GaussianPrior,
    MemoryLearner,
    ProtoMAML,
    ProtoNet,
    StackedLearner,
    TfIdfLearner,
)
from l2l_rnn.data import CharacterVocabulary
from l2l_rnn.memory import DeltaFastWeights, KeyValueMemory
from l2l_rnn.models import EncoderEnsemble, MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.nn import Embedding
from l2l_rnn.training import Pretrained, SeriesInputs, TextInputs

ALPHABETS = {"ann": "abcd", "bob": "efgh", "cid": "ijkl", "dan": "mnop", "eve": "qrst"}
VOCABULARY = CharacterVocabulary(ALPHABETS.values())
SIZE = {"vocab_size": len(VOCABULARY), "embedding_size": 8, "hidden_size": 8}


def texts(names=("ann", "bob", "cid"), each=4, seed=0):
    """Return texts of letters of each class, in turn, and their classes."""
    draw = random.Random(seed)
    rows = [
        ("".join(draw.choices(ALPHABETS[name], k=draw.randint(3, 7))), name)
        for _ in range(each)
        for name in names
    ]
    return [text for text, _ in rows], [name for _, name in rows]


def series(ways=3, each=4, seed=0):
    """Return noisy waves of different frequencies and lengths, and their classes."""
    draw = np.random.default_rng(seed)
    rows = [
        (np.sin(np.arange(draw.integers(12, 20)) * (c + 1) / 2) + 2 * c + draw.normal(0, 0.1), c)
        for _ in range(each)
        for c in range(ways)
    ]
    return [np.asarray(wave) for wave, _ in rows], [c for _, c in rows]


def _encoder(**options):
    return SequenceEncoder(pooling="mean", **{**SIZE, **options})


def _fitted(prior, size):
    draw = torch.Generator().manual_seed(3)
    means = torch.randn(30, 1, size, generator=draw) / 4
    vectors = means + torch.randn(30, 8, size, generator=draw) / 8
    return prior.fit(vectors.flatten(0, 1), torch.arange(240) // 8)


def _protonet():
    return ProtoNet(_encoder(), ways=2)


def _protonet_with_prior():
    return ProtoNet(_encoder(), ways=2, prior=_fitted(GaussianPrior(8), 8))


def _ensemble():
    parts = [_encoder(), _encoder()]
    prior = EnsemblePrior([_fitted(GaussianPrior(8), 8) for _ in parts])
    return ProtoNet(EncoderEnsemble(parts), ways=5, prior=prior)


def _tfidf():
    return TfIdfLearner(2, (1, 2), 10.0)


def _stacked():
    prior = _fitted(GaussianPrior(8), 8)
    members = [R2D2(nn.Identity(), 2), ProtoNet(nn.Identity(), 2, prior)]
    return StackedLearner(_encoder(), 2, members, [TfIdfLearner(2, (1, 2))])


def _ridge():
    return R2D2(_encoder(), ways=2)


def _logistic():
    return LRD2(_encoder(), ways=2, regularization=0.01)


def _signatures():
    learner = DistributionalSignatures(Embedding(len(VOCABULARY), 8), 2, len(VOCABULARY))
    return learner.fit(torch.arange(2, len(VOCABULARY)).unsqueeze(0))


def _slots():
    return MemoryLearner(MemoryModel(_encoder(), KeyValueMemory(8, 5, slots=200)))


def _fast_weights():
    return MemoryLearner(MemoryModel(_encoder(), DeltaFastWeights(8, 5)))


def _hybrid():
    return MemoryLearner(MemoryModel(_encoder(), KeyValueMemory(8, 5, slots=200)), lr=0.1)


def _maml():
    return MAML(SequenceClassifier(5, **SIZE), lr=0.5)


def _protomaml():
    return ProtoMAML(SequenceClassifier(2, **SIZE), lr=0.1)


class TorchClassifier(nn.Module):
    """A classifier without parts of this package, for learn2learn's own MAML."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(len(VOCABULARY), 8, padding_idx=0)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        inside = (x != 0).unsqueeze(-1)
        return self.head((self.embedding(x) * inside).sum(-2) / inside.sum(-2).clamp_min(1))


def _learn2learn():
    return learn2learn.algorithms.MAML(TorchClassifier(), lr=0.5)


LEARNERS = {
    "protonet": _protonet,
    "prior": _protonet_with_prior,
    "ensemble": _ensemble,
    "ridge": _ridge,
    "tfidf": _tfidf,
    "stacked": _stacked,
    "logistic": _logistic,
    "signatures": _signatures,
    "slots": _slots,
    "fast weights": _fast_weights,
    "hybrid": _hybrid,
    "maml": _maml,
    "protomaml": _protomaml,
    "learn2learn": _learn2learn,
}
REFITS = {"hybrid", "maml", "protomaml", "learn2learn"}


def make_learner(name):
    torch.manual_seed(0)
    return LEARNERS[name]().eval()


def make_model(name, **options):
    return Pretrained(make_learner(name), TextInputs(VOCABULARY, max_length=20), **options)


def make_series_model(channels=1):
    torch.manual_seed(0)
    encoder = SequenceEncoder(input_size=channels, hidden_size=16, pooling="mean")
    return Pretrained(ProtoNet(encoder, ways=3).eval(), SeriesInputs(channels, 0.0, 1.0))
