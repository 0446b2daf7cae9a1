"""Clones of MAML and their inner steps."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.functional import cross_entropy
from l2l_rnn.nn import Linear

TASKS = 4


@pytest.mark.parametrize("many", [None, 3])
def test_a_subclass_keeps_its_class_and_attributes(many, helpers):
    maml = helpers.Extended(Linear(2, 2), lr=0.1, note=["kept"], first_order=True)
    learner = maml.clone(tasks=many)
    assert type(learner) is helpers.Extended
    assert learner.note is maml.note
    assert learner.first_order
    assert learner.lr == 0.1


@pytest.mark.parametrize("many", [None, 3])
def test_a_subclass_keeps_its_own_parameters_modules_and_buffers(many, helpers):
    maml = helpers.Extended(Linear(2, 2), lr=0.1, note="kept")
    learner = maml.clone(tasks=many)
    assert learner.count.item() == 3
    assert learner.extra.weight.item() == maml.extra.weight.item()
    learner(torch.ones(3, 5, 2)).sum().backward()
    assert maml.scale.grad is not None


@pytest.mark.parametrize("many", [None, TASKS])
def test_clones_are_independent(many, helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    maml = MAML(ours, lr=0.3)
    before = helpers.snapshot(maml)
    first, second = maml.clone(tasks=many), maml.clone(tasks=many)
    second_before = helpers.snapshot(second)
    given, labels = (x, y) if many else (x[0], y[0])
    first.adapt(cross_entropy(first(given), labels))
    assert helpers.same_parameters(maml, before)
    assert helpers.same_parameters(second, second_before)
    assert not helpers.same_parameters(first, second_before)
    again = first.clone()
    assert helpers.same_parameters(again, first.state_dict())
    first_before = helpers.snapshot(first)
    again.adapt(cross_entropy(again(given), labels))
    assert helpers.same_parameters(first, first_before)
    assert again.tasks == first.tasks


def test_flags_of_a_clone_override():
    maml = MAML(nn.Linear(2, 2), lr=0.1)
    assert not maml.first_order
    learner = maml.clone(first_order=True, allow_unused=True, allow_nograd=True)
    assert (learner.first_order, learner.allow_unused, learner.allow_nograd) == (True, True, True)
    assert (maml.first_order, maml.allow_unused, maml.allow_nograd) == (False, False, False)
    assert learner.clone(first_order=False).first_order is False
    assert MAML(nn.Linear(2, 2), 0.1, allow_nograd=True).allow_unused is True  # as learn2learn's


def test_clones_keep_the_training_mode():
    maml = MAML(nn.Sequential(nn.Dropout(0.5), Linear(2, 2)), lr=0.1)
    maml.eval()
    learner = maml.clone(tasks=2)
    assert not learner.module.training
    assert not learner.training


def test_a_learned_lr(helpers):
    lr = torch.tensor(0.1, requires_grad=True)
    x, y, *_ = helpers.tasks()
    ours, _ = helpers.ours_and_theirs()
    learner = MAML(ours, lr=lr).clone(tasks=TASKS)
    learner.adapt(cross_entropy(learner(x), y))
    cross_entropy(learner(x), y).sum().backward()
    assert lr.grad.item() < 0  # a larger step would fit the support set better


def test_several_steps_lower_the_loss(helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    learner = MAML(ours, lr=0.5, first_order=True).clone(tasks=TASKS)
    losses = []
    for _ in range(8):
        losses.append(cross_entropy(learner(x), y))
        learner.adapt(losses[-1])
    assert (losses[-1] < losses[0]).all()


def test_first_order_builds_no_graph_through_the_step(helpers):
    (ours, _), (x, y, *_) = helpers.ours_and_theirs(), helpers.tasks()
    learner = MAML(ours, lr=0.3).clone(tasks=TASKS)
    learner.adapt(cross_entropy(learner(x), y), first_order=True)
    torch.testing.assert_close(
        torch.autograd.grad(sum(p.sum() for p in learner.parameters()), ours.head.bias),
        (torch.full_like(ours.head.bias, TASKS),),
    )
