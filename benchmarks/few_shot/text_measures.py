"""Measures of translations: exact match, character error rate and chrF."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from l2l_rnn.optional import require

MEASURES = ("exact match", "character error rate", "chrF")


def edit_distance(first: str, second: str) -> int:
    """Return the Levenshtein distance: the fewest characters to insert, delete or replace.

    Example:
        >>> edit_distance("kitten", "sitting")
        3
    """
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


def check_measures() -> Any:
    """Check that all measures can be computed, and return the package of chrF.

    Raises:
        MissingExtraError: sacrebleu is not installed.
    """
    return require("sacrebleu", extra="benchmarks", purpose="the measure chrF")


def measures(translations: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compute all measures of one task's translations.

    Exact match is the share of translations equal to their reference; the character error rate is
    the sum of edit distances over the sum of reference lengths; chrF is that of sacrebleu with its
    defaults, from 0 to 1.

    Source: M. Popović, 2015, chrF: character n-gram F-score for automatic MT evaluation; M. Post,
    2018, A Call for Clarity in Reporting BLEU Scores.
    """
    pairs = list(zip(translations, references, strict=True))
    chrf = check_measures().corpus_chrf(list(translations), [list(references)]).score / 100
    return {
        "exact match": sum(a == b for a, b in pairs) / len(pairs),
        "character error rate": sum(edit_distance(*pair) for pair in pairs)
        / sum(len(b) for _, b in pairs),
        "chrF": chrf,
    }
