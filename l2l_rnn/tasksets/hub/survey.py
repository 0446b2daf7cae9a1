"""First pass over the rows of a dataset: counting the texts of each class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.hub.rows import RowReader


class RowCounts(NamedTuple):
    """What became of the rows of a dataset.

    Attributes:
        rows: number of all rows.
        used: number of rows whose texts are in a split.
        ambiguous: rows with a text that occurs in two classes.
        repeats: rows that repeat a text of their class.
        empty: rows without text, label or group.
        small: rows of classes that are too small or left out.
        crossing: rows whose group is in another split.
        other_splits: rows of classes of other splits, if only one split is used.
    """

    rows: int
    used: int
    ambiguous: int
    repeats: int
    empty: int
    small: int
    crossing: int = 0
    other_splits: int = 0

    def described(self) -> str:
        """Return the counts in one line.

        Example:
            >>> RowCounts(9, 4, 2, 1, 0, 2).described()
            '9 rows: 4 used; dropped 2 that occur in two classes, 1 repeats, 0 empty, 2 in small \
classes'
        """
        crossing = f", {self.crossing} with groups in other splits" if self.crossing else ""
        others = f", {self.other_splits} in classes of other splits" if self.other_splits else ""
        return (
            f"{self.rows} rows: {self.used} used; dropped {self.ambiguous} that occur in two "
            f"classes, {self.repeats} repeats, {self.empty} empty, {self.small} in small classes"
            f"{crossing}{others}"
        )


class Survey(NamedTuple):
    """Result of one pass over the rows of a dataset.

    Attributes:
        counts: number of texts kept in each class.
        dataset_splits: indices of the dataset's own splits that contain each class.
        codes: class of each row, as in `Rows.codes`, batch by batch.
        kept: whether each of these rows is kept.
        repeats: number of rows per class that repeat the text of an earlier row.
        ambiguous: number of rows per class with a text that also occurs in another class.
        groups: group of each row, as in `Rows.groups`, batch by batch; None without groups.
    """

    counts: dict[str, int]
    dataset_splits: dict[str, set[int]]
    codes: list[NDArray[np.int32]]
    kept: list[NDArray[np.bool_]]
    repeats: dict[str, int]
    ambiguous: dict[str, int]
    groups: list[NDArray[np.int32]] | None = None

    def row_counts(self, used: int, crossing: int = 0) -> RowCounts:
        """Return what became of all rows, given how many are in a split."""
        rows, kept = sum(map(len, self.codes)), sum(self.counts.values())
        ambiguous, repeats = sum(self.ambiguous.values()), sum(self.repeats.values())
        empty, small = rows - kept - ambiguous - repeats, kept - used - crossing
        return RowCounts(rows, used, ambiguous, repeats, empty, small, crossing)

    @property
    def names(self) -> list[str]:
        """All classes that have texts, sorted, even if no text of a class is kept."""
        return sorted(self.counts.keys() | self.ambiguous.keys())


def survey(reader: RowReader, drop_empty: bool) -> Survey:
    """Read all rows once and count the texts of each class.

    Raises:
        DataError: a row has no text, label or group and `drop_empty` is False, or no rows are left.
    """
    codes: list[NDArray[np.int32]] = []
    splits: list[NDArray[np.int32]] = []
    digests: list[NDArray[np.uint64]] = []
    missing: dict[str, tuple[int, str]] = {}
    groups: list[NDArray[np.int32]] = []
    for rows in reader:
        blank = {"text": rows.blank, "label": rows.codes < 0}
        if rows.groups is not None:
            blank["group"] = rows.groups < 0
            groups.append(rows.groups.astype(np.int32))
        for what, absent in blank.items():
            if absent.any():
                first = f"row {rows.first + int(absent.argmax())} of "
                before, place = missing.get(
                    what, (0, first + reader.where(reader.splits[rows.split]))
                )
                missing[what] = before + int(absent.sum()), place
        codes.append(rows.codes.astype(np.int32))
        kept = np.flatnonzero(~np.any(list(blank.values()), axis=0))
        digests.append(np.zeros(len(rows.codes), np.uint64))  # 0: no text
        digests[-1][kept] = _digests(rows.texts.take(kept).to_pylist())
        splits.append(np.full(len(rows.codes), rows.split, np.int32))
    for what, (number, place) in missing.items():
        if not drop_empty:
            raise DataError(
                f"from_hf: every row must have a {what}, got {number} without one (null or blank), "
                f"first {place}; set drop_empty=True to drop these rows"
            )
    found = _count(list(reader.names), codes, splits, digests)
    if not found.counts and not found.ambiguous:
        raise DataError(
            "from_hf: dataset must have rows with text and label, got none; check text_column and "
            "label_column"
        )
    return found if reader.group is None else found._replace(groups=groups)


def _digests(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return a hash of each text, ignoring case and whitespace."""
    return np.frombuffer(
        b"".join(
            hashlib.blake2b(
                " ".join(text.casefold().split()).encode("utf-8", "surrogatepass"), digest_size=8
            ).digest()
            for text in texts
        ),
        np.uint64,
    )


def _count(
    names: list[str],
    codes: list[NDArray[np.int32]],
    splits: list[NDArray[np.int32]],
    digests: list[NDArray[np.uint64]],
) -> Survey:
    """Keep the first row of each distinct text, and drop texts that occur in two classes."""
    code = np.concatenate([*codes, np.zeros(0, np.int32)])
    digest = np.concatenate([*digests, np.zeros(0, np.uint64)])
    rows = np.flatnonzero((code >= 0) & (digest > 0))
    rows = rows[np.lexsort((rows, code[rows], digest[rows]))]
    same = digest[rows][1:] == digest[rows][:-1]
    same_class = same & (code[rows][1:] == code[rows][:-1])
    text = np.cumsum(np.concatenate([[0], ~same])[: len(rows)])  # index of each row's text
    shared = np.isin(text, text[1:][same & ~same_class])
    repeated = np.concatenate([[False], same_class])[: len(rows)] & ~shared
    keep = np.full(len(code), False)
    keep[rows[~shared & ~repeated]] = True

    def counted(which: NDArray[np.intp]) -> dict[str, int]:
        counts = np.bincount(code[which], minlength=len(names)).tolist()
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    dataset_splits: dict[str, set[int]] = {}
    split = np.concatenate([*splits, np.zeros(0, np.int32)])
    for number, index in np.unique(np.stack([code[keep], split[keep]]), axis=1).T.tolist():
        dataset_splits.setdefault(names[number], set()).add(index)
    return Survey(
        counted(np.flatnonzero(keep)),
        dataset_splits,
        codes,
        np.split(keep, np.cumsum([len(batch) for batch in codes])[:-1]),
        counted(rows[repeated]),
        counted(rows[shared]),
    )
