"""Learners of every kind, and small data sets."""

import learn2learn as l2l
import torch

from l2l_rnn.algorithms import (
    LRD2,
    MAML,
    R2D2,
    MAMLPlusPlus,
    MemoryLearner,
    ProtoMAML,
    ProtoNet,
    Reptile,
)
from l2l_rnn.data import SequenceDataset
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder

WAYS = 3


def classifier(**options):
    return SequenceClassifier(WAYS, input_size=2, hidden_size=4, **options)


def encoder():
    return SequenceEncoder(input_size=2, hidden_size=4)


def memory_model():
    return MemoryModel(encoder(), DeltaFastWeights(4, WAYS))


LEARNERS = {
    "MAML": lambda: MAML(classifier(), 0.1),
    "MAML++": lambda: MAMLPlusPlus(classifier(), 0.1, steps=2),
    "Reptile": lambda: Reptile(classifier(), 0.1),
    "ProtoMAML": lambda: ProtoMAML(classifier(), 0.1),
    "ProtoNet": lambda: ProtoNet(encoder(), WAYS),
    "R2D2": lambda: R2D2(encoder(), WAYS),
    "LRD2": lambda: LRD2(encoder(), WAYS),
    "memory": lambda: MemoryLearner(memory_model()),
    "hybrid": lambda: MemoryLearner(memory_model(), lr=0.1),
    "learn2learn": lambda: l2l.algorithms.MAML(classifier(), 0.1),
    "Meta-SGD of learn2learn": lambda: l2l.algorithms.MetaSGD(classifier(), 0.1),
}


def dataset(sizes=(8, 8, 8, 8, 8), seed=0):
    """Classes of noisy sequences around a class mean."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((size,), n) for n, size in enumerate(sizes)])
    means = torch.randn(len(sizes), 2, generator=generator)
    noise = torch.randn(len(labels), 4, 2, generator=generator)
    return SequenceDataset(means[labels].unsqueeze(1) + 0.3 * noise, labels)
