"""Pairs for the task set `translation`: numbers in words, and names in English and locally."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from l2l_rnn.optional import require
from l2l_rnn.tasksets.text.cldr import NameTable, is_written_in, known_languages, read_names
from l2l_rnn.tasksets.text.language_families import FAMILY_OF
from l2l_rnn.tasksets.text.language_names import fold, near_duplicates

PAIRS = ("numbers", "names")
VERSION = 2  # version of the code that makes pairs; pairs cached by another version are ignored

_INVISIBLE = dict.fromkeys(map(ord, "\xad\u200b"))  # soft hyphen and zero-width space

Pairs = dict[str, dict[str, str]]  # language -> input -> target


class LanguagePairs(NamedTuple):
    """Pairs of the languages that are kept, and the reasons why others are left out.

    Attributes:
        pairs: language -> input -> target.
        merged: near-duplicate that was left out -> language that represents it.
        too_few: language that was left out for too few pairs -> number of its pairs.
    """

    pairs: Pairs
    merged: dict[str, str]
    too_few: dict[str, int]


def number_pairs(
    scripts: str,
    largest: int,
    max_length: int,
    min_pairs: int,
    first: frozenset[str] = frozenset(),
) -> LanguagePairs:
    """Return language -> number in digits -> number in words, for 0 .. `largest`.

    The words are the cardinal numbers used for counting. Regional locales are left out, and so are
    near-duplicates: languages of one family that share three quarters of their numbers.

    Args:
        scripts: "latin" or "all".
        largest: the largest number.
        max_length: maximum length of a number in words, in characters; longer ones are left out.
        min_pairs: minimum number of pairs per language.
        first: codes that represent their near-duplicates.
    """
    rbnf = require("unicode_rbnf", extra="text", purpose="the task set 'translation'")
    tables: dict[str, NameTable] = {}
    too_few = {}
    locales = set(rbnf.RbnfEngine.get_supported_languages())
    for code in sorted(locales & FAMILY_OF.keys()):
        locale = code
        if scripts == "latin" and f"{code}_Latn" in locales:
            locale = f"{code}_Latn"
        engine = rbnf.RbnfEngine.for_language(locale)
        if not is_written_in(engine.format_number(1).text, scripts):
            continue
        # Without a ruleset name, the engine would format every gender and case.
        rules = [engine.format_number(1).text_ruleset]
        table = {}
        for number in range(largest + 1):
            words = engine.format_number(number, ruleset_names=rules).text
            words = unicodedata.normalize("NFC", words.translate(_INVISIBLE)).strip()
            if is_written_in(words, scripts) and len(words) <= max_length:
                table["number", str(number)] = words
        if len(table) >= min_pairs:
            tables[code] = table
        else:
            too_few[code] = len(table)
    merged = near_duplicates(tables, first)
    pairs = {
        code: {digits: words for (_, digits), words in table.items()}
        for code, table in tables.items()
        if code not in merged
    }
    return LanguagePairs(pairs, merged, too_few)


def name_pairs(
    scripts: str, max_length: int, min_pairs: int, first: frozenset[str] = frozenset()
) -> LanguagePairs:
    """Return language -> English name -> name in the language, for names that CLDR has in both.

    Names that are spelled as in English, ignoring case, accents and punctuation, are left out, so
    copying the input is never correct. Near-duplicate languages are left out, as in `Languages`.

    Args:
        scripts: "latin" or "all".
        max_length: maximum length of a name, in characters; pairs with longer ones are left out.
        min_pairs: minimum number of pairs per language.
        first: codes that represent their near-duplicates.
    """
    english = read_names("en", "latin", max_length)
    tables: dict[str, NameTable] = {}
    pairs: Pairs = {}
    too_few = {}
    for code in sorted(set(known_languages()) - {"en"}):
        table = read_names(code, scripts, max_length)
        own: dict[str, str] = {}
        for key in filter(table.__contains__, english):
            if fold(table[key]) != fold(english[key]):
                # A territory and a language may have the same English name; keep the territory.
                own.setdefault(english[key], table[key])
        if len(own) >= min_pairs:
            tables[code], pairs[code] = table, own
        elif own:
            too_few[code] = len(own)
    merged = near_duplicates(tables, first)
    kept = {code: own for code, own in pairs.items() if code not in merged}
    return LanguagePairs(kept, merged, too_few)
