"""Priority sort: the exact layout, and uniform, distinct priorities."""

import pytest
import torch
from torch import Generator

from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets import PrioritySort


def seeded(seed):
    return Generator().manual_seed(seed)


def test_layout():
    inputs, targets, mask = PrioritySort(bits=2, vectors=3, highest=2).sequences(50, seeded(0))
    for steps, bits in zip(inputs.tolist(), targets.tolist(), strict=True):
        shown = steps[:3]
        assert [row[3] for row in shown] == [0, 0, 0]
        assert steps[3:] == [[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
        first, second, _ = sorted(shown, key=lambda row: row[2], reverse=True)
        assert bits == [[0, 0]] * 4 + [first[:2], second[:2]]
    assert mask[0].tolist() == [False] * 4 + [True] * 2


def test_priorities_are_uniform_and_distinct():
    inputs = PrioritySort().sequences(2000, seeded(0)).inputs
    assert inputs.dtype == torch.float32
    priorities = inputs[:, :20, 8]
    assert (priorities.sort(-1).values.diff(dim=-1) > 0).all()
    assert -1 <= priorities.min() < -0.999
    assert 0.999 < priorities.max() < 1
    assert priorities.mean().item() == pytest.approx(0, abs=0.02)
    assert priorities.var().item() == pytest.approx(1 / 3, abs=0.01)


def test_at_returns_a_family_of_another_size():
    family = PrioritySort()
    assert family.at(30, 30).sequences(2).inputs.shape == (2, 61, 10)
    assert (family.vectors, family.highest) == (20, 16)


def test_tasks_have_no_parameters():
    assert PrioritySort().parameters(4).shape == (4, 0)


@pytest.mark.parametrize(
    "make", [lambda: PrioritySort(vectors=15), lambda: PrioritySort().at(15, 16)]
)
def test_more_outputs_than_inputs_are_rejected(make):
    with pytest.raises(ArgumentError, match="vectors must be from highest=16 to 16777216, got 15"):
        make()
