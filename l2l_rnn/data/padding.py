"""Padding of real-valued series with NaN, and checks of padded values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.checks import check_choice
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError

LAYOUTS = {
    "channels_first": "(cases, channels, timepoints)",
    "channels_last": "(cases, timepoints, channels)",
}


def padded_steps(who: str, series: Any, layout: str = "channels_first") -> Tensor:
    """Return series as one tensor of steps, padded with NaN at the end.

    Args:
        who: prefix of the error message.
        series: an array or tensor of all cases, or a list with one array per case. Cases without a
            channel axis have one channel. NaN at the end of a case is padding.
        layout: the order of the axes of cases with channels: `"channels_first"`, as in sktime and
            aeon, or `"channels_last"`, as in tslearn.

    Shapes:
        series (items, F, S), (items, S, F) or (items, S), or a list of (F, S), (S, F) or (S,);
        returns (items, S, F) float32, where S is the length of the longest case.

    Raises:
        UnknownNameError: the layout is unknown.
        ArgumentTypeError: the series are not numbers.
        ShapeError: they have too many axes, or differ in channels.
        DataError: there are no series, or one is empty, or contains an infinite value or a NaN
            before its last step.

    Example:
        >>> padded_steps("me", [[1.0, 2.0], [3.0]]).squeeze(-1)
        tensor([[1., 2.],
                [3., nan]])
    """
    layout = check_choice(who, "layout", layout, LAYOUTS)
    if isinstance(series, (list, tuple)):
        steps = _from_cases(who, series, layout)
    elif isinstance(series, (np.ndarray, Tensor)):
        steps = _from_array(who, as_numbers(who, series, "series"), layout)
    else:
        raise ArgumentTypeError(
            f"{who}: series must be an array, a tensor, a list of arrays or a data frame, got "
            f"{type(series).__name__}; convert it"
        )
    if len(steps) == 0:
        raise DataError(f"{who}: expected at least one series, got none; pass some")
    other = "channels_last" if layout == "channels_first" else "channels_first"
    fix = f"fill it in, or set layout={other!r} if the axes are swapped"
    padded = torch.from_numpy(steps)
    return padded[:, : int(step_counts(who, padded, fix).max())]


def as_numbers(who: str, values: Any, what: str) -> NDArray[Any]:
    """Return `values` as an array of numbers; `what` names them in the error message."""
    if isinstance(values, Tensor):
        values = _from_tensor(who, values, what)
    if isinstance(values, np.ma.MaskedArray):
        raise ArgumentTypeError(
            f"{who}: {what} must be numbers without a mask, got a masked array; fill in missing "
            "values, with .filled(np.nan) at the end of a case"
        )
    try:
        array = np.asarray(values)
    except (ValueError, TypeError) as error:
        raise ArgumentTypeError(
            f"{who}: {what} must be numbers, got values that cannot form an array ({error}); pass "
            "each case as one array"
        ) from error
    if array.dtype.kind not in "biuf":
        raise ArgumentTypeError(
            f"{who}: {what} must be numbers, got an array of {array.dtype}; pass series of "
            "different lengths as a list of numeric arrays"
        )
    return array


def _from_tensor(who: str, values: Tensor, what: str) -> NDArray[Any]:
    if values.is_complex():
        raise ArgumentTypeError(
            f"{who}: {what} must be real numbers, got {values.dtype}; use torch.view_as_real, and "
            "join the last axis to the channels"
        )
    try:
        values = values.detach().cpu()
        return (values.float() if values.is_floating_point() else values).numpy()
    except (RuntimeError, TypeError, NotImplementedError) as error:
        kind = "nested" if values.is_nested else str(values.layout).removeprefix("torch.")
        raise ArgumentTypeError(
            f"{who}: {what} must be a dense tensor with data, got a {kind} tensor of "
            f"{values.dtype} on {values.device}; use .to_dense(), or .dequantize(), or a list of "
            "tensors"
        ) from error


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
        array = as_numbers(who, values, f"case {i}")
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
                f"{who}: case {i} must have {cases[0].shape[1]} channels like case 0, got "
                f"{array.shape[1]}; add or drop channels, or set layout={other!r} if the axes are "
                "swapped"
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
    with np.errstate(over="ignore"):  # overflow gives infinity, which is reported later
        return np.ascontiguousarray(array, dtype=np.float32)


def check_values(who: str, values: Tensor) -> None:
    """Check the values of a dataset: token ids, steps padded with NaN, or features.

    Shapes:
        values (items, S) integer, or (items, S, F) or (items, F) floating point, with at least one
        item.

    Raises:
        ArgumentError: a token id is negative.
        DataError: an item contains an infinite value or a NaN before its end, or is all padding.
    """
    if not values.is_floating_point():
        if values.numel() and int(values.min()) < 0:
            raise ArgumentError(
                f"{who}: token ids must not be negative, got {int(values.min())}; 0 is padding"
            )
        return
    if values.ndim == 3:
        step_counts(who, values)
    elif not bool((finite := values.isfinite()).all()):
        case, feature = (~finite).nonzero()[0].tolist()
        raise DataError(
            f"{who}: feature {feature} of case {case} must be finite, got "
            f"{values[case, feature].item()}; fix or drop the case"
        )


def step_counts(who: str, steps: Tensor, fix: str = "fill it in") -> Tensor:
    """Count the steps of each case, and check that NaN occurs only at the end.

    Args:
        who: prefix of the error message.
        steps: the steps of at least one case, padded with NaN.
        fix: suggested fix in the message about a NaN before the last step.

    Shapes:
        steps (items, S, F); returns (items,).

    Raises:
        DataError: a case is empty, or contains an infinite value or a NaN before its last step.
    """
    if steps.numel() and bool(steps.isfinite().all()):
        return torch.full((len(steps),), steps.shape[1], device=steps.device)
    infinite = steps.isinf()
    if bool(infinite.any()):
        case, step, channel = infinite.nonzero()[0].tolist()
        raise DataError(
            f"{who}: case {case} must be finite in float32, got an infinite value at step {step} "
            f"of channel {channel}; fix or drop the case"
        )
    missing = steps.isnan()
    # A leading False gives cases without steps a length of 0.
    filled = torch.nn.functional.pad(~missing.all(-1), (1, 0), value=False)
    numbers = torch.arange(filled.shape[1], device=steps.device)
    lengths = (filled * numbers).amax(-1)
    if not bool(lengths.all()):
        raise DataError(
            f"{who}: case {int(lengths.argmin())} must have at least one step, got none; drop it"
        )
    inside = missing & (numbers[:-1] < lengths.unsqueeze(-1)).unsqueeze(-1)
    if bool(inside.any()):
        case, step, channel = inside.nonzero()[0].tolist()
        raise DataError(
            f"{who}: case {case} must have NaN only at its end, got one at step {step} of channel "
            f"{channel}, before its last step {int(lengths[case]) - 1}; {fix}"
        )
    return lengths
