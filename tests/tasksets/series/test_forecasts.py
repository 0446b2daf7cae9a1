"""Recorded series: values that are known, splits by source, and queries at their end."""

import random
import sys

import numpy as np
import pytest
import torch

from l2l_rnn.errors import DataError, MissingExtraError, UnknownNameError
from l2l_rnn.tasksets import RecordedSeries, get_tasksets
from l2l_rnn.tasksets.series import recorded_series as module

pytest.importorskip("statsmodels")
pytest.importorskip("bokeh_sampledata")


def test_series_are_those_of_the_packages():
    by_name = {s.name: s for s in RecordedSeries(split="test").series}
    airline = by_name["airline"]
    assert airline.values[[0, 1, -1]].tolist() == [112, 118, 432]
    assert airline.period == 12
    assert by_name["nile"].values[0] == 1120
    assert by_name["elnino 5"].values[-1] == pytest.approx(22.07, abs=1)
    assert all(np.isfinite(s.values).all() for s in by_name.values())
    assert all(len(s.values) == module.PIECE for name, s in by_name.items() if "co2" in name)


def test_sources_are_in_one_split():
    sources = [source for split in module.SOURCES.values() for source in split]
    assert len(set(sources)) == len(sources)
    assert set(sources) == set(module._READERS)


def test_queries_are_the_last_steps():
    tasksets = get_tasksets("forecasting", train_samples=20, test_samples=20)
    dataset = tasksets.test.source
    batch = dataset.draw(30, 10, 2, torch.Generator().manual_seed(0))
    found = dataset.to_units(batch.query_y, batch.query_indices)[..., 0]
    groups = dataset.groups[batch.query_indices[:, 0]]
    for task, group in enumerate(groups.tolist()):
        expected = torch.tensor(dataset.series[group].values[-24:]).float().reshape(2, 12)
        torch.testing.assert_close(found[task], expected, rtol=1e-4, atol=1e-3)
    ends = dataset.starts[batch.support_indices] + 60
    lengths = torch.tensor([len(dataset.series[g].values) for g in groups.tolist()])
    assert (ends <= (lengths - 24).unsqueeze(1)).all()
    random.seed(0)
    x, y = tasksets.test.sample()
    assert x.shape == (20, 48, 2)
    lasts = torch.stack([dataset.targets[dataset.groups == g][-1] for g in groups.unique()])
    assert (y[-1] == lasts).all(-1).any() or len(groups.unique()) < len(dataset.series)


def test_missing_packages_and_bad_arguments(monkeypatch):
    with pytest.raises(UnknownNameError, match="unknown split 'tests'"):
        RecordedSeries(split="tests")
    with pytest.raises(DataError, match=r"'airline' must have at least .* = 152 steps, got 144"):
        RecordedSeries(split="test", context=140)
    monkeypatch.setitem(sys.modules, "bokeh_sampledata", None)
    module.recorded_series.cache_clear()
    with pytest.raises(MissingExtraError, match="extra 'forecasting'"):
        RecordedSeries(split="test")
