"""Datasets of labeled time series, from arrays and data frames in common formats."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import Tensor

from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.padding import padded_steps
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.series.dataframes import Columns, is_frame, read_frame
from l2l_rnn.data.series.labels import check_single, numbered_labels
from l2l_rnn.errors import ArgumentError, ArgumentTypeError

Moments = tuple[Tensor, Tensor]


@overload
def from_arrays(
    X: Any,
    y: Any,
    *,
    groups: None = None,
    layout: str = ...,
    case: Any = ...,
    time: Any = ...,
    channel: Any = ...,
    standardize: Moments | None = ...,
    drop_single: bool = ...,
) -> SequenceDataset: ...


@overload
def from_arrays(
    X: Any,
    y: Any,
    *,
    groups: Any,
    layout: str = ...,
    case: Any = ...,
    time: Any = ...,
    channel: Any = ...,
    standardize: Moments | None = ...,
    drop_single: bool = ...,
) -> GroupedDataset: ...


def from_arrays(
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    layout: str = "channels_first",
    case: Any = None,
    time: Any = None,
    channel: Any = None,
    standardize: Moments | None = None,
    drop_single: bool = False,
) -> SequenceDataset | GroupedDataset:
    """Make a dataset of labeled time series from any of these formats.

    ==========================================  ==================================================
    format                                      `X`
    ==========================================  ==================================================
    array of sktime or aeon                     (cases, channels, timepoints)
    array of one channel                        (cases, timepoints)
    series of different lengths                 list of (channels, timepoints) or (timepoints,)
    array of tslearn, padded with NaN           (cases, timepoints, channels), with `layout`
    nested frame of sktime                      row per case, column per channel, series in cells
    frame of sktime with two index levels       row per case and time, column per channel
    long frame                                  the same, with columns for `case` and `time`
    ==========================================  ==================================================

    Shorter series are padded with NaN, and NaN at the end of a series counts as padding. The order
    of the axes is never guessed.

    Args:
        X: the series.
        y: the class of each series. Classes are of one hashable type and are numbered in sorted
            order. With a data frame, `y` may also be a mapping or Series from case to class, or the
            name of a column in a long frame.
        groups: the group of each series, such as a person, in the same formats as `y`; None for no
            groups.
        layout: the axes of arrays, `"channels_first"` or `"channels_last"`.
        case, time: the columns of a long frame that contain the series id and the time.
        channel: the column of a long frame that contains the channel id, if each row has the value
            of one channel; None makes every other column a channel.
        standardize: mean and standard deviation of each channel, from `channel_moments` of the
            training series; None leaves the values unchanged.
        drop_single: whether to drop classes with a single example instead of raising an error.

    Returns:
        A `GroupedDataset` if `groups` is given, otherwise a `SequenceDataset`.

    Shapes:
        the series of the dataset (items, S, F) float32, padded with NaN; moments (F,) each.

    Raises:
        ArgumentTypeError: series are not numbers, or labels are of several types.
        ShapeError: cases differ in channels, or the labels do not match the cases.
        DataError: a series is empty, or contains an infinite value or a NaN before its end; a class
            has a single example; a label is missing.
        ArgumentError: the moments do not fit, or the columns of a long frame are not given.
        UnknownNameError: the layout or a column is unknown.

    Example:
        >>> import numpy as np
        >>> X = np.arange(24.0).reshape(4, 2, 3)  # 4 cases, 2 channels, 3 timepoints
        >>> dataset = from_arrays(X, ["walk", "run", "walk", "run"])
        >>> dataset.classes, dataset[0]
        (('run', 'walk'), (tensor([[0., 3.],
                [1., 4.],
                [2., 5.]]), 1))
    """
    who = "from_arrays"
    columns = Columns(case, time, channel)
    if is_frame(X):
        X, labels = read_frame(who, X, columns, {"y": y, "groups": groups})
        y, groups, layout = labels["y"], labels.get("groups"), "channels_last"
    elif columns != Columns():
        raise ArgumentError(
            f"{who}: case, time and channel require a data frame, got {type(X).__name__}; leave "
            "them out"
        )
    steps = padded_steps(who, X, layout)
    if standardize is not None:
        steps = _standardized(steps, standardize)
    numbers, names = numbered_labels(who, "y", y, len(steps))
    kept, classes, names = check_single(who, numbers, names, drop_single)
    if groups is None:
        return SequenceDataset(steps[kept], classes, names)
    owners, owner_names = numbered_labels(who, "groups", groups, len(steps))
    found, owners_kept = torch.from_numpy(owners)[kept].unique(return_inverse=True)
    owner_names = tuple(owner_names[i] for i in found.tolist())
    return GroupedDataset(steps[kept], classes, owners_kept, names, owner_names)


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


def _standardized(steps: Tensor, moments: Moments) -> Tensor:
    try:
        mean, std = (torch.as_tensor(m, dtype=steps.dtype) for m in moments)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"from_arrays: standardize must be a pair of mean and standard deviation, got "
            f"{moments!r}; use channel_moments"
        ) from error
    features = steps.shape[-1]
    shapes = {mean.shape, std.shape}
    if not shapes <= {torch.Size(()), torch.Size((1,)), torch.Size((features,))}:
        raise ArgumentError(
            f"from_arrays: standardize must hold one number for each of {features} channels, got "
            f"shapes {tuple(mean.shape)} and {tuple(std.shape)}; use channel_moments"
        )
    finite = bool(mean.isfinite().all()) and bool(std.isfinite().all())
    if not finite or not bool((std > 0).all()):
        raise ArgumentError(
            "from_arrays: standardize must hold finite means and positive standard deviations, got "
            f"{mean.tolist()} and {std.tolist()}; use channel_moments"
        )
    return (steps - mean) / std
