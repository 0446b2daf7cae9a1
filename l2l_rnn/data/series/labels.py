"""Numbering of labels of any hashable type."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError


def numbered_labels(
    who: str, what: str, labels: Any, items: int
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Number labels 0 .. C-1 in sorted order.

    Args:
        who: prefix of the error message.
        what: the name of the labels in the message.
        labels: one hashable label for each item, all of one type. Labels of a type without an order
            are numbered by first appearance.
        items: the number of items.

    Returns:
        The number of each item's label, and the names, which are the labels as str.

    Raises:
        ArgumentTypeError: the labels are not a sequence, not hashable, or of several types.
        ShapeError: the labels do not match the items.
        DataError: a label is missing.
        ArgumentError: two labels have the same name.

    Example:
        >>> numbered_labels("me", "y", ["run", "walk", "run"], 3)
        (array([0, 1, 0]), ('run', 'walk'))
    """
    values = _values(who, what, labels)
    if len(values) != items:
        raise ShapeError(
            f"{who}: {what} must have {items} labels, one for each series, got {len(values)}; "
            "label each series"
        )
    kinds: dict[str, int] = {}
    for i, value in enumerate(values):
        if _is_missing(value):
            raise DataError(
                f"{who}: {what} must label every case, got {value!r} for case {i}; label the case "
                "or drop it"
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
    try:
        ordered = sorted(found)
    except TypeError:
        ordered = list(found)
    names = tuple(map(str, ordered))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ArgumentError(
            f"{who}: {what} must have distinct names, got {twice!r} twice; rename one of them"
        )
    numbers = {value: number for number, value in enumerate(ordered)}
    return np.array([numbers[value] for value in values], dtype=np.int64), names


def check_single(
    who: str, numbers: NDArray[np.int64], names: tuple[str, ...], drop: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Reject or drop classes with a single example, too few for a support and a query set.

    Args:
        who: prefix of the error message.
        numbers: the class of each item.
        names: the names of the classes.
        drop: whether to drop these classes instead of raising an error.

    Returns:
        The indices of the items kept, their classes, renumbered, and the names of these.

    Raises:
        DataError: a class has one example and `drop` is False, or every class has only one.
    """
    counts = np.bincount(numbers, minlength=len(names))
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if single and not drop:
        shown = ", ".join(map(repr, single[:5])) + (", …" if len(single) > 5 else "")
        raise DataError(
            f"{who}: each class must have at least two examples, got one of {shown}; add examples, "
            "or set drop_single=True"
        )
    if len(single) == len(names):
        raise DataError(
            f"{who}: some class must have at least two examples, got one of each; add examples"
        )
    kept = np.flatnonzero(counts[numbers] > 1)
    found, renumbered = np.unique(numbers[kept], return_inverse=True)
    return (
        torch.from_numpy(kept),
        torch.from_numpy(renumbered.astype(np.int64)),
        tuple(names[number] for number in found),
    )


def _values(who: str, what: str, labels: Any) -> list[Any]:
    if isinstance(labels, (np.ndarray, Tensor)) and labels.ndim != 1:
        raise ShapeError(
            f"{who}: {what} must have one axis, with a label for each series, got shape "
            f"{tuple(labels.shape)}; flatten it"
        )
    try:
        # Iterating over a mapping gives its keys, and a set has no order.
        if isinstance(labels, (str, bytes, Mapping, Set)):
            raise TypeError
        values = list(labels.tolist() if hasattr(labels, "tolist") else labels)
    except TypeError:
        raise ArgumentTypeError(
            f"{who}: {what} must be a sequence of labels, got {type(labels).__name__}; pass a list "
            "with one for each series, in order"
        ) from None
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # pandas.NA, pandas.NaT
