"""Real-valued series as one tensor of steps, padded with NaN at the end, and checked."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, UnknownNameError

LAYOUTS = {
    "channels_first": "(cases, channels, timepoints)",
    "channels_last": "(cases, timepoints, channels)",
}


def padded_steps(who: str, series: Any, layout: str = "channels_first") -> Tensor:
    """Bring series to one tensor of steps, each padded with NaN at its end.

    Args:
        who: who asks, to begin an error's message.
        series: an array or tensor of all cases, or a list of one array a case. Cases without an
            axis of channels have one channel. NaN at the end of a case counts as padding.
        layout: the order of the axes where there are channels: `"channels_first"`, as sktime and
            aeon have them, or `"channels_last"`, as tslearn has them.

    Shapes:
        series (items, F, S), (items, S, F) or (items, S), or items of (F, S), (S, F) or (S,);
        returns (items, S, F) float32, S the longest case.

    Raises:
        UnknownNameError: the layout is not known.
        ArgumentTypeError: the series are not numbers.
        ShapeError: they have too many axes, or differ in channels.
        DataError: there is none, one is empty, or one holds an infinite value, or a NaN before
            its last step.

    Example:
        >>> padded_steps("me", [[1.0, 2.0], [3.0]]).squeeze(-1)
        tensor([[1., 2.],
                [3., nan]])
    """
    if layout not in LAYOUTS:
        raise UnknownNameError(
            f"{who}: unknown layout {layout!r}. Known: "
            + ", ".join(f"{name}, for {axes}" for name, axes in LAYOUTS.items())
        )
    if isinstance(series, (list, tuple)):
        steps = _from_cases(who, series, layout)
    elif isinstance(series, (np.ndarray, Tensor)):
        steps = _from_array(who, _numbers(who, series, "the series are"), layout)
    else:
        raise ArgumentTypeError(
            f"{who}: series must be an array, a tensor, a list of arrays or a data frame, got "
            f"{type(series).__name__}; pass one of these"
        )
    if len(steps) == 0:
        raise DataError(f"{who}: expected at least one series, got none; pass some")
    other = "channels_last" if layout == "channels_first" else "channels_first"
    mend = f"fill it in, or set layout={other!r} if the axes are the other way round"
    made = torch.from_numpy(steps)
    return made[:, : int(step_counts(who, made, mend).max())]


def positive_count(who: str, what: str, value: object) -> int:
    """Return a positive integer as an int, or raise an ArgumentError."""
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if count < 1 or isinstance(value, bool):
        raise ArgumentError(
            f"{who}: {what} must be a positive integer, got {value!r}; set it to such a number"
        )
    return count


def _numbers(who: str, values: Any, subject: str) -> NDArray[Any]:
    """Make an array of numbers, or say that `subject` ("case 3 is") something else."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.is_floating_point() else values).numpy()
    if isinstance(values, np.ma.MaskedArray):
        raise ArgumentTypeError(
            f"{who}: {subject} a masked array; fill what is missing, or use .filled(np.nan) where "
            "it is missing at the end"
        )
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ArgumentTypeError(
            f"{who}: {subject} no array ({error}); give each case as one array of numbers"
        ) from error
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(
            f"{who}: {subject} an array of {array.dtype}, expected numbers; pass ragged series as "
            "a list of numeric arrays, and other values as floats"
        )
    return array


def _from_array(who: str, array: NDArray[Any], layout: str) -> NDArray[np.float32]:
    if array.ndim == 2:
        array = array[:, :, np.newaxis]
    elif array.ndim == 3:
        array = array.transpose(0, 2, 1) if layout == "channels_first" else array
    else:
        raise ShapeError(
            f"{who}: an array of series must be {LAYOUTS[layout]} or (cases, timepoints), got "
            f"shape {array.shape}; reshape it"
        )
    return _single(array)


