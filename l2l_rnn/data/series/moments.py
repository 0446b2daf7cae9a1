"""Mean and standard deviation of the channels of time series."""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.errors import ArgumentError, ArgumentTypeError

Moments = tuple[Tensor, Tensor]


def channel_moments(steps: Tensor) -> Moments:
    """Compute the mean and standard deviation of each channel, ignoring padding.

    Args:
        steps: series, padded with NaN.

    Returns:
        Mean and standard deviation. The standard deviation of a constant channel is set to 1, so
        dividing by it is safe.

    Shapes:
        steps (…, S, F); returns (F,) and (F,).

    Example:
        >>> channel_moments(torch.tensor([[[1.0], [3.0]], [[2.0], [float("nan")]]]))
        (tensor([2.]), tensor([0.8165]))
    """
    if not isinstance(steps, Tensor) or not steps.is_floating_point() or steps.dim() < 2:
        raise ArgumentTypeError(
            f"channel_moments: expected real-valued steps (…, S, F), got "
            f"{tuple(steps.shape) if isinstance(steps, Tensor) else type(steps).__name__}; pass "
            "dataset.sequences or dataset.inputs"
        )
    values = steps.flatten(0, -2).double()
    mean = values.nanmean(0)
    std = (values - mean).square().nanmean(0).sqrt()
    constant = std <= 1e-7 * mean.abs().clamp(min=1e-30)
    return mean.to(steps.dtype), std.where(~constant, 1.0).to(steps.dtype)


def standardized(who: str, steps: Tensor, moments: Moments) -> Tensor:
    """Return steps minus the mean, divided by the standard deviation.

    Args:
        who: prefix of the error message.
        steps: series, padded with NaN.
        moments: mean and standard deviation of each channel, or of all channels.

    Shapes:
        steps (items, S, F); moments (F,), (1,) or () each.

    Raises:
        ArgumentTypeError: the moments are not a pair of numbers or tensors.
        ArgumentError: they do not match the channels, or are not finite and positive.
    """
    try:
        mean, std = (torch.as_tensor(m, dtype=steps.dtype) for m in moments)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{who}: standardize must be a pair of mean and standard deviation, got "
            f"{moments!r}; use channel_moments"
        ) from error
    features = steps.shape[-1]
    shapes = {mean.shape, std.shape}
    if not shapes <= {torch.Size(()), torch.Size((1,)), torch.Size((features,))}:
        raise ArgumentError(
            f"{who}: standardize must hold one number for each of {features} channels, got "
            f"shapes {tuple(mean.shape)} and {tuple(std.shape)}; use channel_moments"
        )
    finite = bool(mean.isfinite().all()) and bool(std.isfinite().all())
    if not finite or not bool((std > 0).all()):
        raise ArgumentError(
            f"{who}: standardize must hold finite means and positive standard deviations, got "
            f"{mean.tolist()} and {std.tolist()}; use channel_moments"
        )
    return (steps - mean) / std
