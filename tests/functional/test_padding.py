"""Lengths and masks of padded sequences."""

import pytest
import torch

from l2l_rnn import functional


@pytest.mark.parametrize(
    ("tokens", "lengths"),
    [
        ([[1, 2, 0]], [2]),
        ([[0, 2, 0], [0, 0, 0], [1, 1, 1]], [2, 0, 3]),
        ([[[5], [0]]], [[1, 0]]),
        ([[-3, 0]], [1]),
    ],
)
def test_token_lengths(tokens, lengths):
    assert functional.token_lengths(torch.tensor(tokens)).tolist() == lengths


def test_step_lengths():
    nan = float("nan")
    x = torch.tensor([[[1, 1], [nan, nan]], [[nan, nan]] * 2, [[nan, nan], [nan, 1]], [[0, 0]] * 2])
    assert functional.step_lengths(x).tolist() == [1, 0, 2, 2]
    assert functional.step_lengths(x[None]).tolist() == [[1, 0, 2, 2]]


def test_no_steps_have_length_0():
    assert functional.token_lengths(torch.zeros(3, 0).long()).tolist() == [0, 0, 0]
    assert functional.step_lengths(torch.zeros(3, 0, 2)).tolist() == [0, 0, 0]


def test_step_mask():
    mask = functional.step_mask(torch.tensor([[0, 2], [3, 1]]), 3)
    assert mask.dtype == torch.bool
    assert mask.int().tolist() == [[[0, 0, 0], [1, 1, 0]], [[1, 1, 1], [1, 0, 0]]]
