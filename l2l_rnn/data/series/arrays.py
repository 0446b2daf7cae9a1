"""Datasets to draw tasks from, made of time series in the field's conventions."""

from __future__ import annotations

from typing import Any, overload

import torch
from torch import Tensor

from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.padding import padded_steps
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.series.dataframes import Columns, is_frame, read_frame
from l2l_rnn.data.series.labels import drop_single as without_single
from l2l_rnn.data.series.labels import numbered_labels
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
    standardise: Moments | None = ...,
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
    standardise: Moments | None = ...,
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
    standardise: Moments | None = None,
    drop_single: bool = False,
) -> SequenceDataset | GroupedDataset:
    """Make a dataset of labelled time series, in any of the forms that the field keeps them in.

    ==========================================  ==================================================
    form                                        `X`
    ==========================================  ==================================================
    sktime's and aeon's array                   (cases, channels, timepoints)
    one channel                                 (cases, timepoints)
    ragged series                               a list of (channels, timepoints) or (timepoints,)
    tslearn's array, padded with NaN            (cases, timepoints, channels), `layout` given
    sktime's nested frame                       a row a case, a column a channel, series in cells
    sktime's frame of two index levels          a row for each case and time, a column a channel
    long frame                                  the same, with columns for `case` and `time`
    ==========================================  ==================================================

    Series of unequal length, and NaN at the end of one, become padding. The order of the axes is
    never guessed.

    Args:
        X: the series.
        y: the class of each, of any hashable type, all of one; they are numbered in their own
            order. Of a data frame also by case, as a mapping or a Series, or the name of a column
            of a long one.
        groups: whom or what each series belongs to, given as `y` is; None makes no groups.
        layout: of arrays: `"channels_first"`, or `"channels_last"`.
        case, time: of a long frame: the columns that name the series and the time.
        channel: of a long frame: the column that names the channel, where each row has the value
            of one; None takes every other column for a channel.
        standardise: mean and standard deviation of each channel, from the `channel_moments` of the
            training series; None leaves the values.
        drop_single: whether to leave out classes of one example, rather than to raise.

    Returns:
        A `GroupedDataset` if there are groups, else a `SequenceDataset`.

    Shapes:
        the dataset's series (items, S, F) float32, padded with NaN; moments (F,) each.

    Raises:
        ArgumentTypeError: series are not numbers, or labels are of several types.
        ShapeError: cases differ in channels, or there is not one label for each.
        DataError: a series is empty, or holds an infinite value or a NaN before its end; a class
            has one example; a label is missing.
        ArgumentError: the moments do not fit, or a data frame cannot be read without more words.
        UnknownNameError: the layout or a column is not known.

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
            f"{who}: case, time and channel name columns of a data frame, got {type(X).__name__}; "
            "leave them out"
        )
    steps = padded_steps(who, X, layout)
    if standardise is not None:
        steps = _standardised(steps, standardise)
    numbers, names = numbered_labels(who, "y", y, len(steps))
    kept, classes, names = without_single(who, numbers, names, drop_single)
    if groups is None:
        return SequenceDataset(steps[kept], classes, names)
    owners, owner_names = numbered_labels(who, "groups", groups, len(steps))
    found, owners_kept = torch.from_numpy(owners)[kept].unique(return_inverse=True)
    owner_names = tuple(owner_names[i] for i in found.tolist())
    return GroupedDataset(steps[kept], classes, owners_kept, names, owner_names)


def channel_moments(steps: Tensor) -> Moments:
    """Compute the mean and standard deviation of each channel, padding left out.

    Args:
        steps: series, padded with NaN.

    Returns:
        The two; a channel that never changes has a standard deviation of 1.

    Shapes:
        steps (…, S, F); returns (F,) and (F,).

    Example:
        >>> channel_moments(torch.tensor([[[1.0], [3.0]], [[2.0], [float("nan")]]]))
        (tensor([2.]), tensor([0.8165]))
    """
    if not isinstance(steps, Tensor) or not steps.is_floating_point() or steps.dim() < 2:
        raise ArgumentTypeError(
            f"channel_moments: expected steps (…, S, F) of real values, got "
            f"{tuple(steps.shape) if isinstance(steps, Tensor) else type(steps).__name__}; pass "
            "dataset.sequences or dataset.inputs"
        )
    values = steps.flatten(0, -2).double()
    mean = values.nanmean(0)
    deviation = (values - mean).square().nanmean(0).sqrt()
    constant = deviation <= 1e-7 * mean.abs().clamp(min=1e-30)
    return mean.to(steps.dtype), deviation.where(~constant, 1.0).to(steps.dtype)


def _standardised(steps: Tensor, moments: Moments) -> Tensor:
    try:
        mean, deviation = (torch.as_tensor(m, dtype=steps.dtype) for m in moments)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"from_arrays: standardise must be a pair of mean and standard deviation, got "
            f"{moments!r}; use channel_moments"
        ) from error
    features = steps.shape[-1]
    shapes = {mean.shape, deviation.shape}
    if not shapes <= {torch.Size(()), torch.Size((1,)), torch.Size((features,))}:
        raise ArgumentError(
            f"from_arrays: standardise must hold a number for each of {features} channels, got "
            f"shapes {tuple(mean.shape)} and {tuple(deviation.shape)}; use channel_moments"
        )
    finite = bool(mean.isfinite().all()) and bool(deviation.isfinite().all())
    if not finite or not bool((deviation > 0).all()):
        raise ArgumentError(
            "from_arrays: standardise must hold finite means and positive standard deviations, got "
            f"{mean.tolist()} and {deviation.tolist()}; use channel_moments"
        )
    return (steps - mean) / deviation
