"""Series of the UCR and UEA archives: few-shot classification of unseen datasets or classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.padding import padded_steps
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.series.labels import numbered_labels
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.functional import step_lengths
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.series.archives import archived_series

MODES = ("train", "validation", "test")
# What ships in sktime, by kind: electricity and motion, speech, and outlines of images.
DATASETS = (
    ("ACSF1", "BasicMotions", "GunPoint", "ItalyPowerDemand", "PLAID"),
    ("JapaneseVowels",),
    ("ArrowHead", "OSULeaf"),
)
UNIVARIATE = ("ACSF1", "ArrowHead", "GunPoint", "ItalyPowerDemand", "OSULeaf", "PLAID")
LEAST_CLASSES = 6  # that a dataset must have for its classes to be dealt to all three splits

Labelled = tuple[Tensor, list[str]]


def unseen_datasets(
    root: str | os.PathLike[str] = "~/data",
    datasets: Sequence[Sequence[str]] | None = None,
    *,
    channels: str = "apart",
    length: int = 128,
    shorten: str = "mean",
    normalise: bool = True,
    download: bool = True,
) -> tuple[GroupedDataset, GroupedDataset, GroupedDataset]:
    """Make sets of archived series whose splits share no dataset: a task is of one dataset.

    A task draws its classes of one dataset; only datasets with enough of them are drawn. By
    default electricity and motion are train, speech is validation and outlines of leaves and
    arrowheads are test: at 5 ways train has ACSF1 and PLAID to draw from, and test has OSULeaf.

    Args:
        root: where archives are looked for first, and stored; see `archived_series`.
        datasets: names for train, validation and test; None takes what ships in sktime.
        channels: `"apart"` makes of each channel of a dataset one of its own, so that all have
            one channel; `"together"` leaves them, and all must have as many.
        length: longer series are brought to this many steps; shorter ones stay.
        shorten: `"mean"` takes means of stretches of equal length, `"cut"` the first steps.
        normalise: whether each channel of each series is brought to mean 0 and standard deviation
            1, as the archive does; a constant one becomes 0.
        download: whether sets that are not there may be fetched.

    Returns:
        The three; groups are datasets, or channels of them, and a class is `"OSULeaf/3"`.

    Shapes:
        inputs (items, S, F) float32, padded with NaN, S at most `length`.

    Raises:
        As `archived_series`; ArgumentError if a dataset is in two splits, or channels differ in
        number; DataError if a series has a NaN before its end.

    Example:
        >>> train, validation, test = unseen_datasets()
        >>> test.group_names, test.inputs.shape
        (('ArrowHead', 'OSULeaf'), torch.Size([652, 128, 1]))

    Source: as `archived_series`; means of stretches: E. Keogh et al., 2001, Dimensionality
    Reduction for Fast Similarity Search in Large Time Series Databases.
    """
    _check_choice("channels", channels, ("apart", "together"))
    splits = _checked_splits(DATASETS if datasets is None else datasets)
    made: list[GroupedDataset] = []
    for names in splits:
        parts: list[Labelled] = []
        groups: list[str] = []
        for name in names:
            steps, labels = _read(name, root, download, length, shorten, normalise)
            for channel, part in enumerate(steps.split(1, -1) if channels == "apart" else [steps]):
                parts.append((part, [f"{name}/{label}" for label in labels]))
                alone = channels == "together" or steps.shape[-1] == 1
                groups.append(name if alone else f"{name}[{channel}]")
        inputs, classes = _joined(parts, made[0].inputs.shape[-1] if made else None)
        numbers, class_names = _numbered(classes)
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
    normalise: bool = True,
    download: bool = True,
) -> tuple[SequenceDataset, SequenceDataset, SequenceDataset]:
    """Make sets of archived series whose splits share no class: a task mixes classes of datasets.

    Of a dataset of six classes or more, the last fifth of them (two at least) is test, the fifth
    before that validation. Smaller datasets are train.

    Args:
        root, length, shorten, normalise, download: as in `unseen_datasets`.
        datasets: names; None takes those of one channel that ship in sktime.

    Returns:
        The three; a class is `"OSULeaf/3"`.

    Shapes:
        sequences (items, S, F) float32, padded with NaN, S at most `length`.

    Raises:
        As `unseen_datasets`; DataError if no dataset has six classes.

    Example:
        >>> train, validation, test = unseen_classes()
        >>> test.classes
        ('ACSF1/8', 'ACSF1/9', 'OSULeaf/5', 'OSULeaf/6', 'PLAID/9', 'PLAID/10')
    """
    names = _checked_names(UNIVARIATE if datasets is None else datasets)
    parts = []
    mode_of: dict[str, int] = {}
    for name in names:
        steps, labels = _read(name, root, download, length, shorten, normalise)
        parts.append((steps, [f"{name}/{label}" for label in labels]))
        classes = sorted(set(parts[-1][1]), key=_natural)
        fifth = max(2, len(classes) // 5) if len(classes) >= LEAST_CLASSES else 0
        for place, label in enumerate(reversed(classes)):
            mode_of[label] = 2 if place < fifth else 1 if place < 2 * fifth else 0
    sequences, labels = _joined(parts)
    made = []
    for mode, split in enumerate(MODES):
        rows = [i for i, label in enumerate(labels) if mode_of[label] == mode]
        if not rows:
            raise DataError(
                f"series: none of {', '.join(names)} has {LEAST_CLASSES} classes, so the {split} "
                "split is empty; name a dataset that has"
            )
        numbers, class_names = _numbered([labels[i] for i in rows])
        chosen = sequences[rows]
        chosen = chosen[:, : int(step_lengths(chosen).max())].contiguous()
        made.append(SequenceDataset(chosen, numbers, class_names))
    train, validation, test = made
    return train, validation, test


@register_taskset(
    "series",
    TaskCard(
        task="Tell which of five classes of an unseen dataset a series is of, from a few of each.",
        source="the UCR and UEA time series archives, in the package sktime",
        license="BSD-3-Clause",
        classes=(10, 12, 2),
        items=(3045, 7680, 652),
        lengths=(7, 128),
        splits="dataset and kind of signal",
        measure="accuracy",
        chance=0.2,
        baseline=("the nearest neighbour by Euclidean distance", 0.46),
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
    normalise: bool = True,
    download: bool = True,
) -> Sources:
    _check_choice("protocol", protocol, ("datasets", "classes"))
    how = {"length": length, "shorten": shorten, "normalise": normalise, "download": download}
    if protocol == "datasets":
        how["channels"] = "apart" if channels is None else channels
        return unseen_datasets(root, datasets, **how)  # type: ignore[arg-type]
    if channels is not None:
        raise ArgumentError(
            f"series: channels is for protocol='datasets', got {channels!r} with "
            "protocol='classes'; leave it out"
        )
    return unseen_classes(root, datasets, **how)  # type: ignore[arg-type]


def _read(
    name: str,
    root: str | os.PathLike[str],
    download: bool,
    length: int,
    shorten: str,
    normalise: bool,
) -> Labelled:
    """Read a dataset as steps `(items, S, F)` with the class of each."""
    length = check_int("series", "length", length)
    _check_choice("shorten", shorten, ("mean", "cut"))
    series, labels = archived_series(name, root, download)
    steps = padded_steps(f"series: {name}", series)
    if shorten == "cut":
        steps = steps[:, :length]
    elif steps.shape[1] > length:
        steps = _means(steps, length)
    if normalise:
        mean = steps.nanmean(1, keepdim=True)
        deviation = (steps - mean).square().nanmean(1, keepdim=True).sqrt()
        still = deviation <= 1e-6 * mean.abs().clamp(min=1e-30)
        steps = (steps - mean) / deviation.where(~still, torch.inf)
    return steps.contiguous(), labels


def _means(steps: Tensor, length: int) -> Tensor:
    """Bring series that are longer to `length` steps, means of stretches of them."""
    short = steps[:, :length].clone()
    lengths = step_lengths(steps)
    for long in lengths[lengths > length].unique().tolist():
        rows = lengths == long
        cut = steps[rows, :long].mT  # (rows, F, long)
        short[rows] = torch.nn.functional.adaptive_avg_pool1d(cut, length).mT
    return short


def _joined(parts: Sequence[Labelled], channels: int | None = None) -> tuple[Tensor, list[str]]:
    """Join datasets into one, padded to the longest."""
    counts = {part.shape[-1] for part, _ in parts} | ({channels} if channels else set())
    if len(counts) > 1:
        raise ArgumentError(
            f"series: all datasets must have as many channels, got {sorted(counts)}; choose "
            "others, or take channels='apart' with protocol='datasets'"
        )
    longest = max(part.shape[1] for part, _ in parts)
    padded = [
        torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[1]), value=torch.nan)
        for part, _ in parts
    ]
    return torch.cat(padded), [label for _, labels in parts for label in labels]


def _numbered(labels: list[str]) -> tuple[Tensor, list[str]]:
    """Number classes in their natural order, 9 before 10."""
    numbers, names = numbered_labels("series", "labels", labels, len(labels))
    order = sorted(range(len(names)), key=lambda i: _natural(names[i]))
    places = torch.tensor(order).argsort()
    return places[torch.from_numpy(numbers)], [names[i] for i in order]


def _natural(name: str) -> tuple[str, bool, int, str]:
    dataset, _, label = name.partition("/")
    number = label.isdecimal()
    return dataset, not number, int(label) if number else 0, label


def _checked_names(names: Iterable[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ArgumentTypeError(
            f"series: expected a sequence of names, got the str {names!r}; pass ({names!r},)"
        )
    # A set of strings changes its order from one process to the next.
    names = tuple(sorted(names) if isinstance(names, (set, frozenset)) else names)
    if not names:
        raise ArgumentError("series: expected at least one dataset in every split, got none")
    if not all(isinstance(name, str) for name in names):
        raise ArgumentTypeError(
            f"series: a dataset's name must be a str, got {names!r}; only protocol='datasets' "
            "takes three sequences of them"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ArgumentError(f"series: {twice[0]!r} is named twice; a dataset stands once")
    return names


def _checked_splits(datasets: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    listed = isinstance(datasets, (list, tuple)) and len(datasets) == 3
    if not listed or any(isinstance(names, str) for names in datasets):
        raise ArgumentTypeError(
            f"series: datasets must be three sequences of names, for {', '.join(MODES)}, got "
            f"{datasets!r}; protocol='classes' takes one sequence"
        )
    splits = [_checked_names(names) for names in datasets]
    _checked_names([name for names in splits for name in names])
    return splits


def _check_choice(what: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UnknownNameError(f"series: unknown {what} {value!r}. Known: {', '.join(known)}")
