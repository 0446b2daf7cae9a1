"""Assignment of classes, or of groups, to the train, validation and test split."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.registry import hint

Classes = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]  # train, validation, test

SHARES = (0.6, 0.2, 0.2)
_PLURALS = {"class": "classes", "group": "groups"}


def split_by_name(
    who: str, splits: Mapping[str, Any], known: Collection[str], what: str = "class"
) -> dict[str, int]:
    """Return the number of the split of each class that the user chose.

    Args:
        who: prefix of the error message.
        splits: the names of the classes of `"train"`, `"validation"` and `"test"`.
        known: the names of all classes.
        what: `"class"` or `"group"`, for error messages.

    Raises:
        ArgumentError: a split is missing, or a class is in two of them.
        ArgumentTypeError: the classes of a split are not a list.
        UnknownNameError: a class does not exist.

    Example:
        >>> split_by_name("me", {"train": ["a"], "validation": ["c"], "test": ["b"]}, "abcd")
        {'a': 0, 'c': 1, 'b': 2}
    """
    if set(splits) != set(SPLITS):
        raise ArgumentError(
            f"{who}: splits must name the {_PLURALS[what]} of {', '.join(SPLITS)}, got the keys "
            f"{', '.join(map(str, splits)) or 'none'}; pass all three"
        )
    numbers: dict[str, int] = {}
    for number, split in enumerate(SPLITS):
        given = splits[split]
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ArgumentTypeError(
                f"{who}: splits[{split!r}] must be a list of {what} names, got {given!r}; pass "
                f"{[given] if isinstance(given, str) else []!r}"
            )
        for name in map(str, given):
            if name not in known:
                raise UnknownNameError(
                    f"{who}: unknown {what} {name!r} in splits{hint(name, known)} "
                    f"Known: {some_names(known)}"
                )
            if name in numbers:
                raise ArgumentError(
                    f"{who}: every {what} must be in one split, got {name!r} in "
                    f"{SPLITS[numbers[name]]} and {split}; remove it from one"
                )
            numbers[name] = number
    return numbers


def split_by_share(
    who: str, shares: Any, names: Sequence[str], seed: int, fix: str, what: str = "class"
) -> dict[str, int]:
    """Shuffle classes, and return the number of the split of each; every split gets at least one.

    Args:
        who: prefix of the error message.
        shares: the relative sizes of the splits; None takes `SHARES`.
        names: the names of the classes; their order does not matter.
        seed: random seed.
        fix: end of the error message about too few classes.
        what: `"class"` or `"group"`, for error messages.

    Raises:
        ArgumentError: the shares are not three positive numbers.
        DataError: there are fewer than three classes.

    Example:
        >>> split_by_share("me", (2, 1, 1), ("a", "b", "c", "d"), seed=0, fix="add classes")
        {'c': 0, 'a': 0, 'b': 1, 'd': 2}
    """
    try:
        values = [float(share) for share in (SHARES if shares is None else shares)]
    except (TypeError, ValueError):
        values = []
    if len(values) != 3 or not all(0 < share < float("inf") for share in values):
        raise ArgumentError(
            f"{who}: splits must be a dict of {what} names or three positive shares, such as "
            f"{SHARES}, got {shares!r}; pass a share for each of {', '.join(SPLITS)}"
        )
    if len(names) < 3:
        raise DataError(
            f"{who}: dataset must have at least 3 {_PLURALS[what]}, one for each split, got "
            f"{len(names)}: {some_names(names)}; {fix}"
        )
    names = sorted(names)
    random.Random(seed).shuffle(names)
    held = [max(1, round(len(names) * share / sum(values))) for share in values[1:]]
    while sum(held) >= len(names):  # train needs at least one class too
        held[held.index(max(held))] -= 1
    train = len(names) - sum(held)
    return {
        name: 0 if i < train else 1 if i < train + held[0] else 2 for i, name in enumerate(names)
    }


def grouped_names(who: str, numbers: Mapping[str, int], fix: str, what: str = "class") -> Classes:
    """Return the names in each split, sorted, given the number of the split of each name.

    Raises:
        DataError: a split has none.
    """
    train, validation, test = (
        tuple(sorted(name for name, number in numbers.items() if number == i)) for i in range(3)
    )
    for split, names in zip(SPLITS, (train, validation, test), strict=True):
        if not names:
            raise DataError(
                f"{who}: the {split} split must have at least one {what}, got none; {fix}"
            )
    return train, validation, test


def some_names(names: Collection[str]) -> str:
    """Return at most ten of the names, for an error message."""
    shown = ", ".join(map(repr, list(names)[:10]))
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
