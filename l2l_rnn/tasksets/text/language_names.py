"""The names behind the task set `languages`: read from CLDR, cleaned, and split by family."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from l2l_rnn.errors import DataError
from l2l_rnn.optional import require
from l2l_rnn.tasksets.text.language_families import FAMILY_OF, split_languages

MODES = ("train", "validation", "test")
PURPOSE = "the names of languages (task sets 'languages' and 'translation')"
SCRIPTS = ("latin", "all")

_FIELDS = ("territories", "languages", "scripts", "currency_names")
_PARENTS = {"nb": "no", "nn": "no", "ht": "fr"}  # CLDR gives these only what differs from another
_ACCENTED = ("LATIN ", "MODIFIER LETTER ", "GREEK ", "CYRILLIC ", "ARABIC ", "HEBREW ")
_NEAR_DUPLICATE = 0.75  # share of equal names above which two locales of a family are one language
_SHARED_KEYS = 20  # ... of at least so many keys that both name

NameTable = dict[tuple[str, str], str]


@dataclass(frozen=True)
class NamedLanguages:
    """The names of every kept language, and which split it stands in.

    Args:
        names: the names of each language, by code, sorted.
        modes: the split of each language, by code.
        merged: a near-duplicate that was left out -> the language that stands for it.
        left_out: a language left out for too few names of its own -> how many it has.
    """

    names: Mapping[str, tuple[str, ...]]
    modes: Mapping[str, str]
    merged: Mapping[str, str]
    left_out: Mapping[str, int]


def fold(name: str) -> str:
    """Return a name without case, accents, spaces and punctuation, to find near-duplicates.

    Accents are the marks on Latin, Greek and Cyrillic letters, and the points that Arabic and
    Hebrew may leave out; on other letters marks are vowels, or make another letter, and stay.

    Example:
        >>> fold("Côte d'Ivoire"), fold("COTE D IVOIRE")
        ('cotedivoire', 'cotedivoire')
        >>> fold("हिन्दी") == fold("हन्द")
        False
    """
    kept = []
    accented = True  # whether a mark here is an accent
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


def known_languages() -> tuple[str, ...]:
    """Return the codes of all languages that babel names and the table of families holds."""
    localedata = require("babel.localedata", extra="text", purpose=PURPOSE)
    return tuple(sorted(set(localedata.locale_identifiers()) & FAMILY_OF.keys()))


@functools.lru_cache(maxsize=8)
def build(
    scripts: str, held_out: tuple[str, ...] | None, min_names: int, max_length: int
) -> NamedLanguages:
    """Read, clean and split the names of all languages; the arguments are those of `Languages`."""
    modes = split_languages(known_languages(), held_out)
    read = {code: read_names(code, scripts, max_length) for code in modes}
    tables = {code: table for code, table in read.items() if len(set(table.values())) >= min_names}
    merged = near_duplicates(tables, first=frozenset(held_out or ()))
    tables = {code: table for code, table in tables.items() if code not in merged}
    names, left_out = _own_names(tables, modes, min_names)
    for code in held_out or ():
        if code in merged:
            raise DataError(
                f"Languages: held_out names {code!r} and its near-duplicate {merged[code]!r}; "
                "keep one of the two"
            )
        if code not in names:
            raise DataError(
                f"Languages: held_out language {code!r} needs min_names={min_names} names of its "
                f"own in scripts={scripts!r}, has {left_out.get(code, len(read[code]))}; "
                "lower min_names, pass scripts='all' or hold out another"
            )
    return NamedLanguages(names, {code: modes[code] for code in names}, merged, left_out)


def read_names(code: str, scripts: str, max_length: int) -> NameTable:
    """Return (field, key) -> name of one language; empty if it is not written in `scripts`."""
    raw = _raw(code)
    table = {key: name for key, name in raw.items() if usable(name, scripts)}
    if scripts == "latin" and 2 * len(table) < len(raw):
        # Usually written in another script; CLDR may have its Latin one too.
        table = {k: v for k, v in _raw(f"{code}_Latn").items() if usable(v, scripts)}
    return {key: name for key, name in table.items() if len(name) <= max_length}


@functools.cache
def _raw(locale: str) -> NameTable:
    localedata = require("babel.localedata", extra="text", purpose=PURPOSE)
    table = dict(_raw(_PARENTS[locale])) if locale in _PARENTS else {}
    if localedata.exists(locale):
        # Inherited data would give every language the names of its parent locale too.
        data = localedata.load(locale, merge_inherited=False)
        for field in _FIELDS:
            for key, name in sorted((data.get(field) or {}).items()):
                table[field, key] = unicodedata.normalize("NFC", name).strip()
    return table


def usable(name: str, scripts: str) -> bool:
    """Return whether a name has a letter, and no letter that is not in `scripts`."""
    kinds = set(map(_kind, name))
    kinds.discard("no letter")
    return kinds == {"latin"} or (bool(kinds) and scripts == "all")


@functools.cache
def _kind(character: str) -> str:
    if not character.isalpha():
        return "no letter"
    # Modifier letters, such as the Polynesian glottal stop, belong to no script alone.
    latin = unicodedata.name(character, "").startswith(("LATIN ", "MODIFIER LETTER "))
    return "latin" if latin else "other"


def near_duplicates(tables: Mapping[str, NameTable], first: frozenset[str]) -> dict[str, str]:
    """Return near-duplicate -> the fullest language of its family that says nearly the same."""
    keys = _Numbers(key for table in tables.values() for key in table)
    forms = _Numbers(name.casefold() for table in tables.values() for name in table.values())
    rows = {}
    for code, table in tables.items():
        rows[code] = np.zeros(len(keys), dtype=np.int32)  # 0: does not name this key
        rows[code][[keys[key] for key in table]] = [forms[v.casefold()] + 1 for v in table.values()]
    fullest = sorted(
        tables, key=lambda code: (code not in first, code in _PARENTS, -len(tables[code]), code)
    )
    kept: dict[str, list[str]] = {}
    merged = {}
    for code in fullest:
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
    tables: Mapping[str, NameTable], modes: Mapping[str, str], min_names: int
) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """Keep the names found in one language only, whose folded form is in one split only.

    The language with the fewest is left out, which frees names of the others, until all that
    stay have `min_names`.
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
    split = np.array([MODES.index(modes[code]) for code in codes], dtype=np.int64)[language]
    form = _Numbers.of(text.casefold() for text in texts)
    folded = _Numbers.of(fold(text) for text in texts)
    alive = np.full(len(texts), True)
    left_out: dict[str, int] = {}
    while True:
        languages_of_form = np.bincount(form[alive], minlength=len(texts) + 1)
        splits_of_fold = np.zeros(len(texts) + 1, dtype=np.int64)
        for number in range(len(MODES)):
            here = folded[alive & (split == number)]
            splits_of_fold += np.bincount(here, minlength=len(texts) + 1) > 0
        own = np.flatnonzero(alive & (languages_of_form[form] == 1) & (splits_of_fold[folded] == 1))
        pairs = language[own] * (len(texts) + 1) + folded[own]
        # Of the near-duplicates within a language, the first.
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


class _Numbers(dict[Any, int]):
    """Distinct things -> 0, 1, 2, ... in order of appearance."""

    def __init__(self, things: Iterable[Any] = ()) -> None:
        super().__init__((thing, number) for number, thing in enumerate(dict.fromkeys(things)))

    @classmethod
    def of(cls, things: Iterable[str]) -> npt.NDArray[np.int64]:
        things = list(things)
        numbers = cls(things)
        return np.array([numbers[thing] for thing in things], dtype=np.int64)