def _from_cases(who: str, series: Sequence[Any], layout: str) -> NDArray[np.float32]:
    first = layout == "channels_first"
    cases: list[NDArray[Any]] = []
    for i, values in enumerate(series):
        array = _numbers(who, values, f"case {i} is")
        if array.ndim == 1:
            array = array[:, np.newaxis]
        elif array.ndim == 2:
            array = array.T if first else array
        else:
            expected = "(channels, timepoints)" if first else "(timepoints, channels)"
            raise ShapeError(
                f"{who}: case {i} must be {expected} or (timepoints,), got shape {array.shape}; "
                "reshape it"
            )
        if cases and array.shape[1] != cases[0].shape[1]:
            other = "channels_last" if first else "channels_first"
            raise ShapeError(
                f"{who}: case {i} has {array.shape[1]} channels and case 0 has "
                f"{cases[0].shape[1]}; give all the same, or set layout={other!r} if the axes are "
                "the other way round"
            )
        cases.append(array)
    if not cases:
        return np.empty((0, 0, 0), np.float32)
    longest = max(map(len, cases))
    steps = np.full((len(cases), longest, cases[0].shape[1]), np.nan, np.float32)
    for row, array in zip(steps, cases, strict=True):
        row[: len(array)] = _single(array)
    return steps


def _single(array: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # what overflows is infinite, and reported as that
        return np.ascontiguousarray(array, dtype=np.float32)


def check_values(who: str, values: Tensor) -> None:
    """Check what a dataset holds: token ids, steps padded with NaN at the end alone, or features.

    Shapes:
        values (items, S) integers, or (items, S, F) or (items, F) floating point; an item or more.

    Raises:
        ArgumentError: a token id is negative.
        DataError: an item holds an infinite value, or a NaN that is no padding, or is all padding.
    """
    if not values.is_floating_point():
        if values.numel() and int(values.min()) < 0:
            raise ArgumentError(
                f"{who}: token ids must be 0 or more, got {int(values.min())}; 0 is padding"
            )
        return
    if values.ndim == 3:
        step_counts(who, values)
    elif not bool((found := values.isfinite()).all()):
        case, feature = (~found).nonzero()[0].tolist()
        raise DataError(
            f"{who}: case {case} has {values[case, feature].item()} as feature {feature}, expected "
            "a finite number; mend or drop it"
        )


def step_counts(who: str, steps: Tensor, mend: str = "fill it in") -> Tensor:
    """Count the steps of each case, and check that NaN stands at the end of one alone.

    Args:
        who: who asks, to begin an error's message.
        steps: an item or more.
        mend: what is to be done about a NaN before the last step.

    Shapes:
        steps (items, S, F); returns (items,).

    Raises:
        DataError: a case is empty, or holds an infinite value, or a NaN before its last step.
    """
    if steps.numel() and bool(steps.isfinite().all()):
        return torch.full((len(steps),), steps.shape[1], device=steps.device)
    infinite = steps.isinf()
    if bool(infinite.any()):
        case, step, channel = infinite.nonzero()[0].tolist()
        raise DataError(
            f"{who}: case {case} is infinite, or too large for float32, at step {step} of channel "
            f"{channel}; mend or drop it"
        )
    missing = steps.isnan()
    # One step of zeros before them, so that a case without steps has 0.
    filled = torch.nn.functional.pad(~missing.all(-1), (1, 0), value=False)
    places = torch.arange(filled.shape[1], device=steps.device)
    lengths = (filled * places).amax(-1)
    if not bool(lengths.all()):
        raise DataError(
            f"{who}: case {int(lengths.argmin())} is empty, expected a step or more; drop it"
        )
    inside = missing & (places[:-1] < lengths.unsqueeze(-1)).unsqueeze(-1)
    if bool(inside.any()):
        case, step, channel = inside.nonzero()[0].tolist()
        raise DataError(
            f"{who}: case {case} has a NaN at step {step} of channel {channel}, before its last "
            f"step {int(lengths[case]) - 1}; {mend}"
        )
    return lengths
