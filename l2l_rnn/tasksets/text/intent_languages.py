"""Intent classification in unseen languages: a task is a language, and its classes are intents."""

from __future__ import annotations

import functools
import importlib.metadata
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.cache import Arrays, cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.splits import SPLITS, Split, check_split
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.text import intent_sentences
from l2l_rnn.tasksets.text.arguments import check_held_out, check_vocabulary
from l2l_rnn.tasksets.text.cldr import SCRIPTS
from l2l_rnn.tasksets.text.encoding import encode
from l2l_rnn.tasksets.text.intent_sentences import SentenceOptions
from l2l_rnn.tasksets.text.language_families import family_of, split_languages
from l2l_rnn.tasksets.text.language_names import fold

_Row = tuple[str, str, str]  # a sentence, its language, its intent


@register_dataset(
    "intents_languages",
    TaskCard(
        task="Classify a command in an unseen language into one of five intents, given a few of "
        "each.",
        source="the Home Assistant contributors, templates in the package home-assistant-intents",
        license="Apache-2.0",
        classes=(22, 1, 3),
        items=(21934, 1078, 2537),
        lengths=(2, 64),
        splits="disjoint by language family",
        measure="accuracy",
        chance=0.2,
        baseline=("logistic regression on TF-IDF of character 1-3-grams", 0.92),
        counted="languages",
        extra="text",
    ),
)
class IntentLanguages(GroupedDataset):
    """Smart-home commands in many languages; a task is one of the languages.

    The sentences of each language are drawn from its own templates, as in `Intents`. Here all
    splits have the same intents, and the languages are new at meta-test. Every top-level language
    family is in one split, as in `Languages`. In Latin script, train has 22 Indo-European
    languages, validation has Basque, and test has Finnish, Hungarian and Vietnamese. If a sentence,
    such as "pause", occurs in languages of two splits, only the first split keeps it. Languages
    with fewer than `min_intents` intents of at least `min_sentences` sentences are left out, so
    that tasks in every split can have `min_intents` ways.

    The first call takes a few seconds to draw the sentences, which are then cached under `root`.

    Args:
        root: folder where the sentences are cached.
        split: `"train"`, `"validation"` or `"test"`.
        scripts: `"latin"` keeps languages written in Latin script. `"all"` keeps every language;
            the vocabulary of the train split may then lack every character of a language.
        held_out: codes of the test languages. Their families are removed from train and validation,
            which otherwise stay the same. None uses the split above.
        min_intents: minimum number of intents per language.
        min_sentences: minimum number of sentences per intent and language.
        max_sentences: maximum number of sentences per intent and language.
        max_length: maximum length of a sentence in characters, and S.
        seed: random seed of the sentences, which also depend on the package version.
        vocabulary: maps characters to ids; None builds it from the sentences of the train split.

    Attributes:
        inputs: sentences as token ids, padded with 0.
        targets: intent of each sentence.
        groups: language of each sentence.
        classes: name of each intent, the same in all splits.
        group_names: code of each language, sorted.
        families: family of each language.
        texts: the sentences, one per item.
        vocabulary: vocabulary used; pass `len(vocabulary)` as a model's `vocab_size`.

    Shapes:
        inputs (items, S) int64, S = `max_length`; targets, groups (items,) int64.

    Raises:
        UnknownNameError: `split`, `scripts` or a code in `held_out` is unknown.
        ArgumentError: a count is not a positive integer, `max_sentences` is less than
            `min_sentences`, `held_out` is empty, or `seed` is not a non-negative integer.
        DataError: a language in `held_out`, or every language of the split, has too few intents.
        MissingExtraError: home-assistant-intents or hassil is not installed.
        OSError: `root` cannot be written to.

    Example:
        >>> dataset = IntentLanguages("~/data", split="test")  # doctest: +SKIP
        >>> dataset.group_names, len(dataset.classes)  # doctest: +SKIP
        (('fi', 'hu', 'vi'), 42)

    Source: the Home Assistant contributors, home-assistant-intents
    (github.com/home-assistant/intents-package); families after Glottolog.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
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
        self.root = os.path.expanduser(root)
        self.split = check_split(who, split)
        check_choice(who, "scripts", scripts, SCRIPTS)
        codes = check_held_out(
            who, held_out, intent_sentences.known_languages, "home-assistant-intents codes"
        )
        check_vocabulary(who, vocabulary)
        min_intents = check_int(who, "min_intents", min_intents)
        options = intent_sentences.check_options(
            who, min_sentences, max_sentences, max_length, seed
        )
        rows, splits = _split_rows(self.root, scripts, codes, min_intents, options)
        kept = sorted({code for _, code, _ in rows})
        for code in codes or ():
            if code not in kept:
                raise DataError(
                    f"{who}: held_out language {code!r} must have min_intents={min_intents} "
                    f"intents with min_sentences={options.min_sentences} sentences in "
                    f"scripts={scripts!r}, got fewer; lower them, pass scripts='all' or hold out "
                    "another language"
                )
        languages = [code for code in kept if splits[code] == split]
        if not languages:
            raise DataError(
                f"{who}: min_intents={min_intents}, min_sentences={options.min_sentences} and "
                f"scripts={scripts!r} must leave a language in the {split} split, got none; lower "
                "the minimums or hold out other languages"
            )
        if vocabulary is None:
            vocabulary = CharacterVocabulary(s for s, code, _ in rows if splits[code] == "train")
        self.vocabulary = vocabulary
        classes = sorted({intent for _, _, intent in rows})
        own = [row for row in rows if splits[row[1]] == split]
        self.texts = [sentence for sentence, _, _ in own]
        self.families = tuple(map(family_of, languages))
        super().__init__(
            encode(self.texts, vocabulary, options.max_length),
            torch.tensor([classes.index(intent) for _, _, intent in own]),
            torch.tensor([languages.index(code) for _, code, _ in own]),
            classes=classes,
            group_names=languages,
        )


@functools.lru_cache(maxsize=4)
def _split_rows(
    root: str,
    scripts: str,
    held_out: tuple[str, ...] | None,
    min_intents: int,
    options: SentenceOptions,
) -> tuple[list[_Row], dict[str, Split]]:
    """Return each sentence, in the first of its splits only, and the split of each language."""
    rows = _rows(root, scripts, min_intents, options)
    splits = split_languages(sorted({code for _, code, _ in rows}), held_out)
    first: dict[str, str] = {}
    rows = [row for row in rows if row[1] in splits]
    rows.sort(key=lambda row: (SPLITS.index(splits[row[1]]), row[1:]))
    rows = [row for row in rows if first.setdefault(fold(row[0]), splits[row[1]]) == splits[row[1]]]
    sentences = Counter(row[1:] for row in rows)
    rows = [row for row in rows if sentences[row[1:]] >= options.min_sentences]
    intents = Counter(code for code, _ in {row[1:] for row in rows})
    return [row for row in rows if intents[row[1]] >= min_intents], splits


def _rows(root: str, scripts: str, min_intents: int, options: SentenceOptions) -> list[_Row]:
    """Return the sentences of all languages, cached under `root`."""

    def build() -> Arrays:
        rows = [
            (sentence, code, intent)
            for code in intent_sentences.known_languages()
            if scripts == "all" or intent_sentences.is_latin(code)
            if intent_sentences.intent_count(code) >= min_intents
            for intent, sentences in sorted(intent_sentences.build(code, options).items())
            for sentence in sentences
        ]
        return {"rows": np.array(rows, dtype=str).reshape(-1, 3)}

    packages = ("home-assistant-intents", "hassil")
    key = {
        **{package: importlib.metadata.version(package) for package in packages},
        "drawing": intent_sentences.VERSION,
        "scripts": scripts,
        "min_intents": min_intents,
        "draw": list(options),
    }
    rows = cached_arrays(root, "intents_languages", key, build)["rows"].tolist()
    return [(sentence, code, intent) for sentence, code, intent in rows]
