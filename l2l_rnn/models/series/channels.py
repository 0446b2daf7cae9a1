"""Encoding of each channel of a series on its own, for any number of channels."""

from __future__ import annotations

from torch import Tensor

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_tensor
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import step_lengths, step_mask


def average_channels(vectors: Tensor, inside: Tensor) -> Tensor:
    """Average vectors over the channels that have values.

    Shapes:
        vectors `(…, B F, E)`, inside `(…, B, F)` -> `(…, B, E)`.
    """
    if inside.shape[-1] == 1:
        return vectors
    each = vectors.unflatten(-2, inside.shape[-2:])
    weights = inside.unsqueeze(-1).to(vectors.dtype)
    return (each * weights).sum(-2) / weights.sum(-2).clamp_min(1)


def check_series(who: str, x: Tensor) -> Tensor:
    """Check series, and return their lengths.

    Args:
        who: begins error messages.
        x: series, padded with NaN.

    Shapes:
        x `(…, B, S, F)` -> `(…, B)`.

    Raises:
        ArgumentTypeError: x is not a floating-point tensor.
        ShapeError: x has fewer than three axes, or no steps or channels.
        ArgumentError: a series is all padding.
    """
    check_tensor(who, "x", x)
    if not x.is_floating_point():
        raise ArgumentTypeError(
            f"{who}: steps must be real-valued, got {x.dtype}; convert with .float()"
        )
    if x.dim() < 3 or 0 in x.shape[-2:]:
        raise ShapeError(
            f"{who}: x must be (…, B, S, F) with at least one step and one channel, got shape "
            f"{tuple(x.shape)}; add an axis for the channels"
        )
    lengths = step_lengths(x)
    values = readable_values(lengths)
    if values is not None and values.numel() and not values.all():
        raise ArgumentError(
            f"{who}: sequence {int((values.reshape(-1) == 0).nonzero()[0])} is all padding; drop it"
        )
    return lengths


def channel_rows(who: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Check series, and return each channel as a series of its own.

    Returns:
        The channels, with 0 past their end; the number of steps of each, which is that of its
        series; and which channels have values. A channel without any value becomes 0.

    Shapes:
        x `(…, B, S, F)`, padded with NaN -> `(…, B F, S)`, `(…, B F)`, `(…, B, F)`.

    Raises:
        Errors as `check_series`; also ArgumentError if a channel has a NaN before the end of its
        series, but not everywhere.
    """
    whole = check_series(who, x)
    inside = ~x.isnan().all(-2)  # (…, B, F)
    valid = step_mask(whole, x.shape[-2]).unsqueeze(-1) & inside.unsqueeze(-2)
    rows = x.where(valid, 0).mT.flatten(-3, -2)
    check_inside(who, rows)
    lengths = whole.unsqueeze(-1).expand(inside.shape).flatten(-2)
    return rows, lengths, inside


def check_inside(who: str, values: Tensor) -> None:
    """Check that there is no NaN where there is no padding.

    Raises:
        ArgumentError: there is one.
    """
    read = readable_values(values)
    if read is not None and read.isnan().any():
        raise ArgumentError(
            f"{who}: a step inside a sequence holds a NaN, which marks padding at the end; fill or "
            "drop such steps first"
        )
