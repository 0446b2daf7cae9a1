"""The drawn series: shapes, seeds, difficulty, and errors."""

import pytest
import torch

from l2l_rnn.algorithms import NearestNeighbor
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import accuracy
from l2l_rnn.models import ResampledSeries
from l2l_rnn.tasksets import Shapelets, get_tasksets


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_series_are_standard_and_reproducible():
    family = Shapelets(ways=3, length=40)
    batch, again, other = (family.draw(6, 2, 4, seeded(seed)) for seed in (0, 0, 1))
    assert batch.support_x.shape == (6, 6, 40, 1)
    assert batch.query_y.tolist() == [[0] * 4 + [1] * 4 + [2] * 4] * 6
    assert torch.equal(batch.query_x, again.query_x)
    assert not torch.equal(batch.query_x, other.query_x)
    steps = batch.support_x.squeeze(-1)
    torch.testing.assert_close(steps.mean(-1), torch.zeros(6, 6), atol=1e-4, rtol=0)
    torch.testing.assert_close(steps.std(-1, correction=0), torch.ones(6, 6))


def test_series_of_a_class_are_alike_and_tasks_differ_in_difficulty():
    batch = Shapelets().draw(100, 5, 5, seeded(0))
    learner = NearestNeighbor(ResampledSeries(), 5).clone(tasks=100)
    learner.write(batch.support_x, batch.support_y)
    found = accuracy(learner(batch.query_x), batch.query_y)
    assert 0.5 < found.mean() < 0.8
    assert found.quantile(0.1) < 0.45
    assert found.quantile(0.9) > 0.9


def test_a_task_set_of_the_family():
    tasks = get_tasksets("shapelets", train_ways=5, train_samples=3, length=20)
    x, y = tasks.train.sample()
    assert x.shape == (15, 20, 1)
    assert y.bincount().tolist() == [3] * 5


def test_correct_predictions_have_no_error_and_a_small_loss():
    family = Shapelets(ways=2, length=10)
    _, y = family.examples(family.parameters(3), 4)
    right = 50.0 * torch.nn.functional.one_hot(y)
    assert family.error(right, y).tolist() == [0, 0, 0]
    assert family.loss(right, y).max() < 1e-6


@pytest.mark.parametrize("options", [{"ways": 1}, {"length": 7}])
def test_sizes_are_checked(options):
    with pytest.raises(
        ArgumentError, match=f"{next(iter(options))} must be an integer of at least"
    ):
        Shapelets(**options)
