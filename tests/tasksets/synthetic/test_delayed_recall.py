"""Delayed recall: permutations by split, distractors, an exact solver, the card and the options."""

import math
import random

import learn2learn
import numpy as np
import pytest
import torch
from torch import Generator, nn

from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets import DelayedRecall, get_tasksets, list_tasksets


def seeded(seed):
    return Generator().manual_seed(seed)


def label_of_the_same_symbol(batch):
    """Predict the label of the support example that starts with the same symbol."""
    first = batch.query_x[:, :, 0], batch.support_x[:, :, 0]
    same = (first[0].unsqueeze(2) == first[1].unsqueeze(1)).all(-1)  # (N, queries, support)
    labels = batch.support_y.gather(1, same.int().argmax(-1))
    return nn.functional.one_hot(labels, int(labels.max()) + 1).float()


def test_no_permutation_is_in_two_splits():
    families = [DelayedRecall(3, symbols=4, split=split) for split in SPLITS]
    rows = [{tuple(row) for row in family.permutations.tolist()} for family in families]
    assert sum(map(len, rows)) == len(set.union(*rows)) == math.factorial(4)
    assert [len(found) for found in rows] == [16, 4, 4]


def test_the_first_symbol_is_flagged_and_the_others_are_independent_of_it():
    x, _ = DelayedRecall(9).examples(torch.arange(5).unsqueeze(0), 200, seeded(0))
    assert (x[..., 0, -1] == 1).all()
    assert (x[..., 1:, -1] == 0).all()
    shown, later = x[0, :, 0, :-1].argmax(-1), x[0, :, 5, :-1].argmax(-1)
    assert (shown == later).float().mean() == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("shots", [2, 5])
def test_looking_up_the_symbol_reaches_the_optimum(shots):
    family = DelayedRecall(50)
    batch = family.draw(50, shots, 4, seeded(0))
    error = family.error(label_of_the_same_symbol(batch), batch.query_y)
    assert error.median().item() == pytest.approx(family.optimum, abs=1e-9)
    assert family.optimum == 0
    assert error.max().item() == pytest.approx(0, abs=1e-4)


def test_chance_level_and_baseline_of_the_card():
    card, family = list_tasksets()["lags"], DelayedRecall(50)
    batch = family.draw(200, 1, 20, seeded(0))
    accuracy = 1 - family.error(label_of_the_same_symbol(batch), batch.query_y)
    assert accuracy.mean() == card.baseline[1]
    random_outputs = torch.randn(200, 100, 5, generator=seeded(1))
    chance = 1 - family.error(random_outputs, batch.query_y).mean().item()
    assert chance == pytest.approx(card.chance, abs=0.01)


def test_each_taskset_has_the_permutations_of_its_split():
    tasksets = get_tasksets("lags", train_samples=10)
    random.seed(0)
    x, y = tasksets.train.sample()
    assert x.shape == (50, 51, 6)
    assert y.shape == (50,)
    assert list_tasksets()["lags"].lengths == (51, 51)
    assert tuple(taskset.source.split for taskset in tasksets) == SPLITS
    (support_x, support_y), (query_x, _) = learn2learn.data.partition_task(x, y, shots=5)
    assert support_x.shape == query_x.shape == (25, 51, 6)
    assert support_y.bincount().tolist() == [5] * 5


def test_options_reach_the_family():
    tasksets = get_tasksets("lags", 3, 10, 3, 10, lag=7, symbols=np.int64(3))
    assert repr(tasksets.validation.source) == "DelayedRecall(lag=7, symbols=3, split='validation')"
    with pytest.raises(
        DataError, match="ways must be 5, the number of classes in every task, got 4"
    ):
        get_tasksets("lags", train_ways=4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DelayedRecall(0), "lag must be a positive integer, got 0"),
        (lambda: DelayedRecall(3, symbols=2), "symbols must be an integer from 3 to 8, got 2"),
        (lambda: DelayedRecall(3, symbols=9), "symbols must be an integer from 3 to 8, got 9"),
        (lambda: DelayedRecall(3, split="dev"), "unknown split 'dev'.* Known: .*validation"),
    ],
)
def test_invalid_options_raise_a_clear_error(make, message):
    with pytest.raises(ArgumentError, match=f"DelayedRecall: {message}"):
        make()
