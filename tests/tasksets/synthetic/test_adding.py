"""The adding problem: its marks and variance, an exact solver, the card and the options."""

import random

import numpy as np
import pytest
import torch
from torch import Generator

from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets import Adding, get_tasksets, list_tasksets


def seeded(seed):
    return Generator().manual_seed(seed)


def test_two_marks_and_the_variance_of_targets():
    x, y = Adding(20).examples(Adding(20).parameters(2000, seeded(0)), 20, seeded(1))
    assert (x[:, :, 0, 1] == 1).all()
    assert ((x[..., 1] == -1).sum(-1) == 1).all()
    assert y.square().mean().item() == pytest.approx(Adding.VARIANCE, rel=0.05)
    assert Adding(20).error(torch.zeros_like(y), y).mean().item() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("shots", [2, 5])
def test_least_squares_on_the_marked_numbers_reaches_the_optimum(shots):
    family = Adding(50)
    batch = family.draw(50, shots, 4, seeded(0))

    def features(x):
        numbers, marks = x.double().unbind(-1)
        return torch.stack([(numbers * (marks == m)).sum(-1) for m in (1, -1)], -1)

    weights = torch.linalg.lstsq(features(batch.support_x), batch.support_y.double()).solution
    error = family.error((features(batch.query_x) @ weights).float(), batch.query_y)
    assert error.median().item() == pytest.approx(family.optimum, abs=1e-9)
    assert family.optimum == 0
    if shots == 5:
        assert error.max().item() == pytest.approx(0, abs=1e-4)


def test_tasksets_the_card_and_the_option_lag():
    card, tasksets = list_tasksets()["adding"], get_tasksets("adding", train_samples=10)
    assert card.chance == 1  # the error of predicting 0 is divided by itself
    assert card.baseline[1] == 0
    random.seed(0)
    x, y = tasksets.train.sample()
    assert x.shape == (10, 51, 2)
    assert y.shape == (10, 1)
    assert card.lengths == (51, 51)
    assert get_tasksets("adding", lag=np.int64(9)).test.sample()[0].shape == (10, 10, 2)


def test_an_invalid_lag_is_rejected():
    with pytest.raises(ArgumentError, match=r"Adding: lag must be a positive integer, got 2\.0"):
        Adding(2.0)
