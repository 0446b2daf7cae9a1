"""Drawn series: windows, splits of support and query, and the parts of the series."""

import pytest
import torch

from l2l_rnn.data import SourceTaskset
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets import SeasonalSeries
from l2l_rnn.tasksets.synthetic.seasonal import PERIODS


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def units(windows):
    """Return contexts and targets in the units of their series, `(N, B, context + horizon)`."""
    scaled = torch.cat([windows.inputs[..., 0], windows.targets], -1)
    return scaled * windows.std + windows.mean


@pytest.mark.parametrize(("stride", "shots", "queries"), [(1, 9, 1), (3, 5, 2), (1, 1, 1)])
def test_queries_follow_the_support_windows(stride, shots, queries):
    family = SeasonalSeries(8, 4, stride)
    steps = family.history(shots) + queries * 4
    series, period = family.series(family.parameters(6, seeded()), steps, seeded(1))
    assert series.shape == (6, steps)
    support, query = family.split(series, period, shots, queries)
    origin = steps - 4 * queries
    for b in range(shots):
        end = origin - stride * (shots - 1 - b)  # the last support targets end at the origin
        expected = series[:, end - 12 : end]
        torch.testing.assert_close(units(support)[:, b], expected, rtol=1e-4, atol=1e-4)
    for b in range(queries):
        end = origin + 4 * (b + 1)
        expected = series[:, end - 12 : end]
        torch.testing.assert_close(units(query)[:, b], expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(support.inputs[:, 0, 0, 1], period)
    values = query.inputs[..., 0]
    torch.testing.assert_close(values.mean(-1), torch.zeros(6, queries), atol=1e-4, rtol=0)
    torch.testing.assert_close(values.std(-1, unbiased=False), torch.ones(6, queries))


def test_tasks_of_learn2learn_share_no_targets():
    family = SeasonalSeries(8, 4)
    parameters = family.parameters(1, seeded())
    x, y = family.examples(parameters, 5, seeded(1))
    series, period = family.series(parameters, 8 + 20, seeded(1))
    found = family.windows(series, period, 4 * torch.arange(5))
    assert torch.equal(x, found.inputs)
    targets = units(found)[0, :, 8:].flatten()
    torch.testing.assert_close(targets, series[0, 8:], rtol=1e-4, atol=1e-4)
    x, y = SourceTaskset(family, ways=1, samples=7).sample()
    assert x.shape == (7, 8, 2)
    assert y.shape == (7, 4)


def test_series_have_their_seasons():
    """On average, a series with a season resembles itself one season later, more than others do."""
    family = SeasonalSeries()
    series, period = family.series(family.parameters(2000, seeded()), 240, seeded(1))
    assert series.isfinite().all()
    assert set(period.tolist()) == set(PERIODS)
    scaled = (series - series.mean(-1, keepdim=True)) / series.std(-1, keepdim=True)
    for m in (7, 12):
        own = scaled[period == m]
        at = {k: (own[:, k:] * own[:, :-k]).mean().item() for k in (m // 2, m)}
        assert at[m] > at[m // 2] + 0.2


def test_draws_are_reproducible_and_differ_by_split():
    family = SeasonalSeries(8, 4)
    first, again, other = (family.draw(3, 4, 1, seeded(s)).query_y for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    train, test = (family.for_split(s).draw(3, 4, 1, seeded()).query_y for s in ("train", "test"))
    assert not torch.equal(train, test)


def test_bad_input_is_rejected():
    for options in ({"context": 1}, {"horizon": 0}, {"stride": 0}):
        with pytest.raises(ArgumentError, match=f"{next(iter(options))} must be"):
            SeasonalSeries(**options)
    family = SeasonalSeries(8, 4)
    with pytest.raises(DataError, match="9 support windows and 1 queries need 24 steps, got 23"):
        family.split(torch.randn(1, 23), torch.ones(1), 9, 1)
