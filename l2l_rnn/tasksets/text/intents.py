"""Commands to a smart home told apart by what they want: few-shot intent classification."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.text.encoding import check_choice, check_pipeline, checked_count, encoded
from l2l_rnn.tasksets.text.intent_sentences import Sentences, build, known_languages
from l2l_rnn.tasksets.text.language_names import MODES

_INTENTS = {
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
MODE_OF: dict[str, str] = {
    intent: mode for mode, intents in _INTENTS.items() for intent in intents.split()
}
"""The split of each intent; an intent that is not here is in none."""


class Intents(SequenceDataset):
    """Holds sentences said to a smart home, each labelled with its intent.

    The sentences are drawn from the templates of the package home-assistant-intents: nothing is
    downloaded, and nothing is read from `root` or written there. Of every template choice one is
    drawn at random, and slots are filled with a number or a name: in English with rooms, devices
    and errands of this package's own, in other languages with names like Luna and Oscar.

    A class is an intent, and every field of a home's life stands in one split: lights, devices,
    climate, weather and media in train, lists and cleaning in validation, timers in test. Two
    sentences of an intent differ in more than what fills their slots ("set the lamp to 20 percent",
    "set our desk fan to 70 percent"): one is kept. Only an intent with fewer such forms than
    `min_sentences` has some of them twice or more. A sentence, or a form, that was drawn for two
    intents is dropped from both. An intent left with fewer than `min_sentences` is left out.

    Args:
        root: unused; accepted since learn2learn's datasets take it.
        mode: the split, `"train"`, `"validation"` or `"test"`.
        transform: applied to each sequence at look-up; None leaves it.
        target_transform: applied to each label at look-up; None leaves it.
        download: unused, as `root` is.
        language: the code of the language, such as `"en"`, `"fi"` or `"pt-BR"`; others than English
            have fewer intents, some too few.
        min_sentences: how many sentences every intent has at least.
        max_sentences: how many it has at most.
        max_length: length of the longest sentence, in characters, and S, in ids.
        seed: fixes which sentences are drawn, together with the package's version.
        vocabulary: a text pipeline that has a size, such as a `WordVocabulary` or `ByteVocabulary`,
            whose ids beyond the first `max_length` are left out; None builds a
            `CharacterVocabulary` from the sentences of the train split.

    Attributes:
        sequences: the sentences as token ids, padded with 0.
        labels: the intent of each sentence.
        language: as given.
        classes: the name of each label, sorted, such as "HassStartTimer".
        sentences: the sentences as they are said, one for each item.
        vocabulary: the vocabulary in use; `len(vocabulary)` is the `vocab_size` of a model.

    Shapes:
        sequences: (items, S) int64, S = `max_length`.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `mode` or `language` is not known.
        ArgumentError: a count is less than 1, `max_sentences` is less than `min_sentences`, or
            `seed` is no integer.
        DataError: no intent of the split has enough sentences.
        MissingExtraError: home-assistant-intents or hassil is not installed.

    Example:
        >>> dataset = Intents(mode="test")
        >>> dataset.classes[:3]
        ('HassCancelAllTimers', 'HassCancelTimer', 'HassDecreaseTimer')
        >>> sequence, label = dataset[0]
        >>> sequence.shape, label
        (torch.Size([64]), 0)

    Source: the Home Assistant contributors, home-assistant-intents
    (github.com/home-assistant/intents-package), whose templates are read by their hassil.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        mode: str = "train",
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
        check_choice(who, "mode", mode, MODES)
        check_choice(who, "language", language, known_languages())
        check_pipeline(who, vocabulary)
        drawn = checked_draw(who, min_sentences, max_sentences, max_length, seed)
        self.root = os.path.expanduser(root)
        self.mode = mode
        self.language = language
        self.vocabulary = _train_vocabulary(language, *drawn) if vocabulary is None else vocabulary
        kept = _of_mode(mode, language, *drawn)
        if not kept:
            raise DataError(
                f"Intents: language={language!r} has no intent with min_sentences={min_sentences} "
                f"sentences of at most max_length={max_length} in the {mode} split; lower "
                "min_sentences, raise max_length or choose another language"
            )
        self.sentences = [sentence for sentences in kept.values() for sentence in sentences]
        labels = [label for label, sentences in enumerate(kept.values()) for _ in sentences]
        super().__init__(
            encoded(self.sentences, self.vocabulary, drawn[2]),
            torch.tensor(labels, dtype=torch.int64),
            classes=tuple(kept),
            transform=transform,
            target_transform=target_transform,
        )


@register_taskset(
    "intents",
    TaskCard(
        task="Tell which of five unseen intents a sentence said to a smart home has.",
        source="the Home Assistant contributors, templates in the package home-assistant-intents",
        license="Apache-2.0",
        classes=(20, 9, 8),
        items=(1167, 408, 475),
        lengths=(3, 64),
        splits="intent, and no field of a home's life such as its timers",
        measure="accuracy",
        chance=0.2,
        baseline=("TF-IDF of 1-3 characters with logistic regression", 0.869),
        extra="text",
    ),
)
def _intents(
    root: str = "~/data",
    *,
    language: str = "en",
    min_sentences: int = 30,
    max_sentences: int = 60,
    max_length: int = 64,
    seed: int = 0,
    vocabulary: Any = None,
) -> Sources:
    train, validation, test = (
        Intents(
            root,
            mode,
            language=language,
            min_sentences=min_sentences,
            max_sentences=max_sentences,
            max_length=max_length,
            seed=seed,
            vocabulary=vocabulary,
        )
        for mode in MODES
    )
    return train, validation, test


def checked_draw(
    who: str, min_sentences: int, max_sentences: int, max_length: int, seed: int
) -> tuple[int, int, int, int]:
    """Return what `intent_sentences.build` takes, or raise an ArgumentError."""
    least = checked_count(who, "min_sentences", min_sentences)
    most = checked_count(who, "max_sentences", max_sentences)
    if most < least:
        raise ArgumentError(
            f"{who}: max_sentences must be at least min_sentences={least}, got {most}; raise it"
        )
    return (
        least,
        most,
        checked_count(who, "max_length", max_length),
        checked_count(who, "seed", seed, least=0),
    )


def _of_mode(mode: str, language: str, *drawn: int) -> Sentences:
    return {i: said for i, said in build(language, *drawn).items() if MODE_OF.get(i) == mode}


@functools.lru_cache(maxsize=8)
def _train_vocabulary(language: str, *drawn: int) -> CharacterVocabulary:
    sentences = _of_mode("train", language, *drawn).values()
    return CharacterVocabulary(sentence for said in sentences for sentence in said)
