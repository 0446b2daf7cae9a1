"""Datasets of labeled time series, from arrays and data frames in common formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar, Unpack, overload

from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.padding import LAYOUTS, padded_steps
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.series.dataframes import Columns, is_frame, read_frame
from l2l_rnn.data.series.frame_lists import is_frame_list, read_frames
from l2l_rnn.data.series.labeled_series import LabeledSeries
from l2l_rnn.data.series.labels import large_classes, numbered_labels
from l2l_rnn.data.series.layouts import split_flat, warn_if_transposed
from l2l_rnn.data.series.moments import Moments, standardized
from l2l_rnn.errors import ArgumentError

Made = TypeVar("Made", SequenceDataset, GroupedDataset)
Splits = Mapping[str, Sequence[Any]] | Sequence[float]


class SeriesSources(NamedTuple, Generic[Made]):
    """The three splits of a dataset of series, without common classes or groups.

    Attributes:
        train, validation, test: one dataset for each split.
    """

    train: Made
    validation: Made
    test: Made


class Options(TypedDict, total=False):
    """Options of `from_arrays` that do not change the type of its result."""

    lengths: Any
    layout: str | None
    classes: Sequence[Any] | None
    case: Any
    time: Any
    channel: Any
    standardize: Moments | None
    seed: int
    min_items: int
    drop_small: bool


@overload
def from_arrays(
    X: Any, y: Any, *, groups: None = None, splits: None = None, **options: Unpack[Options]
) -> SequenceDataset: ...


@overload
def from_arrays(
    X: Any, y: Any, *, groups: Any, splits: None = None, **options: Unpack[Options]
) -> GroupedDataset: ...


@overload
def from_arrays(
    X: Any, y: Any, *, groups: None = None, splits: Splits, **options: Unpack[Options]
) -> SeriesSources[SequenceDataset]: ...


@overload
def from_arrays(
    X: Any, y: Any, *, groups: Any, splits: Splits, **options: Unpack[Options]
) -> SeriesSources[GroupedDataset]: ...


def from_arrays(
    X: Any,
    y: Any,
    *,
    lengths: Any = None,
    groups: Any = None,
    layout: str | None = None,
    classes: Sequence[Any] | None = None,
    case: Any = None,
    time: Any = None,
    channel: Any = None,
    standardize: Moments | None = None,
    splits: Splits | None = None,
    seed: int = 0,
    min_items: int = 2,
    drop_small: bool = False,
) -> Any:
    """Make a dataset of labeled time series from any of these formats.

    ==========================================  ==================================================
    format                                      `X`
    ==========================================  ==================================================
    array of sktime or aeon                     (cases, channels, timepoints)
    array of one channel                        (cases, timepoints)
    series of different lengths                 list of (channels, timepoints) or (timepoints,)
    array of tslearn, padded with NaN           (cases, timepoints, channels), with `layout`
    flat array, with `lengths`                  (total, channels) or (total,)
    array padded with any value                 as above with three axes, with `lengths`
    nested frame of sktime                      row per case, column per channel, series in cells
    frame of sktime with two index levels       row per case and time, column per channel
    long frame                                  the same, with columns for `case` and `time`
    list of frames of sktime (df-list)          for each case, row per time, column per channel
    list of frames of aeon (df-list)            for each case, row per channel, with `layout`
    ==========================================  ==================================================

    Shorter series are padded with NaN, and NaN at the end of a series counts as padding. The order
    of the axes is never guessed. A warning says so if channels and steps look swapped.

    With `splits`, each class is in one split, so all classes are new at meta-test, as in
    `tasksets.from_hf`. With `groups`, a task is a group, so each group is in one split instead.
    To standardize by the train split, pass `channel_moments(sources.train.sequences)` to a second
    call with the same seed.

    Args:
        X: the series.
        y: the class of each series. Classes are of one hashable type and are numbered in sorted
            order. With a data frame, `y` may also be a mapping or Series from case to class, or the
            name of a column in a long frame.
        lengths: number of steps of each series in a flat or padded array; None for other formats.
        groups: the group of each series, such as a person, in the same formats as `y`; None for no
            groups.
        layout: the axes of arrays, `"channels_first"` or `"channels_last"`. None is channels first
            for arrays, and channels last for flat arrays and lists of frames.
        classes: all classes in their order, which may include classes without series; None takes
            those in `y`. If `y` are integers and no class is named by an integer, they are indices
            into `classes`.
        case, time: the columns of a long frame that contain the series id and the time.
        channel: the column of a long frame that contains the channel id, if each row has the value
            of one channel; None makes every other column a channel.
        standardize: mean and standard deviation of each channel, from `channel_moments` of the
            training series; None leaves the values unchanged.
        splits: the classes (with `groups`, the groups) of each split: a dict of names for
            `"train"`, `"validation"` and `"test"` (others are left out), or three shares of the
            shuffled classes; every split gets at least one. None makes one dataset.
        seed: random seed for shuffling the classes.
        min_items: minimum number of series per class.
        drop_small: whether to drop classes with fewer than `min_items` series instead of raising an
            error. They stay in `classes` if you pass those.

    Returns:
        A `SequenceDataset`, or a `GroupedDataset` if `groups` is given. With `splits`, a tuple
        (train, validation, test) of them; `tasksets.tasksets_of` makes task sets of it.

    Shapes:
        the series of the dataset (items, S, F) float32, padded with NaN; moments (F,) each.

    Raises:
        ArgumentTypeError: series are not numbers, or labels are of several types.
        ShapeError: cases differ in channels, or the labels or lengths do not match the cases.
        DataError: a series is empty, or contains an infinite value or a NaN before its end; a class
            has too few examples; there are too few classes; a label is missing.
        ArgumentError: the moments or `splits` do not fit, or the columns of a long frame are not
            given.
        UnknownNameError: the layout, a column, or a class is unknown.

    Warns:
        UserWarning: the series have more channels than steps, and `layout` is None.

    Example:
        >>> import numpy as np
        >>> X = np.arange(24.0).reshape(4, 2, 3)  # 4 cases, 2 channels, 3 timepoints
        >>> dataset = from_arrays(X, ["walk", "run", "walk", "run"])
        >>> dataset.classes, dataset[0]
        (('run', 'walk'), (tensor([[0., 3.],
                [1., 4.],
                [2., 5.]]), 1))
        >>> flat, lengths = np.arange(36.0), [4, 2, 3] * 4  # one channel, 12 series
        >>> sources = from_arrays(flat, list("abcabcabcabc"), lengths=lengths, splits=(1, 1, 1))
        >>> [source.classes for source in sources]
        [('a',), ('c',), ('b',)]
    """
    who = "from_arrays"
    seed = check_int(who, "seed", seed, least=0)
    min_items = check_int(who, "min_items", min_items)
    labels = {"y": y, "groups": groups}
    steps = _read(who, X, lengths, layout, Columns(case, time, channel), labels)
    if standardize is not None:
        steps = standardized(who, steps, standardize)
    numbers, names = numbered_labels(who, "y", labels["y"], len(steps), classes)
    if groups is None:
        items = LabeledSeries(steps, numbers, names)
    else:
        owners = numbered_labels(who, "groups", labels["groups"], len(steps))
        items = LabeledSeries(steps, numbers, names, *owners)
    if splits is None or groups is not None:
        large = large_classes(who, items.counts(classes is None), min_items, drop_small)
        items = items.of_classes(large, keep_names=classes is not None)
    if splits is None:
        return items.dataset()
    if groups is None:
        return SeriesSources(*items.by_class(who, splits, seed, min_items, drop_small))
    return SeriesSources(*items.by_group(who, splits, seed))


def _read(
    who: str, X: Any, lengths: Any, layout: str | None, columns: Columns, labels: dict[str, Any]
) -> Tensor:
    """Read series in any format, and put labels that a data frame holds in `labels`."""
    framed = is_frame(X) and lengths is None
    if columns != Columns() and not framed:
        kind = "a flat frame" if is_frame(X) else type(X).__name__
        raise ArgumentError(
            f"{who}: case, time and channel require a long data frame, got {kind}; leave them out"
        )
    if framed or is_frame_list(X):
        if lengths is not None:
            raise ArgumentError(
                f"{who}: lengths require one flat or padded array, got a list of frames; leave "
                "them out"
            )
        axes = check_choice(who, "layout", layout or "channels_last", LAYOUTS)
        read = read_frame(who, X, columns, labels) if framed else read_frames(who, X, axes, labels)
        labels.update({"groups": None, **read.labels})
        steps = padded_steps(who, read.series, "channels_last")
        if layout is None and not framed:
            warn_if_transposed(who, steps, axes, stacklevel=3)
        return steps
    if lengths is not None:
        X = split_flat(who, X.to_numpy() if is_frame(X) else X, lengths, layout)
        return padded_steps(who, X, "channels_last")
    steps = padded_steps(who, X, layout or "channels_first")
    if layout is None:
        warn_if_transposed(who, steps, "channels_first", stacklevel=3)
    return steps
