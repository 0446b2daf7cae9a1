"""Assignment of the classes of a text dataset to splits."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from l2l_rnn.data.splits import SPLITS, Split
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.registry import hint
from l2l_rnn.tasksets.hub.files import split_of
from l2l_rnn.tasksets.hub.survey import Survey

Classes = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]  # train, validation, test

_SHARES = (0.6, 0.2, 0.2)


def split_classes(
    found: Survey,
    dataset_splits: Sequence[str],
    splits: Any,
    seed: int,
    min_items: int,
    drop_small: bool,
    left_out: Sequence[str] = (),
) -> Classes:
    """Return the class names of each split, sorted.

    Args:
        found: result of `survey`.
        dataset_splits: names of the dataset's own splits.
        splits, seed, min_items, drop_small: as in `from_hf`.
        left_out: classes to leave out unless `splits` names them.
    """
    if isinstance(splits, Mapping):
        return _named(found, splits, min_items, drop_small)
    names = [name for name in found.names if name not in left_out]
    names = _large(found, names, min_items, drop_small)
    if splits is None:
        own = _own(found, dataset_splits, names)
        if own is not None:
            return own
    return _by_share(names, _SHARES if splits is None else splits, seed)


def _named(
    found: Survey, splits: Mapping[str, Sequence[str]], min_items: int, drop_small: bool
) -> Classes:
    """Return the classes that the user chose for each split."""
    if set(splits) != set(SPLITS):
        raise ArgumentError(
            f"from_hf: splits must name the classes of {', '.join(SPLITS)}, got the keys "
            f"{', '.join(map(str, splits)) or 'none'}; pass all three"
        )
    split_of_class: dict[str, Split] = {}
    for split in SPLITS:
        given = splits[split]
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ArgumentTypeError(
                f"from_hf: splits[{split!r}] must be a list of class names, got {given!r}; pass "
                f"{[given] if isinstance(given, str) else []!r}"
            )
        for name in map(str, given):
            if name not in found.names:
                raise UnknownNameError(
                    f"from_hf: unknown class {name!r} in splits{hint(name, found.names)} "
                    f"Known: {_some(found.names)}"
                )
            if name in split_of_class:
                raise ArgumentError(
                    f"from_hf: every class must be in one split, got {name!r} in "
                    f"{split_of_class[name]} and {split}; remove it from one"
                )
            split_of_class[name] = split
    kept = _large(found, list(split_of_class), min_items, drop_small)
    return _grouped({name: SPLITS.index(split_of_class[name]) for name in kept})


def _large(found: Survey, names: list[str], min_items: int, drop_small: bool) -> list[str]:
    """Return the classes with at least `min_items` texts."""
    small = [name for name in names if found.counts.get(name, 0) < min_items]
    if small and not drop_small:
        repeats, ambiguous = (
            sum(counts.get(name, 0) for name in small)
            for counts in (found.repeats, found.ambiguous)
        )
        without = (
            f" (after dropping {repeats} repeats and {ambiguous} texts that occur in two classes)"
            if repeats + ambiguous
            else ""
        )
        raise DataError(
            f"from_hf: every class must have at least {min_items} texts, got fewer for "
            f"{len(small)} classes{without}: {_some(small)}; set drop_small=True to leave them out"
        )
    return [name for name in names if name not in small]


def _own(found: Survey, dataset_splits: Sequence[str], names: list[str]) -> Classes | None:
    """Return the classes of the dataset's own train, validation and test split.

    The result is None if the dataset has other splits, or if two of them share a class.
    """
    own = [split_of(name) for name in dataset_splits]
    if len(own) != 3 or set(own) != set(SPLITS):
        return None
    if any(len(found.dataset_splits[name]) > 1 for name in names):
        return None
    return _grouped({name: SPLITS.index(own[min(found.dataset_splits[name])]) for name in names})


def _by_share(names: list[str], shares: Any, seed: int) -> Classes:
    """Shuffle the classes and divide them by the shares, with at least one class per split."""
    try:
        values = [float(share) for share in shares]
    except (TypeError, ValueError):
        values = []
    if len(values) != 3 or not all(0 < share < float("inf") for share in values):
        raise ArgumentError(
            "from_hf: splits must be a dict of class names or three positive shares, such as "
            f"{_SHARES}, got {shares!r}; pass a share for each of {', '.join(SPLITS)}"
        )
    if len(names) < 3:
        raise DataError(
            f"from_hf: dataset must have at least 3 classes, one for each split, got {len(names)}: "
            f"{_some(names)}; check that label_column is the right one"
        )
    names = sorted(names)
    random.Random(seed).shuffle(names)
    held = [max(1, round(len(names) * share / sum(values))) for share in values[1:]]
    while sum(held) >= len(names):  # train needs at least one class too
        held[held.index(max(held))] -= 1
    train = len(names) - sum(held)
    return _grouped(
        {name: 0 if i < train else 1 if i < train + held[0] else 2 for i, name in enumerate(names)}
    )


def _grouped(numbers: Mapping[str, int]) -> Classes:
    """Return the classes of each split, given each class's split number."""
    train, validation, test = (
        tuple(sorted(name for name, number in numbers.items() if number == i)) for i in range(3)
    )
    for split, classes in zip(SPLITS, (train, validation, test), strict=True):
        if not classes:
            raise DataError(
                f"from_hf: the {split} split must have at least one class, got none; change splits "
                "or min_items"
            )
    return train, validation, test


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
