"""Losses and errors of forecasts: pinball loss, scaled and percentage errors, coverage."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError, DataError, ShapeError


def pinball_loss(forecasts: Tensor, targets: Tensor, quantiles: Sequence[float] | Tensor) -> Tensor:
    """Compute each task's mean pinball loss, which is lowest at the true quantiles.

    `max(q (y - f), (q - 1) (y - f))`, averaged over quantiles and targets. For the median alone, it
    is half of the mean absolute error.

    Args:
        forecasts: the forecast of each quantile.
        targets: the true values; NaN where there is none.
        quantiles: probabilities between 0 and 1.

    Shapes:
        forecasts `(…, B, D, Q)`, targets `(…, B, D)`, quantiles `(Q,)` -> `(…)`: a scalar, or
        `(N,)` with a task axis; 0 for a task without targets. `D` is the horizon, or the horizon
        times the channels.

    Raises:
        ShapeError: the forecasts do not have the shape of the targets and the quantiles.
        ArgumentError: a quantile is not between 0 and 1.

    Example:
        >>> pinball_loss(torch.tensor([[[0.0, 2.0]]]), torch.tensor([[1.0]]), [0.1, 0.9])
        tensor(0.1000)

    Source: R. Koenker and G. Bassett, 1978, Regression Quantiles.
    """
    q = torch.as_tensor(quantiles, dtype=forecasts.dtype, device=forecasts.device)
    if q.dim() != 1 or not bool(((q > 0) & (q < 1)).all()):
        raise ArgumentError(
            f"pinball_loss: quantiles must be between 0 and 1, got {q.tolist()}; pass a list such "
            "as [0.1, 0.5, 0.9]"
        )
    if forecasts.shape != (*targets.shape, len(q)):
        raise ShapeError(
            f"pinball_loss: forecasts must have shape {(*targets.shape, len(q))}, that of the "
            f"targets and one value per quantile, got {tuple(forecasts.shape)}; reshape one of them"
        )
    known = ~targets.isnan()
    errors = torch.where(known, targets, 0.0).unsqueeze(-1) - forecasts
    losses = torch.maximum(q * errors, (q - 1) * errors).mean(-1)
    return _mean(losses, known)


def mean_absolute_scaled_error(forecasts: Tensor, targets: Tensor, scale: Tensor) -> Tensor:
    """Compute each task's mean absolute error, divided by the scale of its series (MASE).

    Args:
        forecasts: the forecasts.
        targets: the true values; NaN where there is none.
        scale: the error of the seasonal naive forecast on the history, see `seasonal_scale`.

    Shapes:
        forecasts and targets `(…, B, D)`, scale `(…)` -> `(…)`.

    Raises:
        ShapeError: the shapes do not fit.

    Example:
        >>> scale = seasonal_scale(torch.tensor([1.0, 2.0, 4.0]))
        >>> mean_absolute_scaled_error(torch.tensor([[4.0]]), torch.tensor([[7.0]]), scale)
        tensor(2.)

    Source: R. Hyndman and A. Koehler, 2006, Another look at measures of forecast accuracy.
    """
    _check_shapes("mean_absolute_scaled_error", forecasts, targets)
    if scale.shape != targets.shape[:-2]:
        raise ShapeError(
            f"mean_absolute_scaled_error: scale must have shape {tuple(targets.shape[:-2])}, one "
            f"value per task, got {tuple(scale.shape)}; pass seasonal_scale(history)"
        )
    known = ~targets.isnan()
    return _mean((torch.where(known, targets, 0.0) - forecasts).abs(), known) / scale


def seasonal_scale(history: Tensor, period: int = 1) -> Tensor:
    """Compute the mean absolute error of the seasonal naive forecast on a history.

    It is the mean of `|y_t - y_(t - m)|` over the pairs without a missing value.

    Args:
        history: the series before the forecast; NaN where a value is missing.
        period: `m`, steps in a season; 1 is no season.

    Shapes:
        history `(…, S)` -> `(…)`.

    Raises:
        ArgumentError: the period is not a positive integer.
        DataError: a history has no pair of values one season apart, or repeats its season exactly.

    Example:
        >>> seasonal_scale(torch.tensor([1.0, 5.0, 2.0, 7.0]), period=2)
        tensor(1.5000)
    """
    who = "seasonal_scale"
    period = check_int(who, "period", period)
    changes = (history[..., period:] - history[..., :-period]).abs()
    if bool(changes.isnan().all(-1).any()):
        raise DataError(
            f"{who}: a history must have two values that are one season of {period} apart, got "
            f"{history.shape[-1]} steps; pass a longer history or a shorter period"
        )
    scale = changes.nanmean(-1)
    if bool((scale == 0).any()):
        raise DataError(
            f"{who}: a history must differ from the previous season, got one that repeats itself "
            f"every {period} steps; leave that series out"
        )
    return scale


def symmetric_percentage_error(forecasts: Tensor, targets: Tensor) -> Tensor:
    """Compute each task's symmetric mean absolute percentage error (sMAPE), a fraction up to 2.

    `2 |y - f| / (|y| + |f|)`, averaged over targets; 0 where both are 0.

    Args:
        forecasts: the forecasts.
        targets: the true values; NaN where there is none.

    Shapes:
        forecasts and targets `(…, B, D)` -> `(…)`.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> symmetric_percentage_error(torch.tensor([[3.0]]), torch.tensor([[1.0]]))
        tensor(1.)

    Source: S. Makridakis, 1993, Accuracy measures.
    """
    _check_shapes("symmetric_percentage_error", forecasts, targets)
    known = ~targets.isnan()
    y = torch.where(known, targets, 0.0)
    total = y.abs() + forecasts.abs()
    ratio = 2 * (y - forecasts).abs() / torch.where(total == 0, 1.0, total)
    return _mean(ratio, known)


def interval_coverage(lower: Tensor, upper: Tensor, targets: Tensor) -> Tensor:
    """Compute each task's fraction of targets inside their interval, bounds included.

    Args:
        lower, upper: the bounds.
        targets: the true values; NaN where there is none.

    Shapes:
        all `(…, B, D)` -> `(…)`.

    Raises:
        ShapeError: the shapes differ.

    Example:
        >>> y = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> interval_coverage(torch.full((1, 4), 1.5), torch.full((1, 4), 4.0), y)
        tensor(0.7500)
    """
    _check_shapes("interval_coverage", lower, targets)
    _check_shapes("interval_coverage", upper, targets)
    inside = (targets >= lower) & (targets <= upper)
    return _mean(inside.to(lower.dtype), ~targets.isnan())


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Compute the mean over the last two axes where `known`; 0 where nothing is."""
    kept = torch.where(known, values, 0.0)
    return kept.sum((-2, -1)) / known.sum((-2, -1)).clamp(min=1)


def _check_shapes(who: str, forecasts: Tensor, targets: Tensor) -> None:
    if forecasts.shape != targets.shape or targets.dim() < 2:
        raise ShapeError(
            f"{who}: forecasts and targets must have one shape, (…, B, D), got "
            f"{tuple(forecasts.shape)} and {tuple(targets.shape)}; reshape one of them"
        )
