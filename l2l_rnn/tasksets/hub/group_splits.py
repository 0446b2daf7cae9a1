"""Assignment of groups, such as speakers or articles, to the splits of a text dataset."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.data.class_splits import Classes
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.hub.survey import Survey


class SeparateGroups:
    """Separates the groups of the splits, so that no group is in two of them.

    A group whose rows are in classes of several splits is assigned to one of them, and its rows in
    the others are dropped. The splits get shares of these groups in proportion to their rows, but
    at least two groups each, if there are enough.

    Args:
        found: result of `survey`, with groups.
        names: number of each class.
        group_names: number of each group.
        seed: random seed of the assignment; the order of the rows does not matter.
        min_items, drop_small: as in `from_hf`.
    """

    def __init__(
        self,
        found: Survey,
        names: Mapping[str, int],
        group_names: Mapping[str, int],
        seed: int,
        min_items: int,
        drop_small: bool,
    ) -> None:
        self.found, self.names, self.group_names = found, names, group_names
        self.seed, self.min_items, self.drop_small = seed, min_items, drop_small
        self.codes = np.concatenate(found.codes)
        self.groups = np.concatenate(found.groups or [])
        self.kept = np.concatenate(found.kept)

    def without_lone(self) -> Survey:
        """Return the survey without the classes of a single group, if `drop_small` is set.

        They are dropped before the classes are divided, so that the shares stay right.
        """
        if not self.drop_small:
            return self.found
        groups, _ = self._sizes(self.kept)
        counts = self.found.counts
        return self.found._replace(
            counts={name: n if groups[name] > 1 else 0 for name, n in counts.items()}
        )

    def separate(self, classes: Classes) -> tuple[Survey, Classes, Counter[str]]:
        """Return the survey of the remaining rows, the remaining classes, and the dropped rows.

        The dropped rows are counted for each class.

        Raises:
            DataError: a class is left with fewer than `min_items` texts or with one group, and
                `drop_small` is False; or a split is left without classes.
        """
        split_of = np.full(len(self.names) + 1, -1)  # the last entry is for rows without a label
        for split, own in enumerate(classes):
            split_of[[self.names[name] for name in own]] = split
        splits = split_of[self.codes]
        rows = self.kept & (splits >= 0)
        owner = self._owners(self.groups[rows], splits[rows])
        kept = rows & (owner[self.groups] == splits)
        groups, items = self._sizes(kept)
        _, before = self._sizes(rows)
        small = sorted(
            name
            for own in classes
            for name in own
            if groups[name] < 2 or items[name] < self.min_items
        )
        if small and not self.drop_small:
            raise DataError(self._too_small(small, groups, items, before))
        train, validation, test = (
            tuple(name for name in own if name not in set(small)) for own in classes
        )
        for split_name, own in zip(SPLITS, (train, validation, test), strict=True):
            if not own:
                raise DataError(
                    f"from_hf: the {split_name} split must have at least one class with texts of "
                    "two groups, got none; change splits, seed or min_items, or pass more data"
                )
        ends = np.cumsum([len(batch) for batch in self.found.codes])
        found = self.found._replace(counts=dict(items), kept=np.split(kept, ends[:-1]))
        return found, (train, validation, test), before - items

    def _owners(self, groups: NDArray[np.int32], splits: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the split of each group, given the group and split of each row."""
        cells = groups.astype(np.int64) * len(SPLITS) + splits
        table = np.bincount(cells, minlength=len(self.group_names) * len(SPLITS))
        table = table.reshape(-1, len(SPLITS))
        owner = table.argmax(1)
        names = list(self.group_names)
        shared = np.flatnonzero((table > 0).sum(1) > 1).tolist()
        shared.sort(key=names.__getitem__)
        random.Random(self.seed).shuffle(shared)
        missing = table.sum(0) / max(1, table.sum()) * table[shared].sum()
        alone = np.delete(table, shared, axis=0)
        owned = (alone > 0).sum(0)
        for group in shared:
            # The splits that need a second group choose first.
            able = table[group] > 0
            lacking = able & (owned < 2)
            split = int(np.where(lacking if lacking.any() else able, missing, -np.inf).argmax())
            owner[group] = split
            owned[split] += 1
            missing[split] -= table[group].sum()
        return owner

    def _sizes(self, rows: NDArray[np.bool_]) -> tuple[Counter[str], Counter[str]]:
        """Return the number of groups and the number of items of each class in some rows."""
        names = list(self.names)
        codes, groups = self.codes[rows], self.groups[rows]
        pairs = np.unique(np.stack([codes, groups]), axis=1)[0]
        return _counter(names, pairs), _counter(names, codes)

    def _too_small(
        self,
        small: Sequence[str],
        groups: Mapping[str, int],
        items: Mapping[str, int],
        before: Mapping[str, int],
    ) -> str:
        shown = ", ".join(
            f"{name!r} ({_count(items[name], 'text')} of {_count(groups[name], 'group')})"
            for name in small[:10]
        )
        more = f" and {len(small) - 10} more" if len(small) > 10 else ""
        dropped = sum(before[name] - items[name] for name in small)
        without = f" (after dropping {dropped} of groups in another split)" if dropped else ""
        return (
            f"from_hf: every class must have at least {self.min_items} texts, of at least two "
            "groups, so that support and query come from different groups, got fewer for "
            f"{_count(len(small), 'class', 'classes')}{without}: {shown}{more}; set "
            "drop_small=True to leave them out"
        )


def _counter(names: Sequence[str], codes: NDArray[np.int32]) -> Counter[str]:
    counts: Iterable[int] = np.bincount(codes, minlength=len(names)).tolist()
    return Counter(dict(zip(names, counts, strict=True)))


def _count(number: int, what: str, several: str | None = None) -> str:
    return f"{number} {what if number == 1 else several or what + 's'}"
