"""Cached pairs of the task set `translation`, and the split of each language."""

from __future__ import annotations

import functools
import importlib.metadata

import numpy as np

from l2l_rnn.data.cache import Arrays, cached_arrays
from l2l_rnn.data.splits import SPLITS, Split
from l2l_rnn.tasksets.text.language_families import split_languages
from l2l_rnn.tasksets.text.language_names import fold
from l2l_rnn.tasksets.text.translation_pairs import (
    VERSION,
    LanguagePairs,
    Pairs,
    name_pairs,
    number_pairs,
)


@functools.lru_cache(maxsize=4)
def split_pairs(
    root: str,
    pairs: str,
    scripts: str,
    held_out: tuple[str, ...] | None,
    largest: int,
    min_pairs: int,
    max_length: int,
) -> tuple[LanguagePairs, dict[str, Split]]:
    """Return the pairs and the split of each language.

    If a pair occurs in languages of two splits, only the first split keeps it. Arguments as in
    `Translation`.
    """
    first = frozenset(held_out or ())
    found = _cached_pairs(root, pairs, scripts, largest, min_pairs, max_length, first)
    splits = split_languages(found.pairs, held_out)
    owner: dict[tuple[str, str], str] = {}  # the split that keeps a pair
    kept: Pairs = {}
    in_split_order = sorted(
        found.pairs.keys() & splits.keys(), key=lambda code: (SPLITS.index(splits[code]), code)
    )
    for code in in_split_order:
        kept[code] = {
            source: target
            for source, target in found.pairs[code].items()
            if owner.setdefault((source, fold(target)), splits[code]) == splits[code]
        }
    too_few = {code: len(table) for code, table in kept.items() if len(table) < min_pairs}
    kept = {code: table for code, table in kept.items() if code not in too_few}
    return LanguagePairs(kept, found.merged, found.too_few | too_few), splits


def _cached_pairs(
    root: str,
    pairs: str,
    scripts: str,
    largest: int,
    min_pairs: int,
    max_length: int,
    first: frozenset[str],
) -> LanguagePairs:
    """Return the pairs of all languages, cached under `root`."""
    package = {"numbers": "unicode-rbnf", "names": "babel"}[pairs]
    key = {
        package: importlib.metadata.version(package),
        "making": VERSION,
        "scripts": scripts,
        "max_length": max_length,
        "min_pairs": min_pairs,
        **({"largest": largest} if pairs == "numbers" else {}),
        **({"first": sorted(first)} if first else {}),
    }

    def build() -> Arrays:
        built = (
            number_pairs(scripts, largest, max_length, min_pairs, first)
            if pairs == "numbers"
            else name_pairs(scripts, max_length, min_pairs, first)
        )
        rows = [(code, *pair) for code, table in built.pairs.items() for pair in table.items()]
        return {
            "rows": np.array(rows, dtype=str).reshape(-1, 3),
            "merged": np.array(list(built.merged.items()), dtype=str).reshape(-1, 2),
            "few": np.array(list(built.too_few.items()), dtype=str).reshape(-1, 2),
        }

    arrays = cached_arrays(root, f"translation-{pairs}", key, build)
    found: Pairs = {}
    for code, source, target in arrays["rows"].tolist():
        found.setdefault(code, {})[source] = target
    too_few = {code: int(count) for code, count in arrays["few"].tolist()}
    return LanguagePairs(found, dict(arrays["merged"].tolist()), too_few)
