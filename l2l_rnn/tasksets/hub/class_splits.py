"""Assignment of the classes of a text dataset to splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from l2l_rnn.data.class_splits import (
    Classes,
    grouped_names,
    some_names,
    split_by_name,
    split_by_share,
)
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.hub.files import split_of
from l2l_rnn.tasksets.hub.survey import Survey

_FIX = "change splits or min_items"


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
        chosen = split_by_name("from_hf", splits, found.names)
        kept = _large(found, list(chosen), min_items, drop_small)
        return grouped_names("from_hf", {name: chosen[name] for name in kept}, _FIX)
    names = [name for name in found.names if name not in left_out]
    names = _large(found, names, min_items, drop_small)
    if splits is None:
        own = _own(found, dataset_splits, names)
        if own is not None:
            return own
    fix = "check that label_column is the right one"
    return grouped_names("from_hf", split_by_share("from_hf", splits, names, seed, fix), _FIX)


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
            f"{len(small)} classes{without}: {some_names(small)}; set drop_small=True to leave "
            "them out"
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
    return grouped_names(
        "from_hf",
        {name: SPLITS.index(own[min(found.dataset_splits[name])]) for name in names},
        _FIX,
    )
