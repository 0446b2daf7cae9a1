"""Forecasting tasks: each series is a task, and its windows are the examples."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor

from l2l_rnn.checks import check_int, check_tensor, shown
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.padding import padded_steps
from l2l_rnn.data.sampling import Grouping, draw_distinct
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, check_counts
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from l2l_rnn.functional import step_lengths


class ForecastingDataset(GroupedDataset):
    """Dataset of windows of series. A task is a series; an example is a context and its next steps.

    The targets of a query are never part of a support example. By default, windows do not overlap.
    With `chronological=True`, every query is later than the support set; contexts may then overlap,
    but targets do not. With `last_steps=True`, the queries are always the last windows of a series,
    whose targets are its last steps, and the support set is drawn from all windows before them.

    Args:
        series: one array or tensor for each series, (S,) or (S, F); or one tensor (items, S, F),
            padded with NaN.
        context: number of input steps.
        horizon: number of steps to forecast.
        stride: steps between the starts of neighboring windows; None takes the smallest stride
            that keeps query targets out of the support set: `context + horizon`, or `horizon` if
            chronological.
        chronological: whether the support set of a task precedes its queries.
        last_steps: whether to forecast the last steps of each series: with one query, the last
            `horizon` steps; with more, the ones before, `horizon` apart. The support windows may
            then overlap, and `stride` is 1 unless given; it must divide `horizon`. In tasks from a
            learn2learn `Taskset`, the last sample is the query, so set shots to all but one.
        periods: steps in a season of each series, 1 for none. They become the last channel of the
            inputs, as `models.Forecaster` reads it with `seasonal=True`; None adds no channel.
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
        inputs (items, context, F), or (items, context, F + 1) with periods; targets (items,
        horizon * F), or (items, horizon, F) if not flat; mean and std (items, 1, F);
        starts (items,).

    Raises:
        ArgumentError: a length or a period is not a positive integer, the stride does not fit, or
            both `chronological` and `last_steps` are set.
        DataError: a series is shorter than one window, or contains an infinite value or a NaN
            before its end.
        ShapeError: the series differ in channels, or the names or periods do not match the series.

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
        last_steps: bool = False,
        periods: Sequence[int] | None = None,
        normalize: bool = True,
        flat_targets: bool = True,
        names: Sequence[str] | None = None,
    ) -> None:
        who = type(self).__name__
        context = check_int(who, "context", context)
        horizon = check_int(who, "horizon", horizon)
        stride = _checked_stride(who, stride, context, horizon, chronological, last_steps)
        steps = padded_steps(who, series, "channels_last")
        if names is not None and len(names) != len(steps):
            raise ShapeError(
                f"{who}: expected {len(steps)} names, one for each series, got {len(names)}; name "
                "each series"
            )
        if periods is not None and len(periods) != len(steps):
            raise ShapeError(
                f"{who}: expected {len(steps)} periods, one for each series, got {len(periods)}; "
                "use 1 for a series without a season"
            )
        windows, owners, starts = [], [], []
        for i, length in enumerate(step_lengths(steps).tolist()):
            if length < context + horizon:
                raise DataError(
                    f"{who}: series {i if names is None else shown(names[i])} must have at "
                    f"least context + horizon = {context + horizon} steps, got {length}; drop it "
                    "or shorten the window"
                )
            # The last window ends where the series does, if its last steps are forecast.
            first = (length - context - horizon) % stride if last_steps else 0
            cut = steps[i, first:length].unfold(0, context + horizon, stride).mT
            windows.append(cut)  # (windows, steps, F)
            owners.append(torch.full((len(cut),), i))
            starts.append(first + torch.arange(len(cut)) * stride)
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
        inputs = ((inputs - self.mean) / self.std).contiguous()
        if periods is not None:
            seasons = [check_int(who, "a period", period) for period in periods]
            season = torch.tensor(seasons, dtype=inputs.dtype)[torch.cat(owners)]
            inputs = torch.cat([inputs, season[:, None, None].expand(-1, context, 1)], -1)
        super().__init__(
            inputs,
            targets.flatten(1) if flat_targets else targets,
            torch.cat(owners),
            group_names=names,
        )
        self.context, self.horizon, self.chronological = context, horizon, chronological
        self.stride, self.last_steps = stride, last_steps
        if chronological:
            self.grouping = _SortedGrouping(self.groups, len(self.group_names))

    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        if not self.last_steps:
            return super().draw(tasks, shots, queries, generator, ways=ways)
        tasks, shots, queries, _ = check_counts(
            f"{type(self).__name__}.draw", tasks, shots, queries, ways
        )
        support, query = self.last_windows(tasks, shots, queries, generator)
        return self._batch(support.unsqueeze(1), query.unsqueeze(1))

    def last_windows(
        self, tasks: int, shots: int, queries: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw series; return windows before their last steps `(N, shots)`, and of these steps.

        Raises:
            DataError: every series has too few windows.
        """
        counts, step = self.grouping.counts, self.horizon // self.stride
        before = counts - queries * step  # windows whose targets end before the first query's
        able = (before >= shots).nonzero().squeeze(-1)
        if not len(able):
            raise DataError(
                f"{type(self).__name__}: a series must have {shots} windows before the last "
                f"{queries * self.horizon} steps, got at most {int(before.max().clamp_min(0))}; "
                "ask for fewer shots or queries, or shorten the context"
            )
        groups = able[torch.randint(len(able), (tasks,), generator=generator)]
        chosen = draw_distinct(before[groups], shots, generator).sort(-1).values
        last = counts[groups].unsqueeze(-1) - 1 - step * torch.arange(queries - 1, -1, -1)
        starts = self.grouping.starts[groups].unsqueeze(-1)
        return self.grouping.order[starts + chosen], self.grouping.order[starts + last]

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
        if self.last_steps:
            return meta, [_LastQuery(self, samples)]
        return meta, [*transforms, _by_time] if self.chronological else transforms


class _SortedGrouping(Grouping):
    """Draws items in ascending order, which is chronological, since they are stored by time."""

    def draw(self, groups: Tensor, each: int, generator: Generator | None = None) -> Tensor:
        return super().draw(groups, each, generator).sort(-1).values


def _by_time(description: list[DataDescription]) -> list[DataDescription]:
    return sorted(description, key=lambda item: int(item.index))


class _LastQuery:
    """Task transform for learn2learn: windows of one series in order; the last one ends it."""

    def __init__(self, dataset: ForecastingDataset, samples: int) -> None:
        self.dataset, self.shots = dataset, samples - 1
        dataset.last_windows(1, self.shots, 1, Generator())  # raises if there are too few

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task with Python's `random`, as learn2learn's transforms do."""
        generator = Generator().manual_seed(random.getrandbits(48))
        support, query = self.dataset.last_windows(1, self.shots, 1, generator)
        description = []
        for index in (*support[0].tolist(), *query[0].tolist()):
            item = DataDescription(index)
            item.transforms.append(self.dataset.__getitem__)
            description.append(item)
        return description


def _checked_stride(
    who: str, stride: int | None, context: int, horizon: int, chronological: bool, last: bool
) -> int:
    if last and chronological:
        raise ArgumentError(
            f"{who}: chronological and last_steps must not both be set; last_steps=True already "
            "puts the queries last"
        )
    if last:
        stride = 1 if stride is None else check_int(who, "stride", stride, most=horizon)
        if horizon % stride:
            raise ArgumentError(
                f"{who}: stride must divide horizon={horizon}, got {stride}; set it to 1"
            )
        return stride
    least = horizon if chronological else context + horizon
    # With a shorter stride, the targets of a query could be part of a support example.
    fix = "raise it" if chronological else "raise it, or set chronological=True"
    return least if stride is None else check_int(who, "stride", stride, least=least, fix=fix)
