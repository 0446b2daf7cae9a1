"""Few-shot intent classification of smart-home commands."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.splits import Split, check_split
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.text.arguments import check_language, check_pipeline
from l2l_rnn.tasksets.text.encoding import encode
from l2l_rnn.tasksets.text.intent_sentences import (
    SentenceOptions,
    Sentences,
    build,
    check_options,
    known_languages,
)

_INTENTS: dict[Split, str] = {
    "train": (
        "HassBroadcast HassClimateGetTemperature HassClimateSetFanMode HassClimateSetTemperature "
        "HassFanSetSpeed HassGetCurrentDate HassGetCurrentTime HassGetState HassGetWeather "
        "HassLightSet HassNevermind HassRespond HassSetPosition HassTurnOff HassTurnOn "
        "HassMediaNext HassMediaPause HassMediaPlayerMute HassMediaPlayerUnmute HassMediaPrevious "
        "HassMediaSearchAndPlay HassMediaUnpause HassSetVolume HassSetVolumeRelative"
    ),
    "validation": (
        "HassListAddItem HassListCompleteItem HassListRemoveItem HassShoppingListAddItem "
        "HassShoppingListCompleteItem HassLawnMowerDock HassLawnMowerStartMowing "
        "HassVacuumCleanArea HassVacuumReturnToBase HassVacuumStart"
    ),
    "test": (
        "HassCancelAllTimers HassCancelTimer HassDecreaseTimer HassIncreaseTimer HassPauseTimer "
        "HassStartTimer HassTimerStatus HassUnpauseTimer"
    ),
}
SPLIT_OF: dict[str, Split] = {
    intent: split for split, intents in _INTENTS.items() for intent in intents.split()
}
"""The split of each intent. Intents that are not listed here are not used."""


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
    downloaded, and nothing is read from or written to `root`. Choices in a template are made at
    random, and slots are filled with a number or a name: in English with names of rooms, devices
    and chores from this package, in other languages with first names such as Luna and Oscar.

    A class is an intent. Every domain is in one split: lights, devices, climate, weather and media
    in train, lists and cleaning in validation, timers in test. Two sentences of an intent never
    differ only in their slots: of "set the lamp to 20 percent" and "set our desk fan to 70
    percent", only one is kept. An intent with fewer than `min_sentences` such forms is an
    exception: it repeats forms with other fillers. A sentence or form that occurs in two intents is
    dropped from both. An intent with fewer than `min_sentences` remaining sentences is left out.

    Args:
        root: ignored; accepted for compatibility with learn2learn's datasets.
        split: `"train"`, `"validation"` or `"test"`.
        transform: function applied to each sequence on access; None leaves it unchanged.
        target_transform: function applied to each label on access; None leaves it unchanged.
        download: ignored, like `root`.
        language: code of the language, such as `"en"`, `"fi"` or `"pt-BR"`. Languages other than
            English have fewer intents, and some have too few.
        min_sentences: minimum number of sentences per intent.
        max_sentences: maximum number of sentences per intent.
        max_length: maximum length of a sentence in characters, and S in token ids.
        seed: random seed of the sentences, which also depend on the package version.
        vocabulary: text pipeline with a length, such as a `WordVocabulary` or `ByteVocabulary`;
            each sentence keeps its first `max_length` ids. None builds a `CharacterVocabulary` from
            the sentences of the train split.

    Attributes:
        sequences: sentences as token ids, padded with 0.
        labels: intent of each sentence.
        language: as given.
        classes: name of each label, sorted, such as "HassStartTimer".
        texts: the sentences, one per item.
        vocabulary: vocabulary used; pass `len(vocabulary)` as a model's `vocab_size`.

    Shapes:
        sequences: (items, S) int64, S = `max_length`.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `split` or `language` is unknown.
        ArgumentError: a count is not a positive integer, `max_sentences` is less than
            `min_sentences`, or `seed` is not a non-negative integer.
        DataError: no intent of the split has enough sentences.
        MissingExtraError: home-assistant-intents or hassil is not installed.

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
        vocabulary: Any = None,
    ) -> None:
        who = "Intents"
        self.root = os.path.expanduser(root)
        self.split = check_split(who, split)
        self.language = check_language(who, language, known_languages())
        check_pipeline(who, vocabulary)
        options = check_options(who, min_sentences, max_sentences, max_length, seed)
        self.vocabulary = _train_vocabulary(language, options) if vocabulary is None else vocabulary
        kept = _split_sentences(self.split, language, options)
        if not kept:
            raise DataError(
                f"{who}: language={language!r} must have an intent in the {split} split with "
                f"min_sentences={min_sentences} sentences of at most max_length={max_length}, got "
                "none; lower min_sentences, raise max_length or choose another language"
            )
        self.texts = [sentence for sentences in kept.values() for sentence in sentences]
        labels = [label for label, sentences in enumerate(kept.values()) for _ in sentences]
        super().__init__(
            encode(self.texts, self.vocabulary, options.max_length),
            torch.tensor(labels, dtype=torch.int64),
            classes=tuple(kept),
            transform=transform,
            target_transform=target_transform,
        )


def _split_sentences(split: Split, language: str, options: SentenceOptions) -> Sentences:
    return {
        intent: sentences
        for intent, sentences in build(language, options).items()
        if SPLIT_OF.get(intent) == split
    }


@functools.lru_cache(maxsize=8)
def _train_vocabulary(language: str, options: SentenceOptions) -> CharacterVocabulary:
    kept = _split_sentences("train", language, options)
    return CharacterVocabulary(sentence for sentences in kept.values() for sentence in sentences)
