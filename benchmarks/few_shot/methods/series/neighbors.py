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
from l2l_rnn.data import TaskBatch
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
        index, data = tasks.index, tasks.dataset
        support, query = index.support_x[..., 0].unsqueeze(-2), index.query_x[..., 0].unsqueeze(-1)
        start = time.perf_counter()
        if id(data) not in self._distances:
            self._distances[id(data)] = torch.full((len(data), len(data)), torch.nan)
        table = self._distances[id(data)]
        if table.isnan().all() and self.window is None:
            encoder = ResampledSeries(self.length, self.normalize)
            x = torch.cat([encoder(part) for part in data.sequences.split(1000)])
            table.copy_(torch.cdist(x, x))
        elif self.window is not None:
            self._warp(data.sequences, table, query * len(data) + support)
        self.saved_seconds -= time.perf_counter() - start
        each = table[query, support]  # (N, Q, B)
        found = index.support_y.gather(1, each.argmin(-1))
        return (found == index.query_y).float().mean(-1)

    def _warp(self, series: Tensor, table: Tensor, pairs: Tensor) -> None:
        """Add distances to a table, of pairs `i * items + j` that it does not have yet."""
        pairs = pairs.unique()
        pairs = pairs[table.view(-1)[pairs].isnan()]
        lengths = step_lengths(series)
        series = series.nan_to_num()
        for part in pairs.split(_PAIRS) if len(pairs) else ():
            i, j = part.div(len(series), rounding_mode="floor"), part % len(series)
            x, y = series[i, : int(lengths[i].max())], series[j, : int(lengths[j].max())]
            distances = dtw(x, y, self.window or 1.0, lengths[i], lengths[j])
            table[i, j] = distances
            table[j, i] = distances


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
