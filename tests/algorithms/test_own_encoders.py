"""Learners with an encoder that declares nothing: many tasks at once equal a loop."""

import copy

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import LRD2, R2D2, MemoryLearner, ProtoMAML, ProtoNet, StackedLearner
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.memory import STORES, SlotStore
from l2l_rnn.models import MemoryModel
from l2l_rnn.nn import Linear, convert

TASKS, BATCH, STEPS, FEATURES, WAYS, SIZE = 3, 6, 5, 2, 3, 4


class Encoder(nn.Module):
    """A convolution, an LSTM and normalization, written for one task."""

    output_size = SIZE

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(FEATURES, 5, 3, padding=1)
        self.lstm = nn.LSTM(5, SIZE, batch_first=True)
        self.norm = nn.BatchNorm1d(SIZE)

    def forward(self, x):
        outputs, _ = self.lstm(self.convolution(x.transpose(1, 2)).transpose(1, 2))
        return self.norm(outputs[:, -1])


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = Encoder(), Linear(SIZE, WAYS)


def memory_learner(name, **options):
    slots = {"slots": 20} if issubclass(STORES[name], SlotStore) else {}
    return lambda: MemoryLearner(
        MemoryModel(convert(Encoder()), STORES[name](SIZE, WAYS, **slots)), **options
    )


LEARNERS = {
    "ProtoNet": lambda: ProtoNet(convert(Encoder()), ways=WAYS),
    "R2D2": lambda: R2D2(convert(Encoder()), ways=WAYS),
    "LRD2": lambda: LRD2(convert(Encoder()), ways=WAYS),
    "stacked": lambda: StackedLearner(
        convert(Encoder()), WAYS, [ProtoNet(nn.Identity(), WAYS), R2D2(nn.Identity(), WAYS)]
    ),
    "ProtoMAML": lambda: ProtoMAML(convert(Classifier()), lr=0.1),
    "hybrid": memory_learner("delta", lr=0.1),
    **{name: memory_learner(name) for name in STORES},
}


def make(name):
    torch.manual_seed(0)
    return LEARNERS[name]().double()


def data(seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(TASKS, BATCH, STEPS, FEATURES, generator=generator, dtype=torch.float64)
    return x, torch.arange(BATCH).remainder(WAYS).expand(TASKS, BATCH)


def run(learner, support, query):
    """Write the support set, adapt to it, and return the scores of the query set."""
    learner.write(*support)
    learner.adapt(cross_entropy(learner(support[0]), support[1]))
    return learner(query[0])


@pytest.mark.parametrize("name", LEARNERS)
def test_many_tasks_equal_a_loop(name):
    one, support, query = make(name), data(1), data(2)
    many = copy.deepcopy(one)
    got = run(many.clone(tasks=TASKS), support, query)
    expected = torch.stack([run(one.clone(), *task) for task in task_data(support, query)])
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)
    got.sin().sum().backward()
    expected.sin().sum().backward()
    for (parameter, value), other in zip(one.named_parameters(), many.parameters(), strict=True):
        if value.grad is None:
            assert other.grad is None, parameter
        else:
            torch.testing.assert_close(other.grad, value.grad, rtol=1e-8, atol=1e-10)


def task_data(support, query):
    """Yield the support and the query set of each task."""
    for n in range(TASKS):
        yield [(support[0][n], support[1][n]), (query[0][n], query[1][n])]


@pytest.mark.parametrize("name", LEARNERS)
def test_a_recurrent_layer_of_torch_raises(name):
    learner = make(name)
    encoder = learner.module if hasattr(learner, "encoded") else learner.module.encoder
    encoder.lstm = nn.LSTM(5, SIZE, batch_first=True)
    with pytest.raises(ArgumentTypeError, match=r"lstm is torch.s LSTM; convert"):
        learner.clone(tasks=TASKS)
