"""Labels of any hashable type, as numbers with names."""

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
    """Number labels 0 .. C-1 in their own order, and name each number.

    Args:
        who: who asks, to begin an error's message.
        what: what the labels are called there.
        labels: one hashable label an item, all of one type. Those that have no order are numbered
            as they come.
        items: how many there must be.

    Returns:
        The number of each item's label, and the names, `str` of the labels.

    Raises:
        ArgumentTypeError: the labels are no sequence, of several types, or not hashable.
        ShapeError: there is not one for each item.
        DataError: one is missing.
        ArgumentError: two labels have one name.

    Example:
        >>> numbered_labels("me", "y", ["run", "walk", "run"], 3)
        (array([0, 1, 0]), ('run', 'walk'))
    """
    values = _values(who, what, labels)
    if len(values) != items:
        raise ShapeError(
            f"{who}: expected {items} {what}, one for each series, got {len(values)}; give each "
            "series one"
        )
    kinds: dict[str, int] = {}
    for i, value in enumerate(values):
        if _is_missing(value):
            raise DataError(
                f"{who}: the {what} of case {i} is missing ({value!r}); label the case or drop it"
            )
        kinds.setdefault(type(value).__name__, i)
    if len(kinds) > 1:
        came = " and ".join(f"{kind} (case {i})" for kind, i in kinds.items())
        raise ArgumentTypeError(f"{who}: {what} must be of one type, got {came}; convert them")
    try:
        found = dict.fromkeys(values)  # in the order they come: a set's order changes by run
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
        raise ArgumentError(f"{who}: two {what} have the name {twice!r}; rename one")
    numbers = {value: number for number, value in enumerate(ordered)}
    return np.array([numbers[value] for value in values], dtype=np.int64), names


def drop_single(
    who: str, numbers: NDArray[np.int64], names: tuple[str, ...], drop: bool
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Find classes of one example, which leave none to be judged on, and drop them if asked to.

    Returns:
        The items that stay, their classes numbered anew, and the names of these.

    Raises:
        DataError: there is such a class and `drop` is False, or no other class.
    """
    counts = np.bincount(numbers, minlength=len(names))
    single = [name for name, count in zip(names, counts, strict=True) if count == 1]
    if single and not drop:
        shown = ", ".join(map(repr, single[:5])) + (", …" if len(single) > 5 else "")
        raise DataError(
            f"{who}: a class needs two examples, got one of {shown}; add some, or set "
            "drop_single=True"
        )
    if len(single) == len(names):
        raise DataError(f"{who}: every class has one example only; add some")
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
            f"{who}: {what} must be one for each series, got shape {tuple(labels.shape)}; "
            "flatten them"
        )
    try:
        # A mapping would give its keys, and a set has no order.
        if isinstance(labels, (str, bytes, Mapping, Set)):
            raise TypeError
        values = list(labels.tolist() if hasattr(labels, "tolist") else labels)
    except TypeError:
        raise ArgumentTypeError(
            f"{who}: {what} must be a sequence of labels, got {type(labels).__name__}; give one "
            "for each series, in their order"
        ) from None
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _is_missing(value: Any) -> bool:
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")  # pandas' own
