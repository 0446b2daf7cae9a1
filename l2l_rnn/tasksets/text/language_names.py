"""Names for the task set `languages`, without duplicates and split by language family."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.text.cldr import PARENT_LOCALES, NameTable, known_languages, read_names
from l2l_rnn.tasksets.text.language_families import FAMILY_OF, split_languages

_ACCENTED = ("LATIN ", "MODIFIER LETTER ", "GREEK ", "CYRILLIC ", "ARABIC ", "HEBREW ")
_NEAR_DUPLICATE = 0.75  # minimum share of equal names for two locales to count as one language
_SHARED_KEYS = 20  # minimum number of keys with a name in both locales for this comparison


@dataclass(frozen=True)
class NamedLanguages:
    """Names and split of every language that is kept.

    Attributes:
        names: names of each language, by code, sorted.
        splits: split of each language, by code.
        merged: near-duplicate that was left out -> language that represents it.
        left_out: language that was left out for too few unique names -> number of unique names.
    """

    names: Mapping[str, tuple[str, ...]]
    splits: Mapping[str, str]
    merged: Mapping[str, str]
    left_out: Mapping[str, int]


def fold(name: str) -> str:
    """Return a name without case, accents, spaces and punctuation, to find near-duplicates.

    Accents are the marks on Latin, Greek and Cyrillic letters, and the optional points of Arabic
    and Hebrew. Marks on other letters are kept, because they represent vowels or distinguish
    letters.

    Example:
        >>> fold("Côte d'Ivoire"), fold("COTE D IVOIRE")
        ('cotedivoire', 'cotedivoire')
        >>> fold("हिन्दी") == fold("हन्द")
        False
    """
    kept = []
    accented = True  # whether a mark at this position is an accent
    for character in unicodedata.normalize("NFKD", name.casefold()):
        if unicodedata.category(character).startswith("M"):
            kept += [] if accented else [character]
            continue
        accented = not character.isalpha() or _has_accents(character)
        kept += [character] if character.isalnum() else []
    return "".join(kept)


@functools.cache
def _has_accents(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(_ACCENTED)


@functools.lru_cache(maxsize=8)
def build(
    scripts: str, held_out: tuple[str, ...] | None, min_names: int, max_length: int
) -> NamedLanguages:
    """Read, clean and split the names of all languages. Arguments as in `Languages`."""
    splits = split_languages(known_languages(), held_out)
    read = {code: read_names(code, scripts, max_length) for code in splits}
    tables = {code: table for code, table in read.items() if len(set(table.values())) >= min_names}
    merged = near_duplicates(tables, first=frozenset(held_out or ()))
    tables = {code: table for code, table in tables.items() if code not in merged}
    names, left_out = _own_names(tables, splits, min_names)
    for code in held_out or ():
        if code in merged:
            raise DataError(
                f"Languages: held_out must not name near-duplicates, got {code!r} and "
                f"{merged[code]!r}; keep one of the two"
            )
        if code not in names:
            raise DataError(
                f"Languages: held_out language {code!r} must have min_names={min_names} unique "
                f"names in scripts={scripts!r}, got {left_out.get(code, len(read[code]))}; lower "
                "min_names, pass scripts='all' or hold out another language"
            )
    return NamedLanguages(names, {code: splits[code] for code in names}, merged, left_out)


def near_duplicates(tables: Mapping[str, NameTable], first: frozenset[str]) -> dict[str, str]:
    """Map each near-duplicate to the largest language of its family with nearly the same names.

    Args:
        tables: names of each language, by code.
        first: codes that represent their near-duplicates, regardless of their number of names.
    """
    keys = _Numbering(key for table in tables.values() for key in table)
    forms = _Numbering(name.casefold() for table in tables.values() for name in table.values())
    rows = {}
    for code, table in tables.items():
        rows[code] = np.zeros(len(keys), dtype=np.int32)  # 0: no name for this key
        rows[code][[keys[key] for key in table]] = [forms[v.casefold()] + 1 for v in table.values()]
    largest_first = sorted(
        tables,
        key=lambda code: (code not in first, code in PARENT_LOCALES, -len(tables[code]), code),
    )
    kept: dict[str, list[str]] = {}
    merged = {}
    for code in largest_first:
        rivals = kept.setdefault(FAMILY_OF[code], [])
        if rivals:
            others = np.stack([rows[rival] for rival in rivals])
            shared = ((others > 0) & (rows[code] > 0)).sum(1)
            equal = ((others == rows[code]) & (rows[code] > 0)).sum(1)
            alike = (shared >= _SHARED_KEYS) & (equal >= _NEAR_DUPLICATE * shared)
            if alike.any():
                merged[code] = rivals[int(alike.argmax())]
                continue
        rivals.append(code)
    return merged


def _own_names(
    tables: Mapping[str, NameTable], splits: Mapping[str, str], min_names: int
) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """Keep names that occur in one language only, and with their folded form in one split only.

    Languages with fewer than `min_names` names are left out one at a time, the smallest first,
    because each removal may make more names of the other languages unique.
    """
    codes = sorted(tables)
    texts: list[str] = []
    languages: list[int] = []
    for label, code in enumerate(codes):
        by_form: dict[str, str] = {}
        for name in sorted(tables[code].values()):
            by_form.setdefault(name.casefold(), name)
        texts += by_form.values()
        languages += [label] * len(by_form)
    language = np.array(languages, dtype=np.int64)
    split = np.array([SPLITS.index(splits[code]) for code in codes], dtype=np.int64)[language]
    form = _Numbering.of(text.casefold() for text in texts)
    folded = _Numbering.of(fold(text) for text in texts)
    alive = np.full(len(texts), True)
    left_out: dict[str, int] = {}
    while True:
        languages_of_form = np.bincount(form[alive], minlength=len(texts) + 1)
        splits_of_fold = np.zeros(len(texts) + 1, dtype=np.int64)
        for number in range(len(SPLITS)):
            here = folded[alive & (split == number)]
            splits_of_fold += np.bincount(here, minlength=len(texts) + 1) > 0
        own = np.flatnonzero(alive & (languages_of_form[form] == 1) & (splits_of_fold[folded] == 1))
        pairs = language[own] * (len(texts) + 1) + folded[own]
        # Keep the first of several near-duplicates in a language.
        own = own[np.sort(np.unique(pairs, return_index=True)[1])]
        counts = np.bincount(language[own], minlength=len(codes))
        rest = [label for label, code in enumerate(codes) if code not in left_out]
        fewest = min(rest, key=lambda label: (counts[label], codes[label]), default=None)
        if fewest is None or counts[fewest] >= min_names:
            break
        left_out[codes[fewest]] = int(counts[fewest])
        alive = alive & (language != fewest)
    names: dict[str, list[str]] = {codes[label]: [] for label in rest}
    for index in own:
        names[codes[language[index]]].append(texts[index])
    return {code: tuple(own_names) for code, own_names in names.items()}, left_out


class _Numbering(dict[Any, int]):
    """Numbers distinct keys 0, 1, 2, … in order of appearance."""

    def __init__(self, keys: Iterable[Any] = ()) -> None:
        super().__init__((key, number) for number, key in enumerate(dict.fromkeys(keys)))

    @classmethod
    def of(cls, keys: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the number of each key, repeats included."""
        keys = list(keys)
        numbers = cls(keys)
        return np.array([numbers[key] for key in keys], dtype=np.int64)
