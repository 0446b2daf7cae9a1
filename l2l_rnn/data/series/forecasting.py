"""Forecasting tasks: each series is a task, and its windows are the examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor

from l2l_rnn.checks import check_int, check_number, check_tensor, shown
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.padding import padded_steps
from l2l_rnn.data.sampling import Grouping
from l2l_rnn.data.task_source import Recipe
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from l2l_rnn.functional import step_lengths


class ForecastingDataset(GroupedDataset):
    """Dataset of windows of series. A task is a series; an example is a context and its next steps.

    The targets of a query are never part of a support example. By default, windows do not overlap.
    With `chronological=True`, every query is later than the support set; contexts may then overlap,
    but targets do not.

    Args:
        series: one array or tensor for each series, (S,) or (S, F); or one tensor (items, S, F),
            padded with NaN.
        context: number of input steps.
        horizon: number of steps to forecast.
        stride: steps between the starts of neighboring windows; None takes the smallest stride
            that keeps query targets out of the support set: `context + horizon`, or `horizon` if
            chronological.
        chronological: whether the support set of a task precedes its queries.
        normalize: whether to standardize each channel of each window by the mean and standard
            deviation of its context. The targets are scaled in the same way. `to_units` takes
            forecasts back to the units of the series.
        flat_targets: whether the targets of an example are one vector, which is the shape of the
            outputs of a linear head, a `MemoryModel` with `value_size=horizon * F`, and
            `functional.mean_squared_error`. False keeps the axes for steps and channels.
        names: names of the series; None uses their numbers as names.

    Attributes:
        inputs: the contexts.
        targets: the steps that follow, step by step.
        mean, std: mean and standard deviation of each context; 0 and 1 without `normalize`.
        starts: the first step of each window in its series.

    Shapes:
        inputs (items, context, F); targets (items, horizon * F), or (items, horizon, F) if not
        flat; mean and std (items, 1, F); starts (items,).

    Raises:
        ArgumentError: a length is not a positive integer, or the stride is too short.
        DataError: a series is shorter than one window, or contains an infinite value or a NaN
            before its end.
        ShapeError: the series differ in channels, or the names do not match the series.

    Example:
        >>> series = [torch.arange(40.0) ** 2, torch.arange(30.0)]
        >>> dataset = ForecastingDataset(series, context=4, horizon=1, normalize=False)
        >>> dataset.inputs[1].squeeze(-1), dataset.targets[1].squeeze(-1)
        (tensor([25., 36., 49., 64.]), tensor(81.))
        >>> dataset.draw(tasks=3, shots=4, queries=2).query_y.shape
        torch.Size([3, 2, 1])
    """

    def __init__(
        self,
        series: Sequence[Any] | Tensor,
        context: int,
        horizon: int,
        *,
        stride: int | None = None,
        chronological: bool = False,
        normalize: bool = True,
        flat_targets: bool = True,
        names: Sequence[str] | None = None,
    ) -> None:
        who = type(self).__name__
        context = check_int(who, "context", context)
        horizon = check_int(who, "horizon", horizon)
        least = horizon if chronological else context + horizon
        # With a shorter stride, the targets of a query could be part of a support example.
        fix = "raise it" if chronological else "raise it, or set chronological=True"
        stride = least if stride is None else check_int(who, "stride", stride, least=least, fix=fix)
        steps = padded_steps(who, series, "channels_last")
        if names is not None and len(names) != len(steps):
            raise ShapeError(
                f"{who}: expected {len(steps)} names, one for each series, got {len(names)}; name "
                "each series"
            )
        windows, owners, starts = [], [], []
        for i, length in enumerate(step_lengths(steps).tolist()):
            if length < context + horizon:
                raise DataError(
                    f"{who}: series {i if names is None else shown(names[i])} must have at "
                    f"least context + horizon = {context + horizon} steps, got {length}; drop it "
                    "or shorten the window"
                )
            cut = steps[i, :length].unfold(0, context + horizon, stride).mT  # (windows, steps, F)
            windows.append(cut)
            owners.append(torch.full((len(cut),), i))
            starts.append(torch.arange(len(cut)) * stride)
        inputs, targets = torch.cat(windows).split((context, horizon), dim=1)
        self.mean = torch.zeros_like(inputs[:, :1])
        self.std = torch.ones_like(self.mean)
        if normalize:
            self.mean = inputs.mean(1, keepdim=True)
            std = inputs.std(1, unbiased=False, keepdim=True)
            constant = std <= 1e-6 * self.mean.abs().clamp(min=1e-30)
            self.std = std.where(~constant, 1.0)
        self.starts = torch.cat(starts)
        targets = ((targets - self.mean) / self.std).contiguous()
        super().__init__(
            ((inputs - self.mean) / self.std).contiguous(),
            targets.flatten(1) if flat_targets else targets,
            torch.cat(owners),
            group_names=names,
        )
        self.context, self.horizon, self.chronological = context, horizon, chronological
        if chronological:
            self.grouping = _SortedGrouping(self.groups, len(self.group_names))

    def to_units(self, forecast: Tensor, indices: Tensor) -> Tensor:
        """Take forecasts, or targets, back to the units of the series.

        `y = std * forecast + mean`, with the mean and standard deviation of each example's context.
        The result is differentiable.

        Args:
            forecast: forecasts in the scale of the targets.
            indices: the position of each example in this dataset, such as `batch.query_indices`.

        Shapes:
            forecast (…, B, horizon * F) or (…, B, horizon, F); indices (B,), or (N, B) with a task
            axis, or any shape that the axes of the forecast before its last one (or two) end in;
            returns (…, B, horizon, F).

        Raises:
            ArgumentTypeError: the forecast is not a tensor of real numbers, or the indices are not
                an integer tensor.
            ShapeError: the forecast does not fit the indices, the horizon and the channels.
            ArgumentError: an index is not the position of an example.

        Example:
            >>> series = [100 + torch.arange(40.0), torch.arange(30.0) ** 2]
            >>> dataset = ForecastingDataset(series, context=4, horizon=2)
            >>> indices = torch.tensor([1, 7])  # the second windows of both series
            >>> dataset.targets[indices]
            tensor([[2.2361, 3.1305],
                    [2.5297, 3.7797]])
            >>> dataset.to_units(dataset.targets[indices], indices).squeeze(-1)
            tensor([[110., 111.],
                    [100., 121.]])
        """
        who = f"{type(self).__name__}.to_units"
        check_tensor(who, "forecast", forecast)
        check_tensor(
            who, "indices", indices, fix="pass those of a batch, such as its query_indices"
        )
        if not forecast.is_floating_point():
            raise ArgumentTypeError(
                f"{who}: forecast must be real numbers, got {forecast.dtype}; use .float()"
            )
        if indices.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8, torch.int8):
            raise ArgumentTypeError(
                f"{who}: indices must be integers, got {indices.dtype}; use .long()"
            )
        rows = indices.to(self.mean.device).long()
        if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < len(self):
            raise ArgumentError(
                f"{who}: indices must lie in 0 .. {len(self) - 1}, got {int(rows.min())} .. "
                f"{int(rows.max())}; pass the indices of this dataset's examples"
            )
        steps = self._steps(who, forecast, indices.shape)
        # In double precision, so that the only error is the rounding of the forecast.
        mean, std = (m[rows].to(forecast.device).double() for m in (self.mean, self.std))
        return (steps.double() * std + mean).to(forecast.dtype)

    def _steps(self, who: str, forecast: Tensor, lead: torch.Size) -> Tensor:
        """Return a forecast as `(…, horizon, F)`, where its leading axes end in `lead`."""
        shape = (self.horizon, self.mean.shape[-1])
        size = shape[0] * shape[1]
        if forecast.shape[-len(lead) - 2 :] == (*lead, *shape):
            return forecast
        if forecast.shape[-len(lead) - 1 :] == (*lead, size):
            return forecast.unflatten(-1, shape)
        expected = f"{(*lead, *shape)} or {(*lead, size)}"
        raise ShapeError(
            f"{who}: forecast must have shape {expected}, for indices of shape {tuple(lead)}, got "
            f"{tuple(forecast.shape)}; pass the indices of the examples that were forecast"
        )

    def recipe(self, ways: int, samples: int) -> Recipe:
        meta, transforms = super().recipe(ways, samples)
        return meta, [*transforms, _by_time] if self.chronological else transforms


class _SortedGrouping(Grouping):
    """Draws items in ascending order, which is chronological, since they are stored by time."""

    def draw(self, groups: Tensor, each: int, generator: Generator | None = None) -> Tensor:
        return super().draw(groups, each, generator).sort(-1).values


def _by_time(description: list[DataDescription]) -> list[DataDescription]:
    return sorted(description, key=lambda item: int(item.index))


def split_series(
    series: Sequence[Any],
    fractions: Sequence[float] = (0.6, 0.2, 0.2),
    generator: Generator | None = None,
) -> tuple[list[Any], ...]:
    """Split series at random into disjoint sets, such as train, validation and test.

    Identical series go to the same set.

    Args:
        series: arrays or tensors.
        fractions: relative size of each set, approximately. Every set gets at least one series.
        generator: random number generator; None uses torch's global generator.

    Raises:
        ArgumentError: the fractions are not positive numbers.
        DataError: there are fewer distinct series than fractions.

    Example:
        >>> train, validation, test = split_series([torch.randn(9) for _ in range(10)])
        >>> len(train), len(validation), len(test)
        (6, 2, 2)
    """
    if np.ndim(fractions) != 1 or not len(fractions):
        raise ArgumentError(
            f"split_series: fractions must have one number for each set, got {fractions!r}; pass a "
            "sequence such as (0.6, 0.2, 0.2)"
        )
    weights = np.array([check_number("split_series", "a fraction", f, above=0) for f in fractions])
    equal: dict[tuple[Any, ...], list[int]] = {}
    for i, values in enumerate(series):
        array = np.asarray(values)
        equal.setdefault((array.shape, array.dtype.str, array.tobytes()), []).append(i)
    kinds = list(equal.values())
    if len(kinds) < len(weights):
        raise DataError(
            f"split_series: expected at least {len(weights)} distinct series, got {len(kinds)}; "
            "pass more series or fewer fractions"
        )
    order = torch.randperm(len(kinds), generator=generator).tolist()
    bounds = np.rint(np.cumsum(weights) / weights.sum() * len(kinds)).astype(int)
    for k in range(len(bounds)):  # at least one for this set, and one left for each later set
        low = (bounds[k - 1] if k else 0) + 1
        bounds[k] = min(max(bounds[k], low), len(kinds) - (len(bounds) - 1 - k))
    parts = np.split(np.array(order), bounds[:-1])
    return tuple([series[i] for i in sorted(j for k in part for j in kinds[k])] for part in parts)
