"""Series with their classes and groups, and their division into splits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.data.class_splits import grouped_names, split_by_name, split_by_share
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.series.labels import large_classes

_FIX = "change splits or min_items"


class LabeledSeries:
    """Series with their classes and, if there are groups, their groups.

    Args:
        steps: the series, padded with NaN.
        numbers: the class of each series, an index into `names`.
        names: the names of the classes; some may have no series.
        owners: the group of each series, an index into `groups`; None for no groups.
        groups: the names of the groups.

    Shapes:
        steps (items, S, F); numbers and owners (items,).
    """

    def __init__(
        self,
        steps: Tensor,
        numbers: NDArray[np.int64],
        names: Sequence[str],
        owners: NDArray[np.int64] | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        self.steps, self.numbers, self.names = steps, numbers, tuple(names)
        self.owners, self.groups = owners, tuple(groups)

    def counts(self, empty: bool) -> dict[str, int]:
        """Return the number of series of each class; `empty` includes classes without series."""
        counts = np.bincount(self.numbers, minlength=len(self.names)).tolist()
        pairs = zip(self.names, counts, strict=True)
        return {name: count for name, count in pairs if count or empty}

    def of_classes(self, classes: Collection[str], keep_names: bool = False) -> LabeledSeries:
        """Return the series of some classes, renumbered unless all names are kept."""
        chosen = set(classes)
        names = [name for name in self.names if keep_names or name in chosen]
        numbers = {name: number for number, name in enumerate(names) if name in chosen}
        table = np.array([numbers.get(name, -1) for name in self.names])
        return self._rows(table[self.numbers] >= 0, table[self.numbers], names)

    def by_class(
        self, who: str, splits: Any, seed: int, min_items: int, drop_small: bool
    ) -> list[SequenceDataset | GroupedDataset]:
        """Return a dataset for each split, with classes of its own.

        Args:
            who: prefix of the error message.
            splits, seed, min_items, drop_small: as in `from_arrays`.
        """
        counts, numbers = self.counts(empty=True), None
        if isinstance(splits, Mapping):
            numbers = split_by_name(who, splits, self.names)
            counts = {name: counts[name] for name in numbers}
        large = large_classes(who, counts, min_items, drop_small)
        if numbers is None:
            numbers = split_by_share(who, splits, large, seed, "check that y are the classes")
        parts = grouped_names(who, {name: numbers[name] for name in large}, _FIX)
        return [self.of_classes(part).dataset() for part in parts]

    def by_group(self, who: str, splits: Any, seed: int) -> list[SequenceDataset | GroupedDataset]:
        """Return a dataset for each split, with groups of its own; arguments as in `by_class`."""
        if isinstance(splits, Mapping):
            numbers = split_by_name(who, splits, self.groups, "group")
        else:
            fix = "check that groups are the groups"
            numbers = split_by_share(who, splits, self.groups, seed, fix, "group")
        parts = grouped_names(who, numbers, _FIX, "group")
        chosen = (np.array([name in part for name in self.groups]) for part in map(set, parts))
        return [
            self._rows(mask[self.owners], self.numbers, self.names).dataset() for mask in chosen
        ]

    def dataset(self) -> SequenceDataset | GroupedDataset:
        """Return the series as a dataset."""
        classes = torch.from_numpy(self.numbers)
        if self.owners is None:
            return SequenceDataset(self.steps, classes, self.names)
        owners = torch.from_numpy(self.owners)
        return GroupedDataset(self.steps, classes, owners, self.names, self.groups)

    def _rows(
        self, rows: NDArray[np.bool_], numbers: NDArray[np.int64], names: Sequence[str]
    ) -> LabeledSeries:
        """Return some of the series, and the groups that have any of them."""
        steps = self.steps[torch.from_numpy(rows)]
        if self.owners is None:
            return LabeledSeries(steps, numbers[rows], names)
        found, owners = np.unique(self.owners[rows], return_inverse=True)
        groups = [self.groups[i] for i in found]
        return LabeledSeries(steps, numbers[rows], names, owners.reshape(-1), groups)
