"""Intents in a language never seen: a task is a language, and its classes are intents."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from l2l_rnn.data.cache import Arrays, cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.text import intent_sentences
from l2l_rnn.tasksets.text.encoding import (
    check_choice,
    check_vocabulary,
    checked_codes,
    checked_count,
    encoded,
)
from l2l_rnn.tasksets.text.intents import checked_draw
from l2l_rnn.tasksets.text.language_families import family_of, split_languages
from l2l_rnn.tasksets.text.language_names import MODES, SCRIPTS, fold

_Row = tuple[str, str, str]  # a sentence, its language, its intent


class IntentLanguages(GroupedDataset):
    """Holds sentences said to smart homes in many languages; a task is one of the languages.

    The sentences are drawn as those of `Intents`, for each language from its own templates. Here
    the intents are those of all splits, and what is new at meta-test is the language: every
    top-level family stands in one split, as in `Languages`. In Latin script, 22 Indo-European
    languages are in train, Basque in validation, and Finnish, Hungarian and Vietnamese in test.
    A sentence said in languages of two splits, as "pause", stays in the first of them alone.
    Languages with fewer than `min_intents` intents of `min_sentences` sentences are left out, so
    that tasks of `min_intents` ways can be drawn in every split.

    It takes some seconds to draw the sentences the first time; they are kept under `root`.

    Args:
        root: the folder where the sentences are kept.
        mode: the split, `"train"`, `"validation"` or `"test"`.
        scripts: `"latin"` keeps languages written in Latin script; `"all"` keeps every one, whose
            characters may all be unknown to the vocabulary of the train split.
        held_out: codes of the languages that shall be the meta-test ones instead; their families
            then leave train and validation, where nothing else changes. None keeps the usual split.
        min_intents: how many intents every language has at least.
        min_sentences: how many sentences every intent of a language has at least.
        max_sentences: how many it has at most.
        max_length: length of the longest sentence, in characters, and S.
        seed: fixes which sentences are drawn, together with the version of the package.
        vocabulary: maps characters to ids; None builds it from the sentences of the train split.

    Attributes:
        inputs: the sentences as token ids, padded with 0.
        targets: the intent of each.
        groups: the language of each.
        classes: the name of each intent, the same in all splits.
        group_names: the code of each language, sorted.
        families: the family of each language.
        sentences: the sentences as they are said, one for each item.
        vocabulary: the vocabulary in use; `len(vocabulary)` is the `vocab_size` of a model.

    Shapes:
        inputs (items, S) int64, S = `max_length`; targets, groups (items,) int64.

    Raises:
        UnknownNameError: `mode`, `scripts` or a code in `held_out` is not known.
        ArgumentError: a count is less than 1, `max_sentences` is less than `min_sentences`,
            `held_out` is empty, or `seed` is no integer.
        DataError: a language in `held_out`, or every language of the split, has too few intents.
        MissingExtraError: home-assistant-intents or hassil is not installed.
        OSError: `root` cannot be written to.

    Example:
        >>> dataset = IntentLanguages("~/data", mode="test")  # doctest: +SKIP
        >>> dataset.group_names, len(dataset.classes)  # doctest: +SKIP
        (('fi', 'hu', 'vi'), 42)

    Source: the Home Assistant contributors, home-assistant-intents
    (github.com/home-assistant/intents-package); families after Glottolog.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        mode: str = "train",
        *,
        scripts: str = "latin",
        held_out: Sequence[str] | None = None,
        min_intents: int = 20,
        min_sentences: int = 20,
        max_sentences: int = 30,
        max_length: int = 64,
        seed: int = 0,
        vocabulary: CharacterVocabulary | None = None,
    ) -> None:
        who = "IntentLanguages"
        check_choice(who, "mode", mode, MODES)
        check_choice(who, "scripts", scripts, SCRIPTS)
        codes = checked_codes(
            who, held_out, intent_sentences.known_languages, "home-assistant-intents codes"
        )
        check_vocabulary(who, vocabulary)
        least = checked_count(who, "min_intents", min_intents)
        drawn = checked_draw(who, min_sentences, max_sentences, max_length, seed)
        self.root = os.path.expanduser(root)
        rows, modes = _split_rows(self.root, scripts, codes, least, drawn)
        kept = sorted({code for _, code, _ in rows})
        for code in codes or ():
            if code not in kept:
                raise DataError(
                    f"{who}: held_out language {code!r} needs min_intents={least} intents with "
                    f"min_sentences={drawn[0]} sentences in scripts={scripts!r}, has fewer; lower "
                    "them, pass scripts='all' or hold out another"
                )
        languages = [code for code in kept if modes[code] == mode]
        if not languages:
            raise DataError(
                f"{who}: min_intents={least}, min_sentences={drawn[0]} and scripts={scripts!r} "
                f"leave no language in the {mode} split; lower them or hold out others"
            )
        self.mode = mode
        if vocabulary is None:
            vocabulary = CharacterVocabulary(s for s, code, _ in rows if modes[code] == "train")
        self.vocabulary = vocabulary
        classes = sorted({intent for _, _, intent in rows})
        here = [row for row in rows if modes[row[1]] == mode]
        self.sentences = [sentence for sentence, _, _ in here]
        self.families = tuple(map(family_of, languages))
        super().__init__(
            encoded(self.sentences, vocabulary, drawn[2]),
            torch.tensor([classes.index(intent) for _, _, intent in here]),
            torch.tensor([languages.index(code) for _, code, _ in here]),
            classes=classes,
            group_names=languages,
        )


