"""Which class of a text dataset stands in which split."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.registry import hint
from l2l_rnn.tasksets.hub.files import split_of
from l2l_rnn.tasksets.hub.rows import RowReader

MODES = ("train", "validation", "test")
Classes = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]

_SHARES = (0.6, 0.2, 0.2)


class Survey(NamedTuple):
    """What one pass over the rows has found.

    Attributes:
        counts: texts of each class that are kept: with a label, and the class's own.
        parts: the parts of the dataset that each class is in.
        codes: the class of each row, as `Rows.codes`, batch by batch.
        kept: which of those rows are kept.
        repeats: rows left out of each class, whose text an earlier row of it has.
        ambiguous: rows left out of each class, whose text another class has, too.
    """

    counts: dict[str, int]
    parts: dict[str, set[int]]
    codes: list[NDArray[np.int32]]
    kept: list[NDArray[np.bool_]]
    repeats: dict[str, int]
    ambiguous: dict[str, int]

    @property
    def names(self) -> list[str]:
        """The classes that have texts, sorted, those included that have none of their own."""
        return sorted(self.counts.keys() | self.ambiguous.keys())


def survey(reader: RowReader, drop_empty: bool) -> Survey:
    """Read all rows once and count the classes.

    Raises:
        DataError: rows lack a text or a label and are not to be dropped, or none is left.
    """
    codes: list[NDArray[np.int32]] = []
    parts: list[NDArray[np.int32]] = []
    digests: list[NDArray[np.uint64]] = []
    missing: dict[str, tuple[int, str]] = {}
    for rows in reader:
        for what, absent in (("text", rows.blank), ("label", rows.codes < 0)):
            if absent.any():
                first = f"row {rows.first + int(absent.argmax())} of "
                before, place = missing.get(
                    what, (0, first + reader.where(reader.parts[rows.part]))
                )
                missing[what] = before + int(absent.sum()), place
        codes.append(rows.codes.astype(np.int32))
        kept = np.flatnonzero(~rows.blank & (rows.codes >= 0))
        digests.append(np.zeros(len(rows.codes), np.uint64))  # of no text
        digests[-1][kept] = _digests(rows.texts.take(kept).to_pylist())
        parts.append(np.full(len(rows.codes), rows.part, np.int32))
    for what, (number, place) in missing.items():
        if not drop_empty:
            raise DataError(
                f"from_hf: every row must have a {what}, got {number} without (null or blank), the "
                f"first of them {place}; set drop_empty=True to leave such rows out"
            )
    found = _counted(list(reader.names), codes, parts, digests)
    if not found.counts and not found.ambiguous:
        raise DataError("from_hf: there must be rows with text and label, got none; give some")
    return found


def _digests(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return a number of each text, the same for texts that differ in case and spaces alone."""
    return np.frombuffer(
        b"".join(
            hashlib.blake2b(
                " ".join(text.casefold().split()).encode("utf-8", "surrogatepass"), digest_size=8
            ).digest()
            for text in texts
        ),
        np.uint64,
    )


def _counted(
    names: list[str],
    codes: list[NDArray[np.int32]],
    parts: list[NDArray[np.int32]],
    digests: list[NDArray[np.uint64]],
) -> Survey:
    """Find the rows whose text is new in their class and in no other."""
    code = np.concatenate([*codes, np.zeros(0, np.int32)])
    digest = np.concatenate([*digests, np.zeros(0, np.uint64)])
    rows = np.flatnonzero((code >= 0) & (digest > 0))
    rows = rows[np.lexsort((rows, code[rows], digest[rows]))]
    same = digest[rows][1:] == digest[rows][:-1]
    same_class = same & (code[rows][1:] == code[rows][:-1])
    text = np.cumsum(np.concatenate([[0], ~same])[: len(rows)])  # the number of each row's text
    shared = np.isin(text, text[1:][same & ~same_class])
    repeated = np.concatenate([[False], same_class])[: len(rows)] & ~shared
    keep = np.full(len(code), False)
    keep[rows[~shared & ~repeated]] = True

    def counted(which: NDArray[np.intp]) -> dict[str, int]:
        counts = np.bincount(code[which], minlength=len(names)).tolist()
        return {name: count for name, count in zip(names, counts, strict=True) if count}

    stands: dict[str, set[int]] = {}
    part = np.concatenate([*parts, np.zeros(0, np.int32)])
    for number, where in np.unique(np.stack([code[keep], part[keep]]), axis=1).T.tolist():
        stands.setdefault(names[number], set()).add(where)
    return Survey(
        counted(np.flatnonzero(keep)),
        stands,
        codes,
        np.split(keep, np.cumsum([len(batch) for batch in codes])[:-1]),
        counted(rows[repeated]),
        counted(rows[shared]),
    )


