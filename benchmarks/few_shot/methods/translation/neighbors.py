"""Nearest neighbor baselines: copy the target of a similar source, and change what differs."""

from __future__ import annotations

import itertools

from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.translation.translation_method import TranslationMethod
from benchmarks.few_shot.problems.translation_problem import TranslationTasks
from benchmarks.few_shot.text_measures import edit_distance

Digits = tuple[
    tuple[int, str, str], ...
]  # places from the end, and the characters before and after
Analogies = dict[Digits, list[tuple[str, str]]]


class NearestNeighbor(TranslationMethod):
    """Returns the target of the nearest source by edit distance, with the differences copied.

    If a part of the nearest source is also in its target, it is replaced by what the query has in
    its place. This translates names that are spelled as in English. With `analogies`, a part is
    also replaced as two other pairs with the same change of the source show: from 347 to 357 as
    from 41 to 51.

    Args:
        analogies: whether to use other pairs.
    """

    def __init__(self, problem: object, label: str, *, analogies: bool = False) -> None:
        super().__init__(problem, label)  # type: ignore[arg-type]
        self.analogies = analogies

    def translate(self, tasks: TranslationTasks, column: Pairs) -> list[list[str]]:
        translations = []
        for sources, targets, queries in zip(
            tasks.sources, tasks.targets, tasks.queries, strict=True
        ):
            pairs = dict(zip(sources, targets, strict=True))
            analogies = _analogies(pairs) if self.analogies else {}
            translations.append([_translate(query, pairs, analogies) for query in queries])
        return translations


def _translate(query: str, pairs: dict[str, str], analogies: Analogies) -> str:
    """Translate one query.

    Args:
        query: the source.
        pairs: target of each source in the support set.
        analogies: see `_analogies`.
    """
    ranked = sorted(pairs, key=lambda source: (edit_distance(query, source), source))
    for nearest in ranked[:5] if analogies else ():
        for before, after in analogies.get(_digits_changed(nearest, query), ()):
            if pairs[nearest].count(before) == 1:
                return pairs[nearest].replace(before, after)
    nearest = ranked[0]
    before, after = _change(nearest, query)
    return _replaced(pairs[nearest], before, after) if before else pairs[nearest]


def _analogies(pairs: dict[str, str]) -> Analogies:
    """Return the changes of targets that go with each change of sources."""
    found: Analogies = {}
    for first, second in itertools.permutations(pairs, 2):
        digits = _digits_changed(first, second)
        if 0 < len(digits) < max(len(first), 2):
            change = _change(pairs[first], pairs[second])
            if change[0]:
                found.setdefault(digits, []).append(change)
    return found


def _change(first: str, second: str) -> tuple[str, str]:
    """Return what differs between two texts, without their common beginning and end.

    Example:
        >>> _change("twenty-one", "twenty-five")
        ('on', 'fiv')
    """
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    end = 0
    while end < min(len(first), len(second)) - start and first[-1 - end] == second[-1 - end]:
        end += 1
    return first[start : len(first) - end], second[start : len(second) - end]


def _digits_changed(first: str, second: str) -> Digits:
    """Return the places, from the end, where two texts of the same length differ, and how."""
    if len(first) != len(second):
        return ()
    pairs = enumerate(zip(reversed(first), reversed(second), strict=True))
    return tuple((place, a, b) for place, (a, b) in pairs if a != b)


def _replaced(text: str, before: str, after: str) -> str:
    at = text.lower().find(before.lower())
    return text if at < 0 else text[:at] + after + text[at + len(before) :]
