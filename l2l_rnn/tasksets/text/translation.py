"""Translation into a language never seen: numbers in words, or names from English."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.data.cache import Arrays, cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.text.encoding import (
    check_choice,
    check_vocabulary,
    checked_codes,
    checked_count,
    encoded,
)
from l2l_rnn.tasksets.text.language_families import family_of, split_languages
from l2l_rnn.tasksets.text.language_names import MODES, SCRIPTS, fold, known_languages
from l2l_rnn.tasksets.text.languages import codes_by_english_name
from l2l_rnn.tasksets.text.translation_pairs import (
    PAIRS,
    VERSION,
    Made,
    Pairs,
    name_pairs,
    number_pairs,
)

_KNOWN = 0.8  # share of a language's characters that the vocabulary knows at least
_END_OF_TEXT = "\x03"  # the control character of that name; it sorts before all that are written


class Translation(GroupedDataset):
    """Holds pairs of a text and its translation; a task is a language, with some of its pairs.

    `pairs="numbers"`: from digits to the words of a language, as "21" to "einundzwanzig", spelled
    by the rules of the package unicode-rbnf for every number up to `largest`. The rules of a
    language are few, so that some tens of pairs tell most of them, and an answer is right or wrong.
    `pairs="names"`: from the English name of a country, language, script or currency to the
    language's own, as "Germany" to "Saksa", out of CLDR in the package babel; names spelled as in
    English are left out. Every text is in Unicode's NFC; an input comes once in a language, so that
    support and query share none.

    Every top-level language family stands in one split, as in `Languages`, and locales of a family
    that say nearly the same count as one language. A pair that languages of two splits have, such
    as "0" and "null" of German and Estonian, stays in the first of them alone. Inputs and answers
    have a vocabulary each, from the train split. Where an unseen language has a letter more, such
    as Turkish "ı", the id UNKNOWN stands for it, in answers too; a language is left out where fewer
    than four fifths of its characters are known, or where it has fewer than `min_pairs`.

    An answer ends with the id END and is then padded with 0. No id begins one: let a decoder's
    first input be 0, and count the losses up to END alone. Pairs are made in some seconds
    the first time, and kept under `root`.

    Args:
        root: the folder where the pairs are kept.
        mode: the split, `"train"`, `"validation"` or `"test"`.
        pairs: `"numbers"` or `"names"`.
        scripts: `"latin"` keeps the languages written in Latin script; `"all"` adds those in other
            scripts, where a language of the train split is written in the same.
        held_out: codes of the languages that shall be the meta-test ones instead; their families
            then leave train and validation, where nothing else changes. None keeps the usual split.
        largest: the largest number; with `"names"` not looked at.
        min_pairs: how many pairs every language has at least.
        max_length: length of the longest text, in characters; T is one more.
        vocabulary: maps the characters of inputs to ids; None builds it from the train split.
        answer_vocabulary: maps those of answers, END among them; None builds it likewise.

    Attributes:
        END: 2, the id after the last of an answer; it stands for U+0003, END OF TEXT.
        inputs, targets, groups: the token ids, and the language of each pair.
        group_names: the CLDR code of each language, sorted.
        families: the family of each language.
        texts: the pairs as they are written, one for each item.
        vocabulary, answer_vocabulary: those in use; their lengths are the sizes of a model's
            embedding and of its outputs.

    Shapes:
        inputs (items, S) int64, S the length of `largest` or `max_length`; targets (items, T)
        int64, T = `max_length` + 1; groups (items,) int64.

    Raises:
        UnknownNameError: `mode`, `pairs`, `scripts` or a code in `held_out` is not known.
        ArgumentError: a count is less than 1, `held_out` is empty, or `answer_vocabulary` has
            another id than END at the end of an answer.
        DataError: a language in `held_out`, or every language of the split, has too few pairs.
        MissingExtraError: unicode-rbnf or babel is not installed.
        OSError: `root` cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     dataset = Translation(root, mode="test", largest=20, min_pairs=10)
        >>> x, answer = dataset[16]
        >>> dataset.group_names[0], dataset.texts[16], dataset.decode(answer.unsqueeze(0))
        ('et', ('17', 'seitseteist'), ['seitseteist'])

    Source: Unicode Common Locale Data Repository (cldr.unicode.org), its names and its rule-based
    number formats; families after Glottolog.
    """

    END = 2

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        mode: str = "train",
        *,
        pairs: str = "numbers",
        scripts: str = "latin",
        held_out: Sequence[str] | None = None,
        largest: int = 999,
        min_pairs: int = 300,
        max_length: int = 40,
        vocabulary: CharacterVocabulary | None = None,
        answer_vocabulary: CharacterVocabulary | None = None,
    ) -> None:
        who = "Translation"
        check_choice(who, "mode", mode, MODES)
        check_choice(who, "pairs", pairs, PAIRS)
        check_choice(who, "scripts", scripts, SCRIPTS)
        codes = checked_codes(who, held_out, known_languages, "CLDR codes", codes_by_english_name)
        largest = checked_count(who, "largest", largest)
        least = checked_count(who, "min_pairs", min_pairs)
        longest = checked_count(who, "max_length", max_length)
        check_vocabulary(who, vocabulary)
        _check_answer_vocabulary(who, answer_vocabulary)
        self.root = os.path.expanduser(root)
        found, modes = _split_pairs(self.root, pairs, scripts, codes, largest, least, longest)
        made = found.pairs
        learnt = [made[code] for code in made if modes[code] == "train"]
        if vocabulary is None:
            vocabulary = CharacterVocabulary(source for table in learnt for source in table)
        if answer_vocabulary is None:
            learnt_answers = (answer for table in learnt for answer in table.values())
            answer_vocabulary = CharacterVocabulary([_END_OF_TEXT, *learnt_answers])
        shares = {code: _known_share(made[code], answer_vocabulary) for code in made}
        for code in codes or ():
            if shares.get(code, 0) < _KNOWN:
                raise DataError(
                    f"{who}: held_out {_why_left_out(code, found, shares, least, pairs, scripts)}"
                )
        made = {code: made[code] for code in made if shares[code] >= _KNOWN}
        languages = [code for code in sorted(made) if modes[code] == mode]
        if not languages:
            raise DataError(
                f"{who}: min_pairs={least} and max_length={longest} leave no language in the "
                f"{mode} split; lower min_pairs, raise largest or max_length, or hold out others"
            )
        self.mode = mode
        self.vocabulary = vocabulary
        self.answer_vocabulary = answer_vocabulary
        self.texts = [pair for code in languages for pair in made[code].items()]
        self.families = tuple(map(family_of, languages))
        groups = [group for group, code in enumerate(languages) for _ in made[code]]
        answers = [target + _END_OF_TEXT for _, target in self.texts]
        steps = len(str(largest)) if pairs == "numbers" else longest
        super().__init__(
            encoded([source for source, _ in self.texts], vocabulary, steps),
            encoded(answers, answer_vocabulary, longest + 1),
            torch.tensor(groups, dtype=torch.int64),
            group_names=languages,
        )

    def decode(self, ids: Tensor) -> list[str]:
        """Return the texts of answers, each up to its END where it has one.

        Args:
            ids: those of `targets`, or of a model.

        Shapes:
            ids (B, T) int64; returns B texts.
        """
        texts = (self.answer_vocabulary.decode(row) for row in ids.tolist())
        return [text.partition(_END_OF_TEXT)[0] for text in texts]


@register_taskset(
    "translation",
    TaskCard(
        task="Write numbers in the words of a language never seen, from some pairs of it.",
        source="Unicode CLDR, in the package unicode-rbnf",
        license="MIT, the data Unicode-3.0",
        classes=(34, 3, 10),
        items=(33057, 2965, 9998),
        lengths=(1, 3),
        splits="language family",
        measure="share of an answer's characters right, by edit distance",
        chance=0.0,
        baseline=("the answer of the support input nearest by edit distance", 0.54),
        counted="languages",
        extra="text",
    ),
)
def _translation(
    root: str = "~/data",
    *,
    pairs: str = "numbers",
    scripts: str = "latin",
    held_out: Sequence[str] | None = None,
    largest: int = 999,
    min_pairs: int = 300,
    max_length: int = 40,
    vocabulary: CharacterVocabulary | None = None,
    answer_vocabulary: CharacterVocabulary | None = None,
) -> Sources:
    train, validation, test = (
        Translation(
            root,
            mode,
            pairs=pairs,
            scripts=scripts,
            held_out=held_out,
            largest=largest,
            min_pairs=min_pairs,
            max_length=max_length,
            vocabulary=vocabulary,
            answer_vocabulary=answer_vocabulary,
        )
        for mode in MODES
    )
    return train, validation, test


@functools.lru_cache(maxsize=4)
def _split_pairs(
    root: str,
    pairs: str,
    scripts: str,
    held_out: tuple[str, ...] | None,
    largest: int,
    least: int,
    longest: int,
) -> tuple[Made, dict[str, str]]:
    """Return the pairs and the split of each language, a pair in the first of its splits alone."""
    held = frozenset(held_out or ())
    made, merged, few = _kept_pairs(root, pairs, scripts, largest, least, longest, held)
    modes = split_languages(made, held_out)
    first: dict[tuple[str, str], str] = {}
    kept: Pairs = {}
    for code in sorted(made.keys() & modes.keys(), key=lambda c: (MODES.index(modes[c]), c)):
        kept[code] = {
            source: answer
            for source, answer in made[code].items()
            if first.setdefault((source, fold(answer)), modes[code]) == modes[code]
        }
    few = few | {code: len(table) for code, table in kept.items() if len(table) < least}
    kept = {code: table for code, table in kept.items() if code not in few}
    return Made(kept, merged, few), modes


def _why_left_out(
    code: str, made: Made, shares: dict[str, float], least: int, pairs: str, scripts: str
) -> str:
    """Return what a message says of a language that is held out and has been left out."""
    if code in made.merged:
        return f"names {code!r} and its near-duplicate {made.merged[code]!r}; keep one of the two"
    if code in made.few:
        return (
            f"language {code!r} needs min_pairs={least} pairs of its own, has {made.few[code]}; "
            "lower min_pairs or hold out another"
        )
    if code in shares:
        return (
            f"language {code!r} needs four fifths of its characters known to the vocabulary, has "
            f"{shares[code]:.2f} of them; pass answer_vocabulary or hold out another"
        )
    what = "numbers in words" if pairs == "numbers" else "names of its own"
    return (
        f"language {code!r} has no {what} in scripts={scripts!r}; choose other scripts or pairs, "
        "or hold out another"
    )


def _known_share(table: dict[str, str], vocabulary: CharacterVocabulary) -> float:
    counts = Counter("".join(table.values()))
    return sum(counts[c] for c in counts if c in vocabulary) / counts.total()


def _check_answer_vocabulary(who: str, vocabulary: CharacterVocabulary | None) -> None:
    check_vocabulary(who, vocabulary)
    if vocabulary is not None and vocabulary.encode(_END_OF_TEXT) != [Translation.END]:
        raise ArgumentError(
            f"{who}: answer_vocabulary must give the id {Translation.END} to {_END_OF_TEXT!r}, "
            f"which ends an answer, gives {vocabulary.encode(_END_OF_TEXT)[0]}; build it from "
            f"[{_END_OF_TEXT!r}, *texts]"
        )


def _kept_pairs(
    root: str,
    pairs: str,
    scripts: str,
    largest: int,
    min_pairs: int,
    max_length: int,
    first: frozenset[str],
) -> Made:
    """Return the pairs of all languages, from a file under `root` if they were made before."""
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
        made = (
            number_pairs(scripts, largest, max_length, min_pairs, first)
            if pairs == "numbers"
            else name_pairs(scripts, max_length, min_pairs, first)
        )
        rows = [(code, *pair) for code, table in made.pairs.items() for pair in table.items()]
        return {
            "rows": np.array(rows, dtype=str).reshape(-1, 3),
            "merged": np.array(list(made.merged.items()), dtype=str).reshape(-1, 2),
            "few": np.array(list(made.few.items()), dtype=str).reshape(-1, 2),
        }

    found = cached_arrays(root, f"translation-{pairs}", key, build)
    kept: Pairs = {}
    for code, source, target in found["rows"].tolist():
        kept.setdefault(code, {})[source] = target
    few = {code: int(count) for code, count in found["few"].tolist()}
    return Made(kept, dict(found["merged"].tolist()), few)