def part_classes(
    found: Survey,
    part_names: Sequence[str],
    splits: Any,
    seed: int,
    min_items: int,
    drop_small: bool,
    left_out: Sequence[str] = (),
) -> Classes:
    """Return the names of the classes of each split, sorted.

    For the arguments see `from_hf`; the classes `left_out` stand in no split if none names them.
    """
    if isinstance(splits, Mapping):
        return _named(found, splits, min_items, drop_small)
    names = [name for name in found.names if name not in left_out]
    names = _large(found, names, min_items, drop_small)
    if splits is None:
        own = _own(found, part_names, names)
        if own is not None:
            return own
    return _shared(names, _SHARES if splits is None else splits, seed)


def _named(
    found: Survey, splits: Mapping[str, Sequence[str]], min_items: int, drop_small: bool
) -> Classes:
    if set(splits) != set(MODES):
        raise ArgumentError(
            f"from_hf: splits must name the classes of {', '.join(MODES)}, got the keys "
            f"{', '.join(map(str, splits)) or 'none'}; give each of the three"
        )
    where: dict[str, str] = {}
    for mode in MODES:
        given = splits[mode]
        if isinstance(given, str) or not isinstance(given, Iterable):
            raise ArgumentTypeError(
                f"from_hf: splits[{mode!r}] must be a list of class names, got {given!r}; pass "
                f"{[given] if isinstance(given, str) else []!r}"
            )
        for name in map(str, given):
            if name not in found.names:
                raise UnknownNameError(
                    f"from_hf: unknown class {name!r} in splits{hint(name, found.names)} "
                    f"Known: {_some(found.names)}"
                )
            if name in where:
                raise ArgumentError(
                    f"from_hf: every class must stand in one split, got {name!r} in {where[name]} "
                    f"and {mode}; take it out of one"
                )
            where[name] = mode
    kept = _large(found, list(where), min_items, drop_small)
    return _grouped({name: MODES.index(where[name]) for name in kept})


def _large(found: Survey, names: list[str], min_items: int, drop_small: bool) -> list[str]:
    small = [name for name in names if found.counts.get(name, 0) < min_items]
    if small and not drop_small:
        repeats, ambiguous = (
            sum(counts.get(name, 0) for name in small)
            for counts in (found.repeats, found.ambiguous)
        )
        without = (
            f" (without {repeats} repeats and {ambiguous} texts that another class has, too)"
            if repeats + ambiguous
            else ""
        )
        raise DataError(
            f"from_hf: every class must have {min_items} texts or more, got fewer of "
            f"{len(small)} classes{without}: {_some(small)}; set drop_small=True to leave them out"
        )
    return [name for name in names if name not in small]


def _own(found: Survey, part_names: Sequence[str], names: list[str]) -> Classes | None:
    """Return the classes by the dataset's own splits, if those share no class."""
    modes = list(map(split_of, part_names))
    if len(modes) != 3 or set(modes) != set(MODES):
        return None
    if any(len(found.parts[name]) > 1 for name in names):
        return None
    return _grouped({name: MODES.index(modes[min(found.parts[name])] or "") for name in names})


def _shared(names: list[str], shares: Any, seed: int) -> Classes:
    try:
        values = [float(share) for share in shares]
    except (TypeError, ValueError):
        values = []
    if len(values) != 3 or not all(0 < share < float("inf") for share in values):
        raise ArgumentError(
            "from_hf: splits must be a dict of class names or three positive shares, such as "
            f"{_SHARES}, got {shares!r}; give one share each for {', '.join(MODES)}"
        )
    if len(names) < 3:
        raise DataError(
            f"from_hf: there must be 3 classes or more, one for each split, got {len(names)}: "
            f"{_some(names)}; see that label_column is the right one"
        )
    names = sorted(names)
    random.Random(seed).shuffle(names)
    held = [max(1, round(len(names) * share / sum(values))) for share in values[1:]]
    while sum(held) >= len(names):  # train needs one, too
        held[held.index(max(held))] -= 1
    train = len(names) - sum(held)
    return _grouped(
        {name: 0 if i < train else 1 if i < train + held[0] else 2 for i, name in enumerate(names)}
    )


def _grouped(modes: Mapping[str, int]) -> Classes:
    train, validation, test = (
        tuple(sorted(name for name, mode in modes.items() if mode == i)) for i in range(3)
    )
    for mode, classes in zip(MODES, (train, validation, test), strict=True):
        if not classes:
            raise DataError(
                f"from_hf: the {mode} split must have a class or more, got none; change splits, or "
                "min_items"
            )
    return train, validation, test


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:10]))
    return shown if len(names) <= 10 else f"{shown} and {len(names) - 10} more"
