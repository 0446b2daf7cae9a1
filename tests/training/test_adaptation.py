"""`adapted` adapts every kind of learner, for one task and for many."""

import learn2learn as l2l
import pytest
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
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.functional import cross_entropy
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.training import adapted


def classifier():
    return SequenceClassifier(2, input_size=3, hidden_size=4)


def encoder():
    return SequenceEncoder(input_size=3, hidden_size=4)


def memory_model():
    return MemoryModel(encoder(), DeltaFastWeights(4, 2))


LEARNERS = {
    "MAML": lambda: MAML(classifier(), 0.1),
    "MAML++": lambda: MAMLPlusPlus(classifier(), 0.1, steps=2),
    "Reptile": lambda: Reptile(classifier(), 0.1),
    "ProtoMAML": lambda: ProtoMAML(classifier(), 0.1),
    "ProtoNet": lambda: ProtoNet(encoder(), 2),
    "R2D2": lambda: R2D2(encoder(), 2),
    "LRD2": lambda: LRD2(encoder(), 2),
    "memory": lambda: MemoryLearner(memory_model()),
    "hybrid": lambda: MemoryLearner(memory_model(), lr=0.1),
    "learn2learn": lambda: l2l.algorithms.MAML(classifier(), 0.1),
}


@pytest.fixture
def tasks():
    torch.manual_seed(0)
    return torch.randn(3, 4, 6, 3), torch.tensor([0, 1, 0, 1]).expand(3, 4)


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_many_tasks_equal_one_at_a_time(make, tasks):
    x, y = tasks
    learner = make().double()
    outputs = adapted(learner, x.double(), y, tasks=3, steps=2)(x.double())
    for n in range(3):
        one = adapted(learner, x[n].double(), y[n], steps=2)(x[n].double())
        torch.testing.assert_close(outputs[n], one, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)
def test_adaptation_lowers_the_loss_and_reaches_the_parameters(make, tasks):
    x, y = tasks
    learner = make()
    before = [parameter.detach().clone() for parameter in learner.parameters()]
    copy = adapted(learner, x, y, tasks=3, steps=3)
    loss = cross_entropy(copy(x), y).sum()
    loss.backward()
    assert any(p.grad is not None and p.grad.any() for p in learner.parameters())
    assert all(torch.equal(p, q) for p, q in zip(learner.parameters(), before, strict=True))
    if isinstance(
        learner, ProtoNet | R2D2 | LRD2 | ProtoMAML | MemoryLearner
    ):  # those that bind labels
        assert loss < 3 * torch.tensor(2.0).log()


def test_each_step_is_reported(tasks):
    x, y = tasks
    for name in ("MAML", "memory", "hybrid", "ProtoMAML"):
        seen = []
        adapted(
            LEARNERS[name](), x, y, tasks=3, steps=3, after_step=lambda k, _, s=seen: s.append(k)
        )
        assert seen == [1, 2, 3], name


def test_reported_writes_equal_those_at_once(tasks):
    x, y = tasks
    learner = LEARNERS["memory"]()
    one = adapted(learner, x, y, tasks=3, steps=3)
    other = adapted(learner, x, y, tasks=3, steps=3, after_step=lambda *_: None)
    torch.testing.assert_close(one(x), other(x))


def test_a_module_is_not_a_learner():
    with pytest.raises(ArgumentTypeError, match=r"algorithms\.MAML"):
        adapted(torch.nn.Linear(2, 2), torch.zeros(1, 2), torch.zeros(1))
