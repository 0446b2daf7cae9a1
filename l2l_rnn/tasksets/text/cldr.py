"""Names of countries, languages, scripts and currencies in each language of CLDR."""

from __future__ import annotations

import functools
import unicodedata

from l2l_rnn.optional import require
from l2l_rnn.tasksets.text.language_families import FAMILY_OF

SCRIPTS = ("latin", "all")
PARENT_LOCALES = {"nb": "no", "nn": "no", "ht": "fr"}
"""Locales for which CLDR stores only the differences from another locale."""

NameTable = dict[tuple[str, str], str]  # (field, key) -> name, such as ("territories", "DE")

_FIELDS = ("territories", "languages", "scripts", "currency_names")
_PURPOSE = "the names of languages (task sets 'languages' and 'translation')"


def known_languages() -> tuple[str, ...]:
    """Return the codes of all languages in babel that have a known family."""
    localedata = require("babel.localedata", extra="text", purpose=_PURPOSE)
    return tuple(sorted(set(localedata.locale_identifiers()) & FAMILY_OF.keys()))


def codes_by_english_name() -> dict[str, str]:
    """Return the code of each language by its English name in lower case."""
    localedata = require("babel.localedata", extra="text", purpose=_PURPOSE)
    known = set(known_languages())
    names = localedata.load("en", merge_inherited=False)["languages"]
    return {name.lower(): code for code, name in names.items() if code in known}


def read_names(code: str, scripts: str, max_length: int) -> NameTable:
    """Return the names in one language; empty if it is not written in `scripts`.

    Args:
        code: CLDR code of the language.
        scripts: "latin" or "all".
        max_length: maximum length of a name, in characters; longer names are left out.
    """
    raw = _raw_names(code)
    table = {key: name for key, name in raw.items() if is_written_in(name, scripts)}
    if scripts == "latin" and 2 * len(table) < len(raw):
        # The language usually uses another script, but CLDR may have a version in Latin script.
        latin = _raw_names(f"{code}_Latn")
        table = {key: name for key, name in latin.items() if is_written_in(name, scripts)}
    return {key: name for key, name in table.items() if len(name) <= max_length}


@functools.cache
def _raw_names(locale: str) -> NameTable:
    localedata = require("babel.localedata", extra="text", purpose=_PURPOSE)
    table = dict(_raw_names(PARENT_LOCALES[locale])) if locale in PARENT_LOCALES else {}
    if localedata.exists(locale):
        # With inherited data, every language would include the names of its parent locale.
        data = localedata.load(locale, merge_inherited=False)
        for field in _FIELDS:
            for key, name in sorted((data.get(field) or {}).items()):
                table[field, key] = unicodedata.normalize("NFC", name).strip()
    return table


def is_written_in(text: str, scripts: str) -> bool:
    """Return whether a text has at least one letter, and no letter outside `scripts`.

    Example:
        >>> is_written_in("Côte d'Ivoire", "latin"), is_written_in("Ελλάδα", "latin")
        (True, False)
        >>> is_written_in("Ελλάδα", "all"), is_written_in("42", "all")
        (True, False)
    """
    kinds = set(map(_letter_kind, text))
    kinds.discard("no letter")
    return kinds == {"latin"} or (bool(kinds) and scripts == "all")


@functools.cache
def _letter_kind(character: str) -> str:
    if not character.isalpha():
        return "no letter"
    # Modifier letters, such as the Polynesian glottal stop, belong to several scripts.
    latin = unicodedata.name(character, "").startswith(("LATIN ", "MODIFIER LETTER "))
    return "latin" if latin else "other"
