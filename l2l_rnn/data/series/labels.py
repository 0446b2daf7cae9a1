"""Numbering of labels of any hashable type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.checks import shown
from l2l_rnn.data.class_splits import some_names
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    UnknownNameError,
)
from l2l_rnn.registry import hint


def numbered_labels(
    who: str, what: str, labels: Any, items: int, classes: Any = None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number labels 0 .. C-1, in sorted order or in the order of given classes.

    Args:
        who: prefix of the error message.
        what: the name of the labels in the message.
        labels: one hashable label for each item, all of one type. Labels of a type without an order
            are numbered by first appearance.
        items: the number of items.
        classes: all labels in their order, which may include labels without items; None numbers
            the labels found. Integer labels are indices into classes that are not named by
            integers.

    Returns:
        The number of each item's label, and the names, which are the labels as str.

    Raises:
        ArgumentTypeError: the labels or the classes are not a sequence, or the labels are not
            hashable or of several types.
        ShapeError: the labels do not match the items.
        DataError: a label is missing.
        ArgumentError: two labels have the same name, or an index lies outside the classes.
        UnknownNameError: a label is not one of the classes.

    Example:
        >>> numbered_labels("me", "y", ["run", "walk", "run"], 3)
        (array([0, 1, 0]), ('run', 'walk'))
        >>> numbered_labels("me", "y", ["run", "walk", "run"], 3, classes=["walk", "sit", "run"])
        (array([2, 0, 2]), ('walk', 'sit', 'run'))
    """
    values = _values(who, what, labels, "labels")
    if len(values) != items:
        raise ShapeError(
            f"{who}: {what} must have {items} labels, one for each series, got {len(values)}; "
            "label each series"
        )
    kinds: dict[str, int] = {}
    for i, value in enumerate(values):
        if _is_missing(value):
            raise DataError(
                f"{who}: {what} must label every case, got {shown(value)} for case {i}; label the "
                "case or drop it"
            )
        kinds.setdefault(type(value).__name__, i)
    if len(kinds) > 1:
        came = " and ".join(f"{kind} (case {i})" for kind, i in kinds.items())
        raise ArgumentTypeError(f"{who}: {what} must be of one type, got {came}; convert them")
    try:
        found = dict.fromkeys(values)  # keeps the order, unlike a set
    except TypeError as error:
        raise ArgumentTypeError(
            f"{who}: {what} must be hashable, got {next(iter(kinds))}; use str or int"
        ) from error
    if classes is not None:
        names = _distinct_names(who, "classes", _values(who, "classes", classes, "classes"))
        numbers = _in_classes(who, what, found, names)
    else:
        try:
            ordered = sorted(found)
        except TypeError:
            ordered = list(found)
        names = _distinct_names(who, what, ordered)
        numbers = {value: number for number, value in enumerate(ordered)}
    return np.array([numbers[value] for value in values], dtype=np.int64), names


def _distinct_names(who: str, what: str, labels: list[Any]) -> tuple[str, ...]:
    names = tuple(map(str, labels))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArgumentError(
            f"{who}: {what} must have distinct names, got {twice!r} twice; rename one of them"
        )
    return names


def _in_classes(who: str, what: str, found: Iterable[Any], names: Sequence[str]) -> dict[Any, int]:
    """Return the number of each label, which is the name of a class or an index of one."""
    by_name = {name: number for number, name in enumerate(names)}
    named_by_integers = any(name.removeprefix("-").isdecimal() for name in names)
    numbers = {}
    for label in found:
        if type(label) is int and not named_by_integers:
            if not 0 <= label < len(names):
                raise ArgumentError(
                    f"{who}: {what} must lie in 0 .. {len(names) - 1}, the indices of the classes, "
                    f"got {label}; name every class in classes"
                )
            numbers[label] = label
        elif str(label) in by_name:
            numbers[label] = by_name[str(label)]
        else:
            raise UnknownNameError(
                f"{who}: unknown class {str(label)!r} in {what}{hint(str(label), names)} "
                f"Known: {some_names(names)}"
            )
    return numbers


def large_classes(
    who: str, counts: Mapping[str, int], min_items: int, drop_small: bool
) -> list[str]:
    """Return the classes with enough examples.

    Args:
        who: prefix of the error message.
        counts: the number of examples of each class.
        min_items: minimum number of examples; a support and a query set require two.
        drop_small: whether to leave out classes with fewer examples instead of raising an error.

    Raises:
        DataError: a class has fewer examples and `drop_small` is False, or all have.
    """
    small = [name for name, count in counts.items() if count < min_items]
    if len(small) == len(counts):
        raise DataError(
            f"{who}: some class must have at least {min_items} examples, got fewer for every one; "
            "add examples"
        )
    if small and not drop_small:
        raise DataError(
            f"{who}: every class must have at least {min_items} examples, got fewer for "
            f"{len(small)} classes: {some_names(small)}; add examples, or set drop_small=True to "
            "leave them out"
        )
    return [name for name in counts if name not in small]


def _values(who: str, what: str, labels: Any, many: str) -> list[Any]:
    if isinstance(labels, (np.ndarray, Tensor)) and labels.ndim != 1:
        raise ShapeError(
            f"{who}: {what} must have one axis, with {many}, got shape "
            f"{tuple(labels.shape)}; flatten it"
        )
    try:
        # Iterating over a mapping gives its keys, and a set has no order.
        if isinstance(labels, (str, bytes, Mapping, Set)):
            raise TypeError
        values = list(labels.tolist() if hasattr(labels, "tolist") else labels)
    except TypeError:
        raise ArgumentTypeError(
            f"{who}: {what} must be a sequence of {many}, got {type(labels).__name__}; pass a "
            "list, in order"
        ) from None
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # pandas.NA, pandas.NaT
