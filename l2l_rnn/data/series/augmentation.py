"""Augmentation of time series: noise, scaling, time warping and slicing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.errors import ArgumentTypeError, ShapeError
from l2l_rnn.functional import step_lengths, step_mask

Augmentation = Callable[..., Tensor]


def augment_support(
    batch: TaskBatch, *augmentations: Augmentation, generator: Generator | None = None
) -> TaskBatch:
    """Augment the support sequences of a batch of tasks, and leave the query set unchanged.

    Args:
        batch: tasks with real-valued steps.
        *augmentations: functions applied in order. Each takes the steps and a keyword `generator`,
            like the functions of this module; set their strength with `functools.partial`.
        generator: random number generator; None uses torch's global generator.

    Returns:
        A new batch; `batch` is not modified.

    Raises:
        ArgumentTypeError: the sequences are token ids.
        ShapeError: the sequences are not shaped (N, B, S, F), or an augmentation changes their
            shape or their padding.

    Example:
        >>> x, y = torch.zeros(1, 2, 4, 1), torch.tensor([[0, 1]])
        >>> batch = augment_support(TaskBatch(x, y, x, y), jitter)
        >>> bool(batch.support_x.any()), bool(batch.query_x.any())
        (True, False)
    """
    steps = _checked("augment_support", batch.support_x)
    if steps.dim() != 4:  # (N, B, F), examples without steps, would look like one series per task
        raise ShapeError(
            f"augment_support: support_x must be (N, B, S, F), got shape {tuple(steps.shape)}; "
            "use tasks whose examples have steps"
        )
    padding = steps.isnan()
    for augmentation in augmentations:
        steps = augmentation(steps, generator=generator)
        if steps.shape != padding.shape or not torch.equal(steps.isnan(), padding):
            name = getattr(augmentation, "__name__", type(augmentation).__name__)
            raise ShapeError(
                f"augment_support: {name} must keep the shape {tuple(padding.shape)} and the "
                f"padding, got {tuple(steps.shape)}; neither add nor remove NaN"
            )
    return dataclasses.replace(batch, support_x=steps)


def jitter(x: Tensor, std: float = 0.05, *, generator: Generator | None = None) -> Tensor:
    """Add Gaussian noise to every value.

    Args:
        x: steps, padded with NaN; the padding is kept.
        std: standard deviation of the noise, in units of the values.
        generator: random number generator; None uses torch's global generator.

    Shapes:
        x (…, S, F); returns the same shape.

    Raises:
        ArgumentTypeError: `x` holds token ids.
        ShapeError: `x` has no steps.
        ArgumentError: `std` is not a non-negative number.

    Example:
        >>> jitter(torch.zeros(2, 1), generator=torch.Generator().manual_seed(0)).squeeze()
        tensor([ 0.0770, -0.0147])

    Source: T. T. Um et al., 2017, Data Augmentation of Wearable Sensor Data for Parkinson's
    Disease Monitoring using Convolutional Neural Networks.
    """
    _checked("jitter", x)
    return x + check_number("jitter", "std", std, least=0) * _normal(x.shape, x, generator)


def scale(x: Tensor, std: float = 0.1, *, generator: Generator | None = None) -> Tensor:
    """Multiply each channel of each series by a random factor with mean 1.

    Args:
        x: steps, padded with NaN; the padding is kept.
        std: standard deviation of the factors, which are normally distributed.
        generator: random number generator; None uses torch's global generator.

    Shapes, Raises, Source: as for `jitter`.
    """
    _checked("scale", x)
    shape = (*x.shape[:-2], 1, x.shape[-1])
    return x * (1 + check_number("scale", "std", std, least=0) * _normal(shape, x, generator))


def time_warp(
    x: Tensor, std: float = 0.2, knots: int = 4, *, generator: Generator | None = None
) -> Tensor:
    """Warp the time axis: some parts of a series run faster, others slower; its ends stay fixed.

    The speed is `exp(std * n)` at evenly spaced knots, where n is standard normal, and linear in
    between. Values between steps are interpolated linearly.

    Args:
        x: steps, padded with NaN; the padding is kept.
        std: standard deviation of the logarithm of the speed.
        knots: number of knots, at least 2.
        generator: random number generator; None uses torch's global generator.

    Shapes:
        x (…, S, F); returns the same shape.

    Raises:
        As `jitter`; ArgumentError also if `knots` is not an integer of at least 2.

    Source: as for `jitter`. In the paper, the speed is a smooth curve through normally distributed
    values, which may be negative.
    """
    steps, lengths = _checked("time_warp", x).shape[-2], step_lengths(x)
    knots = check_int("time_warp", "knots", knots, least=2)
    normal = _normal((*x.shape[:-2], knots, 1), x, generator).to(_position_dtype(x))
    speeds = (check_number("time_warp", "std", std, least=0) * normal).exp()
    last = (lengths - 1).clamp(min=1).unsqueeze(-1)  # (…, 1)
    # The time of step s is the sum of the speeds halfway between steps 0, 1, …, s.
    halfway = (torch.arange(steps, device=x.device) - 0.5).clamp(min=0) / last
    elapsed = _interpolated(speeds, (halfway * (knots - 1)).clamp(max=knots - 1)).squeeze(-1)
    elapsed[..., 0] = 0
    times = elapsed.where(step_mask(lengths, steps), 0).cumsum(-1)
    return _resampled(x, lengths, times / times[..., -1:].clamp(min=1e-12) * last)


def window_slice(x: Tensor, ratio: float = 0.9, *, generator: Generator | None = None) -> Tensor:
    """Cut a random slice out of each series and stretch it to the original length.

    Args:
        x: steps, padded with NaN; the padding is kept.
        ratio: length of the slice relative to the series, above 0 and at most 1.
        generator: random number generator; None uses torch's global generator.

    Shapes:
        x (…, S, F); returns the same shape.

    Raises:
        As `jitter`, for `ratio` in place of `std`.

    Source: A. Le Guennec, S. Malinowski and R. Tavenard, 2016, Data Augmentation for Time Series
    Classification using Convolutional Neural Networks. In the paper, slices are not stretched.
    """
    lengths = step_lengths(_checked("window_slice", x))
    ratio = check_number("window_slice", "ratio", ratio, above=0, most=1)
    last = (lengths - 1).unsqueeze(-1)  # (…, 1)
    uniform = torch.rand(last.shape, generator=generator, dtype=_position_dtype(x)).to(x.device)
    steps = torch.arange(x.shape[-2], device=x.device)
    return _resampled(x, lengths, uniform * (1 - ratio) * last + steps * ratio)


def _resampled(x: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    """Read series at positions (…, S) from 0 to their last step; the padding is kept."""
    last = (lengths - 1).clamp(min=0).unsqueeze(-1)
    inside = step_mask(lengths, x.shape[-2])
    values = _interpolated(x.nan_to_num(), positions.clamp(min=0).minimum(last.to(positions.dtype)))
    return values.where(inside.unsqueeze(-1), torch.nan)


def _interpolated(values: Tensor, positions: Tensor) -> Tensor:
    """Interpolate values (…, S, F) linearly at positions (…, L); returns (…, L, F)."""
    low = positions.floor().long()
    high = (low + 1).clamp(max=values.shape[-2] - 1)
    weight = (positions - low).to(values.dtype).unsqueeze(-1)
    shape = (*positions.shape, values.shape[-1])
    before, after = (values.gather(-2, index.unsqueeze(-1).expand(shape)) for index in (low, high))
    return before + weight * (after - before)


def _normal(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    """Draw normal noise on the CPU, so that a seed gives the same numbers on every device."""
    return torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device)


def _position_dtype(x: Tensor) -> torch.dtype:
    """Return a type that represents large positions exactly, unlike half precision."""
    return torch.promote_types(x.dtype, torch.float32)


def _checked(who: str, x: Tensor) -> Tensor:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        came = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ArgumentTypeError(
            f"{who}: x must be a tensor of real-valued steps, got {came}; convert x to floating "
            "point"
        )
    if x.dim() < 2 or x.shape[-2] == 0:
        raise ShapeError(
            f"{who}: x must be (…, S, F) with at least one step, got shape {tuple(x.shape)}; "
            "reshape it"
        )
    return x
