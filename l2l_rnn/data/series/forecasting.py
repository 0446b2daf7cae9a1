"""Forecasting as tasks: a series is a task, its past is given and its next values are asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor

from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.padding import padded_steps, positive_count
from l2l_rnn.data.sampling import Grouping
from l2l_rnn.data.task_source import Recipe
from l2l_rnn.errors import ArgumentError, DataError, ShapeError
from l2l_rnn.functional import step_lengths


class ForecastingDataset(GroupedDataset):
    """Holds windows of series: so many steps, and those that come next. A task is a series.

    No answer of a query is ever part of a support example. By default windows have no step in
    common; where tasks are `chronological`, they may overlap in what is given, not in what is
    asked, since every query then lies later than the support.

    Args:
        series: one array or tensor a series, (S,) or (S, F); or one tensor, padded with NaN.
        context: steps that are given.
        horizon: steps that are asked.
        stride: steps from the start of a window to that of the next; None takes the least that
            keeps the promise above: `context + horizon`, or `horizon` if chronological.
        chronological: whether the support of a task lies earlier than its queries.
        normalise: whether each window is brought to mean 0 and standard deviation 1 of its
            context, channel by channel. The answers are brought along; they have no part in it.
        names: of the series; None names them by their numbers.

    Attributes:
        inputs: the contexts.
        answers: what comes next.
        means, deviations: what was taken from a window and what it was divided by.
        starts: the first step of each window in its series.

    Shapes:
        inputs (items, context, F); answers (items, horizon, F); means and deviations
        (items, 1, F); starts (items,).

    Raises:
        ArgumentError: a length is not a positive integer, or the stride is too short.
        DataError: a series is shorter than one window, or holds what is no number.
        ShapeError: the series differ in channels, or there is not one name for each.

    Example:
        >>> series = [torch.arange(40.0) ** 2, torch.arange(30.0)]
        >>> dataset = ForecastingDataset(series, context=4, horizon=1, normalise=False)
        >>> dataset.inputs[1].squeeze(-1), dataset.answers[1].squeeze(-1)
        (tensor([25., 36., 49., 64.]), tensor([81.]))
        >>> dataset.draw(tasks=3, shots=4, queries=2).query_y.shape
        torch.Size([3, 2, 1, 1])
    """

    def __init__(
        self,
        series: Sequence[Any] | Tensor,
        context: int,
        horizon: int,
        *,
        stride: int | None = None,
        chronological: bool = False,
        normalise: bool = True,
        names: Sequence[str] | None = None,
    ) -> None:
        who = type(self).__name__
        context = positive_count(who, "context", context)
        horizon = positive_count(who, "horizon", horizon)
        least = horizon if chronological else context + horizon
        stride = least if stride is None else positive_count(who, "stride", stride)
        if stride < least:
            raise ArgumentError(
                f"{who}: stride must be at least {least}, or a query's answer could be part of a "
                f"support example, got {stride}; raise it"
                + ("" if chronological else ", or set chronological=True")
            )
        steps = padded_steps(who, series, "channels_last")
        if names is not None and len(names) != len(steps):
            raise ShapeError(
                f"{who}: expected {len(steps)} names, one for each series, got {len(names)}"
            )
        windows, owners, starts = [], [], []
        for i, length in enumerate(step_lengths(steps).tolist()):
            if length < context + horizon:
                raise DataError(
                    f"{who}: series {i if names is None else names[i]!r} has {length} steps, "
                    f"expected context + horizon = {context + horizon} or more; drop it or "
                    "shorten the window"
                )
            cut = steps[i, :length].unfold(0, context + horizon, stride).mT  # (windows, steps, F)
            windows.append(cut)
            owners.append(torch.full((len(cut),), i))
            starts.append(torch.arange(len(cut)) * stride)
        inputs, answers = torch.cat(windows).split((context, horizon), dim=1)
        self.means = torch.zeros_like(inputs[:, :1])
        self.deviations = torch.ones_like(self.means)
        if normalise:
            self.means = inputs.mean(1, keepdim=True)
            spread = inputs.std(1, unbiased=False, keepdim=True)
            still = spread <= 1e-6 * self.means.abs().clamp(min=1e-30)
            self.deviations = spread.where(~still, 1.0)
        self.starts = torch.cat(starts)
        super().__init__(
            ((inputs - self.means) / self.deviations).contiguous(),
            ((answers - self.means) / self.deviations).contiguous(),
            torch.cat(owners),
            group_names=names,
        )
        self.context, self.horizon, self.chronological = context, horizon, chronological
        if chronological:
            self.grouping = _Earlier(self.groups, len(self.group_names))

    def recipe(self, ways: int, samples: int) -> Recipe:
        meta, transforms = super().recipe(ways, samples)
        return meta, [*transforms, _by_time] if self.chronological else transforms


class _Earlier(Grouping):
    """Draws items of a series, the earlier first; they are kept in the order of time."""

    def draw(self, groups: Tensor, each: int, generator: Generator | None = None) -> Tensor:
        return super().draw(groups, each, generator).sort(-1).values


def _by_time(description: list[DataDescription]) -> list[DataDescription]:
    return sorted(description, key=lambda item: int(item.index))


def split_series(
    series: Sequence[Any],
    shares: Sequence[float] = (0.6, 0.2, 0.2),
    generator: Generator | None = None,
) -> tuple[list[Any], ...]:
    """Part series into disjoint sets, such as those of train, validation and test.

    Series that are equal, step by step, stay together.

    Args:
        series: any arrays or tensors.
        shares: of the series that each set gets, about; every set gets one at least.
        generator: fixes who goes where; None draws from torch's own.

    Raises:
        ArgumentError: the shares are not positive numbers.
        DataError: there are fewer different series than shares.

    Example:
        >>> train, validation, test = split_series([torch.randn(9) for _ in range(10)])
        >>> len(train), len(validation), len(test)
        (6, 2, 2)
    """
    weights = np.asarray(shares, dtype=float)
    if weights.ndim != 1 or not len(weights) or not (weights > 0).all() or np.isinf(weights).any():
        raise ArgumentError(f"split_series: shares must be positive numbers, got {shares!r}")
    alike: dict[tuple[Any, ...], list[int]] = {}
    for i, values in enumerate(series):
        array = np.asarray(values)
        alike.setdefault((array.shape, array.dtype.str, array.tobytes()), []).append(i)
    kinds = list(alike.values())
    if len(kinds) < len(weights):
        raise DataError(
            f"split_series: expected {len(weights)} different series or more, got {len(kinds)}; "
            "give more, or fewer shares"
        )
    order = torch.randperm(len(kinds), generator=generator).tolist()
    bounds = np.rint(np.cumsum(weights) / weights.sum() * len(kinds)).astype(int)
    for k in range(len(bounds)):  # one at least for each set, the later ones' kept free
        low = (bounds[k - 1] if k else 0) + 1
        bounds[k] = min(max(bounds[k], low), len(kinds) - (len(bounds) - 1 - k))
    parts = np.split(np.array(order), bounds[:-1])
    return tuple([series[i] for i in sorted(j for k in part for j in kinds[k])] for part in parts)
