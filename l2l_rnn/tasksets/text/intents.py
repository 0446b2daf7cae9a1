"""Few-shot intent classification of smart-home commands."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.checks import check_choice
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.splits import check_split
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.text.arguments import check_language, check_pipeline
from l2l_rnn.tasksets.text.encoding import encode
from l2l_rnn.tasksets.text.intent_sentences import (
    SentenceOptions,
    Sentences,
    check_options,
    known_languages,
)
from l2l_rnn.tasksets.text.intent_splits import (
    TEST_DOMAINS,
    check_train_languages,
    foreign_sentences,
    split_sentences,
)


@register_dataset(
    "intents",
    TaskCard(
        task="Classify a smart-home command into one of five unseen intents, given a few of each.",
        source="the Home Assistant contributors, templates in the package home-assistant-intents",
        license="Apache-2.0",
        classes=(20, 9, 8),
        items=(1167, 408, 475),
        lengths=(3, 64),
        splits="disjoint by intent and domain, such as timers",
        measure="accuracy",
        chance=0.2,
        baseline=("logistic regression on TF-IDF of character 1-3-grams", 0.869),
        extra="text",
    ),
)
class Intents(SequenceDataset):
    """Smart-home commands, each labeled with its intent.

    The sentences are drawn from the templates of the package home-assistant-intents. Nothing is
    downloaded. Choices in a template are made at
    random, and slots are filled with a number or a name: in English with names of rooms, devices
    and chores from this package, in other languages with first names such as Luna and Oscar.

    A class is an intent. Every domain is in one split. By default, lights, devices, climate,
    weather, announcements and media are in train, lists and cleaning in validation, timers in test.
    With `test_domains="wide"`, test has the 22 English intents of media, lists and timers, enough
    for 20 ways; validation has weather, announcements and cleaning, and train has devices and
    climate. `train_languages` then adds hundreds of training classes, none of which is a test
    intent in any language. Two sentences of an intent never
    differ only in their slots: of "set the lamp to 20 percent" and "set our desk fan to 70
    percent", only one is kept. An intent with fewer than `min_sentences` such forms is an
    exception: it repeats forms with other fillers. A sentence or form that occurs in two intents is
    dropped from both. An intent with fewer than `min_sentences` remaining sentences is left out.

    Args:
        root: folder where the sentences of `train_languages` are cached; without them, nothing is
            read from it or written to it.
        split: `"train"`, `"validation"` or `"test"`.
        transform: function applied to each sequence on access; None leaves it unchanged.
        target_transform: function applied to each label on access; None leaves it unchanged.
        download: ignored; accepted for compatibility with learn2learn's datasets.
        language: code of the language, such as `"en"`, `"fi"` or `"pt-BR"`. Languages other than
            English have fewer intents, and some have too few.
        min_sentences: minimum number of sentences per intent.
        max_sentences: maximum number of sentences per intent.
        max_length: maximum length of a sentence in characters, and S in token ids.
        seed: random seed of the sentences, which also depend on the package version.
        test_domains: `"timers"` or `"wide"`, the split by domain.
        train_languages: adds the training intents of other languages to the train split, with a
            class such as "HassTurnOn (de)" for each intent and language. `"all"` adds every other
            language, `"latin"` those written in Latin script, and a tuple of codes some of them;
            None adds none. The first call with many languages takes half a minute.
        vocabulary: text pipeline with a length, such as a `WordVocabulary` or `ByteVocabulary`;
            each sentence keeps its first `max_length` ids. None builds a `CharacterVocabulary` from
            the sentences of the train split.

    Attributes:
        sequences: sentences as token ids, padded with 0.
        labels: intent of each sentence.
        language: as given.
        classes: name of each label, sorted, such as "HassStartTimer"; those of `train_languages`
            follow.
        texts: the sentences, one per item.
        vocabulary: vocabulary used; pass `len(vocabulary)` as a model's `vocab_size`.

    Shapes:
        sequences: (items, S) int64, S = `max_length`.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `split`, `language`, `test_domains` or a code in `train_languages` is
            unknown.
        ArgumentTypeError: `train_languages` is another str than `"all"` and `"latin"`, or no
            sequence.
        ArgumentError: a count is not a positive integer, `max_sentences` is less than
            `min_sentences`, `seed` is not a non-negative integer, or `train_languages` is empty.
        DataError: no intent of the split has enough sentences.
        MissingExtraError: home-assistant-intents or hassil is not installed.
        OSError: `train_languages` is given, and `root` cannot be written to.

    Example:
        >>> dataset = Intents(split="test")
        >>> dataset.classes[:3]
        ('HassCancelAllTimers', 'HassCancelTimer', 'HassDecreaseTimer')
        >>> sequence, label = dataset[0]
        >>> sequence.shape, label
        (torch.Size([64]), 0)

    Source: the Home Assistant contributors, home-assistant-intents
    (github.com/home-assistant/intents-package). Their package hassil parses the templates.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
        *,
        language: str = "en",
        min_sentences: int = 30,
        max_sentences: int = 60,
        max_length: int = 64,
        seed: int = 0,
        test_domains: str = "timers",
        train_languages: str | Sequence[str] | None = None,
        vocabulary: Any = None,
    ) -> None:
        who = "Intents"
        self.root = os.path.expanduser(root)
        self.split = check_split(who, split)
        self.language = check_language(who, language, known_languages())
        check_pipeline(who, vocabulary)
        options = check_options(who, min_sentences, max_sentences, max_length, seed)
        self.test_domains = check_choice(who, "test_domains", test_domains, TEST_DOMAINS)
        codes = check_train_languages(who, train_languages, language)
        chosen = (self.root, language, codes, test_domains, options)
        self.vocabulary = _train_vocabulary(*chosen) if vocabulary is None else vocabulary
        kept = split_sentences(self.split, language, test_domains, options)
        if not kept:
            raise DataError(
                f"{who}: language={language!r} must have an intent in the {split} split with "
                f"min_sentences={min_sentences} sentences of at most max_length={max_length}, got "
                "none; lower min_sentences, raise max_length or choose another language"
            )
        if split == "train":
            kept = _train_sentences(*chosen)
        self.texts = [sentence for sentences in kept.values() for sentence in sentences]
        labels = [label for label, sentences in enumerate(kept.values()) for _ in sentences]
        super().__init__(
            encode(self.texts, self.vocabulary, options.max_length),
            torch.tensor(labels, dtype=torch.int64),
            classes=tuple(kept),
            transform=transform,
            target_transform=target_transform,
        )


def _train_sentences(
    root: str, language: str, codes: tuple[str, ...], test_domains: str, options: SentenceOptions
) -> Sentences:
    own = split_sentences("train", language, test_domains, options)
    if not codes:
        return own
    return own | foreign_sentences(root, language, codes, test_domains, options)


@functools.lru_cache(maxsize=8)
def _train_vocabulary(
    root: str, language: str, codes: tuple[str, ...], test_domains: str, options: SentenceOptions
) -> CharacterVocabulary:
    kept = _train_sentences(root, language, codes, test_domains, options)
    return CharacterVocabulary(sentence for sentences in kept.values() for sentence in sentences)
