"""The pairs behind the task set `translation`: numbers in words, and names from English."""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

from l2l_rnn.optional import require
from l2l_rnn.tasksets.text.language_families import FAMILY_OF
from l2l_rnn.tasksets.text.language_names import (
    NameTable,
    fold,
    known_languages,
    near_duplicates,
    read_names,
    usable,
)

PAIRS = ("numbers", "names")
VERSION = 2  # of how pairs are made; arrays kept by another are not read

_UNSEEN = dict.fromkeys(map(ord, "\xad\u200b"))  # marks of where a line may break

Pairs = dict[str, dict[str, str]]


class Made(NamedTuple):
    """The pairs of all languages that are kept, and why others are not.

    Attributes:
        pairs: language -> input -> answer.
        merged: a near-duplicate that was left out -> the language that stands for it.
        few: a language left out for too few pairs -> how many it has.
    """

    pairs: Pairs
    merged: dict[str, str]
    few: dict[str, int]


def number_pairs(
    scripts: str,
    largest: int,
    max_length: int,
    min_pairs: int,
    first: frozenset[str] = frozenset(),
) -> Made:
    """Return language -> number in digits -> in words, for 0 .. `largest`.

    Words are those of the cardinal numbers as one counts. Regional locales are left out, and so are
    near-duplicates: languages of a family that write three quarters of the numbers alike.

    Args:
        scripts: "latin" or "all".
        largest: the largest number.
        max_length: characters in the longest words; longer ones are left out.
        min_pairs: how many pairs every language has at least.
        first: languages that stay where they have a near-duplicate.
    """
    rbnf = require("unicode_rbnf", extra="text", purpose="the task set 'translation'")
    tables: dict[str, NameTable] = {}
    few = {}
    locales = set(rbnf.RbnfEngine.get_supported_languages())
    for code in sorted(locales & FAMILY_OF.keys()):
        locale = code
        if scripts == "latin" and f"{code}_Latn" in locales:
            locale = f"{code}_Latn"
        engine = rbnf.RbnfEngine.for_language(locale)
        if not usable(engine.format_number(1).text, scripts):
            continue
        # To name the ruleset spares the engine the genders and cases of the others.
        rules = [engine.format_number(1).text_ruleset]
        table = {}
        for number in range(largest + 1):
            words = engine.format_number(number, ruleset_names=rules).text
            words = unicodedata.normalize("NFC", words.translate(_UNSEEN)).strip()
            if usable(words, scripts) and len(words) <= max_length:
                table["number", str(number)] = words
        if len(table) >= min_pairs:
            tables[code] = table
        else:
            few[code] = len(table)
    merged = near_duplicates(tables, first)
    pairs = {
        code: {digits: words for (_, digits), words in table.items()}
        for code, table in tables.items()
        if code not in merged
    }
    return Made(pairs, merged, few)


def name_pairs(
    scripts: str, max_length: int, min_pairs: int, first: frozenset[str] = frozenset()
) -> Made:
    """Return language -> English name -> the language's, for what CLDR names in both.

    Names that are spelled as in English, but for case, accents and punctuation, are left out, so
    that to copy earns nothing; so are near-duplicates among the languages, as in `Languages`.

    Args:
        scripts: "latin" or "all".
        max_length: characters in the longest name; pairs with a longer one are left out.
        min_pairs: how many pairs every language has at least.
        first: languages that stay where they have a near-duplicate.
    """
    english = read_names("en", "latin", max_length)
    tables: dict[str, NameTable] = {}
    pairs: Pairs = {}
    few = {}
    for code in sorted(set(known_languages()) - {"en"}):
        table = read_names(code, scripts, max_length)
        own: dict[str, str] = {}
        for key in filter(table.__contains__, english):
            if fold(table[key]) != fold(english[key]):
                own.setdefault(english[key], table[key])  # a territory's name before a language's
        if len(own) >= min_pairs:
            tables[code], pairs[code] = table, own
        elif own:
            few[code] = len(own)
    merged = near_duplicates(tables, first)
    return Made({c: own for c, own in pairs.items() if c not in merged}, merged, few)
