"""`select_task`: the learner of one task."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import (
    ANIL,
    MAML,
    MAMLPlusPlus,
    MetaSGD,
    ProtoMAML,
    ProtoNet,
    Reptile,
    select_task,
)
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.models import SequenceClassifier, SequenceEncoder


class Own(nn.Module):
    """A model with layers of torch, which runs under vmap."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.conv(x.mT).mean(-1))


def classifier():
    return SequenceClassifier(2, input_size=3, hidden_size=4)


LEARNERS = {
    "MAML": lambda: MAML(classifier(), 0.1),
    "MAML, own model": lambda: MAML(Own(), 0.1),
    "MAML, momentum": lambda: MAML(classifier(), 0.1, momentum=0.9),
    "MAML, part": lambda: MAML(classifier(), 0.1, adapts="head"),
    "MetaSGD": lambda: MetaSGD(classifier(), 0.1),
    "MAML++": lambda: MAMLPlusPlus(classifier(), 0.1),
    "ANIL": lambda: ANIL(classifier(), 0.1),
    "Reptile": lambda: Reptile(classifier(), 0.1),
}


@pytest.mark.parametrize("kind", LEARNERS)
def test_the_learner_of_one_task(kind):
    torch.manual_seed(0)
    maml = LEARNERS[kind]().double()
    learner = maml.clone(tasks=3)
    x = torch.randn(3, 5, 6, 3, dtype=torch.float64)
    learner.adapt(learner(x).square().mean((1, 2)))
    learner.accumulate(learner(x + 1).square().mean((1, 2)))
    expected = learner(x)
    for n in range(3):
        one = select_task(learner, n)
        assert type(one) is type(maml)
        assert (one.tasks, one.steps_taken) == (None, learner.steps_taken)
        torch.testing.assert_close(one(x[n]), expected[n])
        shapes = [p.shape for p in maml.module.parameters()]
        assert [p.shape for p in one.module.parameters()] == shapes
    # it goes on like the task it was, and its gradients reach the initialization
    one = select_task(learner, 2)
    one.adapt(one(x[2]).square().mean())
    learner.adapt(learner(x).square().mean((1, 2)))
    torch.testing.assert_close(one(x[2]), learner(x)[2])
    leaves = list(maml.module.parameters())
    gradients = [
        torch.autograd.grad(y.sum(), leaves, retain_graph=True, allow_unused=True)
        for y in (one(x[2]), learner(x)[2])
    ]
    torch.testing.assert_close(*gradients)


def test_bad_arguments():
    maml = MAML(classifier(), 0.1)
    with pytest.raises(ArgumentError, match="select_task: the learner has no task axis"):
        select_task(maml.clone(), 0)
    learner = maml.clone(tasks=2)
    for task in (2, -1, True, None):
        with pytest.raises(ArgumentError, match="task must be an integer from 0 to 1"):
            select_task(learner, task)
    for other in (learner.module, ProtoNet(SequenceEncoder(input_size=3), ways=2)):
        with pytest.raises(ArgumentTypeError, match="learner must be a MAML learner"):
            select_task(other, 0)


def test_a_task_of_protomaml():
    torch.manual_seed(0)
    proto = ProtoMAML(SequenceClassifier(2, input_size=3), lr=0.1)
    many, x = proto.clone(tasks=3), torch.randn(3, 4, 5, 3)
    y = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0], [1, 1, 1, 1]])  # some classes are absent
    many.write(x, y)
    for n in range(3):
        single = proto.clone()
        single.write(x[n], y[n], ways=2)
        one = select_task(many, n)
        torch.testing.assert_close(one(x[n]), single(x[n]), rtol=1e-4, atol=1e-4)
        one.adapt(one(x[n]).square().mean())
