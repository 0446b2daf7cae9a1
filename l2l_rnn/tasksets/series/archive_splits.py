"""Few-shot classification of archived time series, with unseen datasets or unseen classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import torch

from l2l_rnn.checks import check_choice
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.functional import step_lengths
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.series.archive_arrays import (
    Labeled,
    join_datasets,
    natural_order,
    number_classes,
    read_steps,
)

# Datasets that ship with sktime, by kind: electricity and motion, speech, and image outlines.
DATASETS = (
    ("ACSF1", "BasicMotions", "GunPoint", "ItalyPowerDemand", "PLAID"),
    ("JapaneseVowels",),
    ("ArrowHead", "OSULeaf"),
)
UNIVARIATE = ("ACSF1", "ArrowHead", "GunPoint", "ItalyPowerDemand", "OSULeaf", "PLAID")
MIN_CLASSES = 6  # smallest number of classes that a dataset divides among all three splits


def unseen_datasets(
    root: str | os.PathLike[str] = "~/data",
    datasets: Sequence[Sequence[str]] | None = None,
    *,
    channels: str = "separate",
    length: int = 128,
    shorten: str = "mean",
    normalize: bool = True,
    download: bool = True,
) -> tuple[GroupedDataset, GroupedDataset, GroupedDataset]:
    """Make train, validation and test sets from archived series that have no dataset in common.

    All classes of a task come from one dataset; tasks are drawn only from datasets with enough
    classes. By default, electricity and motion are train, speech is validation, and outlines of
    leaves and arrowheads are test. With 5 ways, train tasks come from ACSF1 and PLAID, and test
    tasks from OSULeaf.

    Args:
        root: folder that is searched first, and where downloads are stored; see `archived_series`.
        datasets: names of the datasets for train, validation and test; None uses datasets that ship
            with sktime.
        channels: `"separate"` makes a univariate dataset from each channel; `"together"` keeps the
            channels, and requires the same number in all datasets.
        length: maximum number of steps; longer series are shortened to it.
        shorten: how to shorten a series: `"mean"` averages segments of equal length, `"truncate"`
            keeps the first steps.
        normalize: whether to scale each channel of each series to mean 0 and standard deviation 1,
            as in the UCR archive; a constant channel becomes 0.
        download: whether to download missing datasets.

    Returns:
        The train, validation and test set. A group is a dataset, or one of its channels; class
        names are such as `"OSULeaf/3"`.

    Shapes:
        inputs (items, S, F) float32, padded with NaN, S at most `length`.

    Raises:
        ArgumentError: a dataset is named twice, or datasets differ in their number of channels.
        DataError: a series has a NaN before its end.
        Other errors: as `archived_series`.

    Example:
        >>> train, validation, test = unseen_datasets()
        >>> test.group_names, test.inputs.shape
        (('ArrowHead', 'OSULeaf'), torch.Size([652, 128, 1]))

    Source: as `archived_series`. Averages of segments: E. Keogh et al., 2001, Dimensionality
    Reduction for Fast Similarity Search in Large Time Series Databases.
    """
    check_choice("series", "channels", channels, ("separate", "together"))
    splits = _checked_splits(DATASETS if datasets is None else datasets)
    made: list[GroupedDataset] = []
    for names in splits:
        parts: list[Labeled] = []
        groups: list[str] = []
        for name in names:
            steps, labels = read_steps(name, root, download, length, shorten, normalize)
            keep = channels == "together" or steps.shape[-1] == 1
            for channel, part in enumerate([steps] if keep else steps.split(1, -1)):
                parts.append((part, [f"{name}/{label}" for label in labels]))
                groups.append(name if keep else f"{name}[{channel}]")
        inputs, classes = join_datasets(parts, made[0].inputs.shape[-1] if made else None)
        numbers, class_names = number_classes(classes)
        owners = [torch.full((len(part),), g) for g, (part, _) in enumerate(parts)]
        made.append(GroupedDataset(inputs, numbers, torch.cat(owners), class_names, groups))
    train, validation, test = made
    return train, validation, test


def unseen_classes(
    root: str | os.PathLike[str] = "~/data",
    datasets: Sequence[str] | None = None,
    *,
    length: int = 128,
    shorten: str = "mean",
    normalize: bool = True,
    download: bool = True,
) -> tuple[SequenceDataset, SequenceDataset, SequenceDataset]:
    """Make train, validation and test sets from archived series that have no class in common.

    A task mixes classes of several datasets. In a dataset with at least six classes, the last fifth
    of the classes (at least two) is test, and the fifth before that is validation. All classes of
    smaller datasets are train.

    Args:
        root, length, shorten, normalize, download: as in `unseen_datasets`.
        datasets: names of the datasets; None uses the univariate datasets that ship with sktime.

    Returns:
        The train, validation and test set. Class names are such as `"OSULeaf/3"`.

    Shapes:
        sequences (items, S, F) float32, padded with NaN, S at most `length`.

    Raises:
        DataError: no dataset has six classes.
        Other errors: as `unseen_datasets`.

    Example:
        >>> train, validation, test = unseen_classes()
        >>> test.classes
        ('ACSF1/8', 'ACSF1/9', 'OSULeaf/5', 'OSULeaf/6', 'PLAID/9', 'PLAID/10')
    """
    names = _checked_names(UNIVARIATE if datasets is None else datasets)
    parts = []
    split_of: dict[str, str] = {}
    for name in names:
        steps, labels = read_steps(name, root, download, length, shorten, normalize)
        parts.append((steps, [f"{name}/{label}" for label in labels]))
        classes = sorted(set(parts[-1][1]), key=natural_order)
        fifth = max(2, len(classes) // 5) if len(classes) >= MIN_CLASSES else 0
        for i, label in enumerate(reversed(classes)):
            split_of[label] = "test" if i < fifth else "validation" if i < 2 * fifth else "train"
    sequences, labels = join_datasets(parts)
    made = []
    for split in SPLITS:
        rows = [i for i, label in enumerate(labels) if split_of[label] == split]
        if not rows:
            raise DataError(
                f"series: a dataset must have {MIN_CLASSES} classes to fill the {split} split, got "
                f"none in {', '.join(names)}; add one"
            )
        numbers, class_names = number_classes([labels[i] for i in rows])
        chosen = sequences[rows]
        chosen = chosen[:, : int(step_lengths(chosen).max())].contiguous()
        made.append(SequenceDataset(chosen, numbers, class_names))
    train, validation, test = made
    return train, validation, test


@register_taskset(
    "series",
    TaskCard(
        task="Classify time series of an unseen dataset into five classes, given a few of each.",
        source="the UCR and UEA time series archives, in the package sktime",
        license="BSD-3-Clause",
        classes=(10, 12, 2),
        items=(3045, 7680, 652),
        lengths=(7, 128),
        splits="disjoint by dataset and kind of signal",
        measure="accuracy",
        chance=0.2,
        baseline=("nearest neighbor by Euclidean distance", 0.46),
        counted="datasets",
        extra="series",
    ),
)
def _series(
    root: str = "~/data",
    *,
    protocol: str = "datasets",
    datasets: Sequence[Sequence[str]] | Sequence[str] | None = None,
    channels: str | None = None,
    length: int = 128,
    shorten: str = "mean",
    normalize: bool = True,
    download: bool = True,
) -> Sources:
    check_choice("series", "protocol", protocol, ("datasets", "classes"))
    options = {"length": length, "shorten": shorten, "normalize": normalize, "download": download}
    if protocol == "datasets":
        options["channels"] = "separate" if channels is None else channels
        return unseen_datasets(root, datasets, **options)  # type: ignore[arg-type]
    if channels is not None:
        raise ArgumentError(
            f"series: channels requires protocol='datasets', got {channels!r} with "
            "protocol='classes'; drop it"
        )
    return unseen_classes(root, datasets, **options)  # type: ignore[arg-type]


def _checked_names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ArgumentTypeError(
            f"series: datasets must be a sequence of names, got the str {names!r}; pass "
            f"({names!r},)"
        )
    # The order of a set of strings changes from one process to the next.
    names = tuple(sorted(names) if isinstance(names, (set, frozenset)) else names)
    if not names:
        raise ArgumentError(
            "series: every split must have at least one dataset, got none; name one"
        )
    if not all(isinstance(name, str) for name in names):
        raise ArgumentTypeError(
            f"series: names of datasets must be str, got {names!r}; set protocol='datasets' to "
            "pass three sequences of names"
        )
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ArgumentError(
            f"series: names of datasets must be distinct, got {repeated[0]!r} twice; drop one"
        )
    return names


def _checked_splits(datasets: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    listed = isinstance(datasets, (list, tuple)) and len(datasets) == 3
    if not listed or any(isinstance(names, str) for names in datasets):
        raise ArgumentTypeError(
            f"series: datasets must be three sequences of names, for {', '.join(SPLITS)}, got "
            f"{datasets!r}; set protocol='classes' to pass a single sequence"
        )
    splits = [_checked_names(names) for names in datasets]
    _checked_names([name for names in splits for name in names])
    return splits
