"""Axes of arrays of series: flat series with lengths, and a check for swapped axes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.checks import check_choice
from l2l_rnn.data.padding import LAYOUTS, as_numbers
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError

_MOST_ITEMS = 64  # series that the check for swapped axes looks at


def split_flat(who: str, X: Any, lengths: Any, layout: str | None) -> list[NDArray[Any]]:
    """Cut one long array of concatenated series into its series.

    Args:
        who: prefix of the error message.
        X: the series one after the other, or one padded array of three axes.
        lengths: the number of steps of each series.
        layout: `"channels_first"`, `"channels_last"`, or None: flat series have their channels
            last, padded arrays have them first.

    Shapes:
        X (total,), (total, F) or, with the channels first, (F, total); or (items, F, S) or, with
        the channels last, (items, S, F); returns (S,) or (S, F) for each series.

    Raises:
        UnknownNameError: the layout is unknown.
        ArgumentTypeError: X are not numbers, or the lengths are not integers.
        ShapeError: the lengths do not match X.
        DataError: a series is empty.

    Example:
        >>> split_flat("me", [1.0, 2.0, 3.0], [2, 1], None)
        [array([1., 2.]), array([3.])]
    """
    if layout is not None:
        check_choice(who, "layout", layout, LAYOUTS)
    array = as_numbers(who, X, "X")
    counts = _lengths(who, lengths)
    if array.ndim == 3:
        return _cut(who, array if layout == "channels_last" else array.transpose(0, 2, 1), counts)
    if array.ndim not in (1, 2):
        raise ShapeError(
            f"{who}: X must be (total,), (total, channels) or {LAYOUTS['channels_first']} if "
            f"lengths are given, got shape {array.shape}; reshape it"
        )
    if array.ndim == 2 and layout == "channels_first":
        array = array.T
    total = sum(counts.tolist())
    if total != len(array):
        raise ShapeError(
            f"{who}: lengths must add up to the {len(array)} steps of X, got {total} in "
            f"{len(counts)} series; {_fix(array, lengths, counts)}"
        )
    return np.split(array, counts.cumsum()[:-1])


def _lengths(who: str, lengths: Any) -> NDArray[np.int64]:
    array = as_numbers(who, lengths, "lengths")
    if array.size == 0:
        raise DataError(f"{who}: expected at least one series, got no lengths; pass some")
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise ArgumentTypeError(
            f"{who}: lengths must be a sequence of integers, got {array.dtype} of shape "
            f"{array.shape}; pass the number of steps of each series"
        )
    counts = array.astype(np.int64)
    if counts.min() < 1:
        raise DataError(
            f"{who}: case {int(counts.argmin())} must have at least one step, got "
            f"{counts.min()} in lengths; drop it"
        )
    return counts


def _cut(who: str, array: NDArray[Any], counts: NDArray[np.int64]) -> list[NDArray[Any]]:
    if len(counts) != len(array) or counts.max() > array.shape[1]:
        raise ShapeError(
            f"{who}: lengths must be at most {array.shape[1]}, one for each of {len(array)} "
            f"series, got {len(counts)} of at most {counts.max()}; correct them, or set the layout"
        )
    return [series[:count] for series, count in zip(array, counts, strict=True)]


def _fix(array: NDArray[Any], lengths: Any, counts: NDArray[np.int64]) -> str:
    """Return what to do about lengths that do not add up."""
    if counts[-1] == len(array) and (np.diff(counts) > 0).all():
        return "if these are the ends of the series, pass numpy.diff(ends, prepend=0)"
    if array.ndim == 2 and counts.sum() == array.shape[1]:
        return "transpose X"
    if array.ndim == 2 and len(counts) == len(array) and counts.max() <= array.shape[1]:
        return "if each row of X is a padded series, pass X[:, None, :]"
    return "pass the number of steps of each series, in their order"


def warn_if_transposed(who: str, steps: Tensor, layout: str, stacklevel: int) -> None:
    """Warn if the channels of series look like their steps.

    Most series have more steps than channels. If these have fewer, the axes are probably swapped,
    unless values change much less from step to step than from channel to channel, as they do in a
    series of many sensors. Padding shows which axis is time, so padded series are never suspected.

    Args:
        who: prefix of the warning.
        steps: series, padded with NaN.
        layout: the default layout that they were read with.
        stacklevel: as in `warnings.warn`, from the caller.

    Shapes:
        steps (items, S, F).
    """
    count, channels = steps.shape[1:]
    if channels <= count:
        return
    some = steps[:: -(-len(steps) // _MOST_ITEMS)]
    if bool(some.isnan().any()) or _is_smooth(some):
        return
    other = "channels_last" if layout == "channels_first" else "channels_first"
    warnings.warn(
        f"{who}: X looks transposed, as each series has {channels} channels and {count} steps in "
        f"the default layout {layout!r}; set layout={other!r} if the axes are swapped, or "
        f"layout={layout!r} to silence this warning",
        UserWarning,
        stacklevel=stacklevel + 1,
    )


def _is_smooth(steps: Tensor) -> bool:
    """Return whether values change much less from step to step than from channel to channel."""
    if steps.shape[1] < 2:
        return False
    in_time, across = (steps.double().diff(dim=axis).abs().mean() for axis in (1, 2))
    return bool(in_time < 0.5 * across)
