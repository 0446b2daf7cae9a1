"""Reptile: its distance; the contract tests cover the rest."""

import pytest
import torch
from torch import nn

from l2l_rnn.algorithms import Reptile
from l2l_rnn.errors import AdaptationError


@pytest.mark.parametrize("tasks", [None, 3])
def test_the_gradient_of_the_distance_is_start_minus_end(tasks):
    torch.manual_seed(0)
    reptile = Reptile(nn.Linear(2, 1), 0.1)
    learner = reptile.clone(tasks=tasks)
    x = torch.randn(*([] if tasks is None else [tasks]), 5, 2)
    for _ in range(2):
        learner.adapt(learner(x).square().mean((-1, -2)))
    distance = learner.distance()
    assert distance.shape == (() if tasks is None else (tasks,))
    distance.sum().backward()
    for p, adapted in zip(reptile.module.parameters(), learner.module.parameters(), strict=True):
        difference = p - adapted if tasks is None else (p - adapted).sum(0)
        torch.testing.assert_close(p.grad, difference)


def test_only_a_clone_has_a_distance():
    with pytest.raises(AdaptationError, match=r"^Reptile\.distance: .*; call clone\(\) first"):
        Reptile(nn.Linear(1, 1), 0.1).distance()
