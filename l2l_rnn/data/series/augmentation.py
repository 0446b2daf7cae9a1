"""Time series changed a little: noise, scale, warped time, slices; for support sets where asked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import step_lengths, step_mask

Augmentation = Callable[..., Tensor]


def augment_support(
    batch: TaskBatch, *augmentations: Augmentation, generator: Generator | None = None
) -> TaskBatch:
    """Change the support sequences of a batch of tasks, and leave the queries as they are.

    Args:
        batch: tasks of real-valued steps.
        *augmentations: applied one after another; each takes the steps and a `generator`, as the
            functions of this module do. `functools.partial` sets their strength.
        generator: fixes what is drawn; None draws from torch's own.

    Returns:
        A new batch; the given one stays as it is.

    Raises:
        ArgumentTypeError: the sequences are token ids.
        ShapeError: the sequences are not shaped (N, B, S, F), or an augmentation changes the shape,
            or where the padding is.

    Example:
        >>> x, y = torch.zeros(1, 2, 4, 1), torch.tensor([[0, 1]])
        >>> batch = augment_support(TaskBatch(x, y, x, y), jitter)
        >>> bool(batch.support_x.any()), bool(batch.query_x.any())
        (True, False)
    """
    steps = _checked("augment_support", batch.support_x)
    if steps.dim() != 4:  # examples without steps would be taken for the steps of a series
        raise ShapeError(
            f"augment_support: support_x must be (N, B, S, F), got shape {tuple(steps.shape)}; "
            "only tasks whose examples have steps can be augmented"
        )
    padding = steps.isnan()
    for augmentation in augmentations:
        steps = augmentation(steps, generator=generator)
        if steps.shape != padding.shape or not torch.equal(steps.isnan(), padding):
            name = getattr(augmentation, "__name__", type(augmentation).__name__)
            raise ShapeError(
                f"augment_support: {name} must keep the shape {tuple(padding.shape)} and the "
                f"padding, got {tuple(steps.shape)}; leave NaN where it is, and make no new one"
            )
    return dataclasses.replace(batch, support_x=steps)


def jitter(x: Tensor, deviation: float = 0.05, *, generator: Generator | None = None) -> Tensor:
    """Add normal noise to every value.

    Args:
        x: steps, padded with NaN, which stays.
        deviation: standard deviation of the noise, in the unit of the values.
        generator: fixes what is drawn; None draws from torch's own.

    Shapes:
        x (…, S, F); returns the same.

    Raises:
        ArgumentTypeError: `x` holds token ids.
        ShapeError: it has no steps, or no features.
        ArgumentError: the deviation is negative, or no number.

    Example:
        >>> jitter(torch.zeros(2, 1), generator=torch.Generator().manual_seed(0)).squeeze()
        tensor([ 0.0770, -0.0147])

    Source: T. T. Um et al., 2017, Data Augmentation of Wearable Sensor Data for Parkinson's
    Disease Monitoring using Convolutional Neural Networks.
    """
    _checked("jitter", x)
    return x + _strength("jitter", deviation) * _normal(x.shape, x, generator)


def scale(x: Tensor, deviation: float = 0.1, *, generator: Generator | None = None) -> Tensor:
    """Multiply each channel of each series by a factor of its own, about 1.

    Args:
        x: steps, padded with NaN, which stays.
        deviation: standard deviation of the normal factors.
        generator: fixes what is drawn; None draws from torch's own.

    Shapes, Raises, Source: as `jitter`.
    """
    _checked("scale", x)
    shape = (*x.shape[:-2], 1, x.shape[-1])
    return x * (1 + _strength("scale", deviation) * _normal(shape, x, generator))


def time_warp(
    x: Tensor, deviation: float = 0.2, knots: int = 4, *, generator: Generator | None = None
) -> Tensor:
    """Let time run faster here and slower there; the first and the last step keep their places.

    The speed is `exp(deviation * n)`, n normal, at knots spread evenly over the series, and
    linear between them. Values between steps are interpolated.

    Args:
        x: steps, padded with NaN, which stays.
        deviation: of the logarithm of the speed.
        knots: how many speeds are drawn for a series, 2 or more.
        generator: fixes what is drawn; None draws from torch's own.

    Shapes:
        x (…, S, F); returns the same.

    Raises:
        As `jitter`; ArgumentError if there are less than 2 knots.

    Source: as `jitter`; there, speeds are smooth curves through normal ones, not exponentials.
    """
    steps, lengths = _checked("time_warp", x).shape[-2], step_lengths(x)
    if isinstance(knots, bool) or not isinstance(knots, int) or knots < 2:
        raise ArgumentError(f"time_warp: knots must be an integer of 2 or more, got {knots!r}")
    drawn = _normal((*x.shape[:-2], knots, 1), x, generator).to(_position_type(x))
    speeds = (_strength("time_warp", deviation) * drawn).exp()
    last = (lengths - 1).clamp(min=1).unsqueeze(-1)  # (…, 1)
    middles = (torch.arange(steps, device=x.device) - 0.5).clamp(min=0) / last  # of each stride
    at_steps = _interpolated(speeds, (middles * (knots - 1)).clamp(max=knots - 1)).squeeze(-1)
    at_steps[..., 0] = 0  # time starts at the first step
    passed = at_steps.where(step_mask(lengths, steps), 0).cumsum(-1)
    return _resampled(x, lengths, passed / passed[..., -1:].clamp(min=1e-12) * last)


def window_slice(x: Tensor, share: float = 0.9, *, generator: Generator | None = None) -> Tensor:
    """Take a slice of each series at a random place, and stretch it to the series' length.

    Args:
        x: steps, padded with NaN, which stays.
        share: of the series that is kept, above 0 and at most 1.
        generator: fixes what is drawn; None draws from torch's own.

    Shapes:
        x (…, S, F); returns the same.

    Raises:
        As `jitter`; ArgumentError if the share is not such a number.

    Source: A. Le Guennec, S. Malinowski and R. Tavenard, 2016, Data Augmentation for Time Series
    Classification using Convolutional Neural Networks. There, slices are not stretched.
    """
    lengths = step_lengths(_checked("window_slice", x))
    if not _is_number(share) or not 0 < share <= 1:
        raise ArgumentError(f"window_slice: share must lie above 0 and up to 1, got {share!r}")
    last = (lengths - 1).unsqueeze(-1)  # (…, 1)
    drawn = torch.rand(last.shape, generator=generator, dtype=_position_type(x)).to(x.device)
    places = torch.arange(x.shape[-2], device=x.device)
    return _resampled(x, lengths, drawn * (1 - share) * last + places * share)


def _resampled(x: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    """Read series at positions (…, S) between 0 and their last step; padding stays."""
    last = (lengths - 1).clamp(min=0).unsqueeze(-1)
    inside = step_mask(lengths, x.shape[-2])
    read = _interpolated(x.nan_to_num(), positions.clamp(min=0).minimum(last.to(positions.dtype)))
    return read.where(inside.unsqueeze(-1), torch.nan)


def _interpolated(values: Tensor, positions: Tensor) -> Tensor:
    """Read values (…, S, F) at positions (…, P), linearly between steps; returns (…, P, F)."""
    low = positions.floor().long()
    high = (low + 1).clamp(max=values.shape[-2] - 1)
    weight = (positions - low).to(values.dtype).unsqueeze(-1)
    shape = (*positions.shape, values.shape[-1])
    before, after = (values.gather(-2, index.unsqueeze(-1).expand(shape)) for index in (low, high))
    return before + weight * (after - before)


def _normal(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """Draw on the CPU, so that a seed gives the same numbers anywhere."""
    return torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device)


def _position_type(x: Tensor) -> torch.dtype:
    """Half precision cannot count the steps of a long series."""
    return torch.promote_types(x.dtype, torch.float32)


def _strength(who: str, deviation: float) -> float:
    if not _is_number(deviation) or not 0 <= deviation < math.inf:
        raise ArgumentError(f"{who}: deviation must be a number of 0 or more, got {deviation!r}")
    return deviation


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _checked(who: str, x: Tensor) -> Tensor:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        came = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ArgumentTypeError(
            f"{who}: expected real-valued steps, got {came}; token ids cannot be changed so"
        )
    if x.dim() < 2 or x.shape[-2] == 0:
        raise ShapeError(f"{who}: expected steps (…, S, F), got shape {tuple(x.shape)}")
    return x
