"""Copying, once and repeatedly: the exact layout, ranges, and lengths beyond the range."""

import math

import pytest
import torch
from torch import Generator

from l2l_rnn.tasksets import Copy, RepeatCopy


def seeded(seed):
    return Generator().manual_seed(seed)


def test_layout_of_copy():
    inputs, targets, mask = Copy(bits=2).at(2).sequences(50, seeded(0))
    for steps, bits in zip(inputs.tolist(), targets.tolist(), strict=True):
        (a, b, _), (c, d, _) = steps[:2]
        assert steps == [[a, b, 0], [c, d, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
        assert bits == [[0, 0], [0, 0], [0, 0], [a, b], [c, d]]
    assert (mask == torch.tensor([False, False, False, True, True])).all()
    assert inputs[:, :2, :2].mean().item() == pytest.approx(0.5, abs=0.1)


def test_layout_of_a_shorter_copy_in_a_task():
    nan = math.nan
    x, y = Copy(bits=1, lengths=(1, 2)).examples(torch.tensor([[1]]), 1, seeded(0))
    bit = x[0, 0, 0, 0].item()
    expected_x = torch.tensor([[bit, 0], [0, 1], [0, 0], [nan, nan], [nan, nan]])
    expected_y = torch.tensor([[nan], [nan], [bit], [nan], [nan]])
    torch.testing.assert_close(x[0, 0], expected_x, equal_nan=True)
    torch.testing.assert_close(y[0, 0], expected_y, equal_nan=True)


@pytest.mark.parametrize(("repeats", "number"), [(1, -1.5), (4, 1.5), (2, -0.5)])
def test_layout_of_repeat_copy(repeats, number):
    family = RepeatCopy(bits=1, repeats=(1, 4))
    number /= math.sqrt(1.25)  # the standard deviation of 1, 2, 3, 4
    inputs, targets, mask = family.at(2, repeats).sequences(20, seeded(0))
    for steps, bits in zip(inputs, targets.tolist(), strict=True):
        a, b = steps[:2, 0].tolist()
        blank = [[0.0, 0.0, 0.0]] * (2 * repeats + 1)
        expected = torch.tensor([[a, 0, 0], [b, 0, 0], [0, number, 1], *blank])
        torch.testing.assert_close(steps, expected)
        assert bits == [[0, 0]] * 3 + [[a, 0], [b, 0]] * repeats + [[0, 1]]
    assert mask[0].tolist() == [False] * 3 + [True] * (2 * repeats + 1)


def test_the_number_of_repeats_has_mean_0_and_variance_1():
    family = RepeatCopy()
    values = []
    for repeats in range(1, 11):
        inputs = family.at(1, repeats).sequences(1, seeded(0)).inputs
        values.append(inputs[0, 1, 8].item())
    assert sum(values) == pytest.approx(0, abs=1e-5)
    assert sum(v * v for v in values) / 10 == pytest.approx(1)


def test_a_number_beyond_the_range_is_standardized_as_in_training():
    family = RepeatCopy()
    inputs, _, mask = family.at(10, 20).sequences(2, seeded(0))
    assert inputs.shape == (2, 10 + 1 + 200 + 1, 10)
    assert inputs[0, 10, 8].item() == pytest.approx((20 - 5.5) / math.sqrt(8.25))
    assert mask[0].sum() == 201
    assert (family.lengths, family.repeats) == ((1, 10), (1, 10))  # unchanged


def test_a_smaller_range_of_repeats_keeps_the_standardization():
    family = RepeatCopy()
    few = family.at((1, 10), (1, 2))
    assert (few.lengths, few.repeats) == ((1, 10), (1, 2))
    assert few.parameters(200, seeded(0)).amax(0).tolist() == [10, 2]
    numbers = {few.at(3, k).sequences(1).inputs[0, 3, 8].item() for k in (1, 2)}
    assert numbers == {family.at(3, k).sequences(1).inputs[0, 3, 8].item() for k in (1, 2)}


def test_a_single_number_of_repeats_is_shown_as_0():
    inputs = RepeatCopy(repeats=(3, 3)).sequences(1, seeded(0)).inputs
    assert not inputs.isnan().any()
    assert (inputs[..., 8] == 0).all()
    assert inputs[..., 9].sum() == 1


@pytest.mark.parametrize("length", [20, 50, 120])
def test_lengths_beyond_the_range(length):
    family = Copy()
    inputs, targets, _ = family.at(length).sequences(3, seeded(0))
    assert inputs.shape == (3, 2 * length + 1, 9)
    assert torch.equal(targets[:, length + 1 :], inputs[:, :length, :8])
    assert family.lengths == (1, 20)


def test_lengths_and_repeats_are_uniform():
    lengths = Copy().parameters(20_000, seeded(0))
    assert torch.bincount(lengths.flatten()).tolist() == pytest.approx([0] + [1000] * 20, abs=150)
    both = RepeatCopy(lengths=(2, 3), repeats=(4, 5)).parameters(4000, seeded(0))
    found, counts = both.unique(dim=0, return_counts=True)
    assert found.tolist() == [[2, 4], [2, 5], [3, 4], [3, 5]]
    assert counts.tolist() == pytest.approx([1000] * 4, abs=120)
