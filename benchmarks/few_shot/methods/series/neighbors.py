"""Nearest-neighbor and class-mean baselines on the values of the series."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
    ways_of,
)
from l2l_rnn.data import SequenceDataset, TaskBatch
from l2l_rnn.functional import dtw, step_lengths
from l2l_rnn.models import ResampledSeries

_PAIRS = 2**14  # that are computed at once


class NearestSeries(ClassificationMethod):
    """Classifies by the nearest series of the support set.

    Args:
        window: None for the Euclidean distance of series resampled to one length; or the
            Sakoe-Chiba band of dynamic time warping, as a fraction of the series. 1 is no band.
        length: steps of the resampled series.
        normalize: whether each channel of a series is scaled to mean 0 and standard deviation 1
            before its Euclidean distance is computed.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        window: float | None = None,
        length: int = 128,
        normalize: bool = True,
    ) -> None:
        super().__init__(problem, label)
        self.window, self.length, self.normalize = window, length, normalize
        self._distances: dict[int, Tensor] = {}

    def predict(self, batch: TaskBatch) -> Tensor:
        raise TypeError("NearestSeries: predict() requires items; call accuracies()")

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        distances, index = self._table(tasks), tasks.index
        support, query = index.support_x[..., 0], index.query_x[..., 0]
        each = distances[query.unsqueeze(-1), support.unsqueeze(-2)]  # (N, Q, B)
        found = index.support_y.gather(1, each.argmin(-1))
        return (found == index.query_y).float().mean(-1)

    def _resampled(self, data: SequenceDataset) -> Tensor:
        encoder = ResampledSeries(self.length, self.normalize)
        return torch.cat([encoder(part) for part in data.sequences.split(1000)])

    def _table(self, tasks: EvaluationTasks) -> Tensor:
        """Return the distances of all pairs of items that tasks of this split can have."""
        data = tasks.dataset
        if id(data) in self._distances:
            return self._distances[id(data)]
        start = time.perf_counter()
        if self.window is None:
            x = self._resampled(data)
            table = torch.cdist(x, x)
        else:
            table = torch.full((len(data), len(data)), torch.inf)
            groups = getattr(data, "grouped", None)
            owners = data.labels.new_zeros(len(data)) if groups is None else groups.groups
            for owner in owners.unique():
                items = (owners == owner).nonzero().squeeze(-1)
                table[items.unsqueeze(-1), items] = _warped(data.sequences[items], self.window)
        self._distances[id(data)] = table
        self.saved_seconds -= time.perf_counter() - start
        return table


def _warped(series: Tensor, window: float) -> Tensor:
    """Return the distances of all pairs of series, `(items, items)`."""
    lengths = step_lengths(series)
    series = series[:, : int(lengths.max())].nan_to_num()
    pairs = torch.triu_indices(len(series), len(series), 1)
    parts = [
        dtw(series[i], series[j], window, lengths[i], lengths[j])
        for i, j in (part.unbind() for part in pairs.split(_PAIRS, 1))
    ]
    table = series.new_zeros(len(series), len(series))
    table[pairs[0], pairs[1]] = torch.cat(parts)
    return table + table.mT


class MeanSeries(ClassificationMethod):
    """Classifies by the nearest class mean, of series resampled to one length or of their moments.

    Args:
        length: steps of the resampled series.
        moments: whether the mean and the standard deviation of each channel are compared instead.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        length: int = 128,
        moments: bool = False,
    ) -> None:
        super().__init__(problem, label)
        self.encoder: Any = Moments() if moments else ResampledSeries(length)

    def encoder_place(self) -> tuple[ClassificationMethod, str]:
        return self, "encoder"

    def predict(self, batch: TaskBatch) -> Tensor:
        support, query = self.encoder(batch.support_x), self.encoder(batch.query_x)
        members = torch.nn.functional.one_hot(batch.support_y, ways_of(batch)).to(support)
        means = members.mT @ support / members.sum(1).unsqueeze(-1)
        return -torch.cdist(query, means)


class Moments(nn.Module):
    """The mean and the standard deviation of each channel: `(…, B, S, F)` -> `(…, B, 2 F)`."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.nanmean(-2)
        std = (x - mean.unsqueeze(-2)).square().nanmean(-2).sqrt()
        return torch.cat([mean, std], -1)