@register_taskset(
    "intents_languages",
    TaskCard(
        task="Tell which of five intents a sentence has, in a language never seen.",
        source="the Home Assistant contributors, templates in the package home-assistant-intents",
        license="Apache-2.0",
        classes=(22, 1, 3),
        items=(21934, 1078, 2537),
        lengths=(2, 64),
        splits="language family",
        measure="accuracy",
        chance=0.2,
        baseline=("TF-IDF of 1-3 characters with logistic regression", 0.92),
        counted="languages",
        extra="text",
    ),
)
def _intents_languages(
    root: str = "~/data",
    *,
    scripts: str = "latin",
    held_out: Sequence[str] | None = None,
    min_intents: int = 20,
    min_sentences: int = 20,
    max_sentences: int = 30,
    max_length: int = 64,
    seed: int = 0,
    vocabulary: CharacterVocabulary | None = None,
) -> Sources:
    train, validation, test = (
        IntentLanguages(
            root,
            mode,
            scripts=scripts,
            held_out=held_out,
            min_intents=min_intents,
            min_sentences=min_sentences,
            max_sentences=max_sentences,
            max_length=max_length,
            seed=seed,
            vocabulary=vocabulary,
        )
        for mode in MODES
    )
    return train, validation, test


def _sentences(
    root: str, scripts: str, min_intents: int, drawn: tuple[int, int, int, int]
) -> list[_Row]:
    """Return the sentences of all languages, from a file under `root` if drawn before."""

    def build() -> Arrays:
        rows = [
            (sentence, code, intent)
            for code in intent_sentences.known_languages()
            if scripts == "all" or intent_sentences.is_latin(code)
            if intent_sentences.intent_count(code) >= min_intents
            for intent, sentences in sorted(intent_sentences.build(code, *drawn).items())
            for sentence in sentences
        ]
        return {"rows": np.array(rows, dtype=str).reshape(-1, 3)}

    packages = ("home-assistant-intents", "hassil")
    key = {
        **{package: importlib.metadata.version(package) for package in packages},
        "drawing": intent_sentences.VERSION,
        "scripts": scripts,
        "min_intents": min_intents,
        "draw": list(drawn),
    }
    rows = cached_arrays(root, "intents_languages", key, build)["rows"].tolist()
    return [(sentence, code, intent) for sentence, code, intent in rows]


@functools.lru_cache(maxsize=4)
def _split_rows(
    root: str,
    scripts: str,
    held_out: tuple[str, ...] | None,
    min_intents: int,
    drawn: tuple[int, int, int, int],
) -> tuple[list[_Row], dict[str, str]]:
    """Return the sentences, each in the first of its splits alone, and each language's split."""
    rows = _sentences(root, scripts, min_intents, drawn)
    modes = split_languages(sorted({code for _, code, _ in rows}), held_out)
    first: dict[str, str] = {}
    rows = [row for row in rows if row[1] in modes]
    rows.sort(key=lambda row: (MODES.index(modes[row[1]]), row[1:]))
    rows = [row for row in rows if first.setdefault(fold(row[0]), modes[row[1]]) == modes[row[1]]]
    sentences = Counter(row[1:] for row in rows)
    rows = [row for row in rows if sentences[row[1:]] >= drawn[0]]
    intents = Counter(code for code, _ in {row[1:] for row in rows})
    return [row for row in rows if intents[row[1]] >= min_intents], modes
