"""Splits of intents by domain, and the training intents of further languages."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Sequence

import numpy as np

from l2l_rnn.data.cache import Arrays, cached_arrays
from l2l_rnn.data.splits import Split
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.tasksets.text import intent_sentences
from l2l_rnn.tasksets.text.arguments import check_language
from l2l_rnn.tasksets.text.intent_sentences import SentenceOptions, Sentences

_DOMAINS = {
    "devices": "HassGetState HassLightSet HassSetPosition HassTurnOff HassTurnOn",
    "climate": (
        "HassClimateGetTemperature HassClimateSetFanMode HassClimateSetTemperature HassFanSetSpeed"
    ),
    "weather": "HassGetWeather",
    "talk": "HassBroadcast HassGetCurrentDate HassGetCurrentTime HassNevermind HassRespond",
    "media": (
        "HassMediaNext HassMediaPause HassMediaPlayerMute HassMediaPlayerUnmute HassMediaPrevious "
        "HassMediaSearchAndPlay HassMediaUnpause HassSetVolume HassSetVolumeRelative"
    ),
    "lists": (
        "HassListAddItem HassListCompleteItem HassListRemoveItem HassShoppingListAddItem "
        "HassShoppingListCompleteItem"
    ),
    "cleaning": (
        "HassLawnMowerDock HassLawnMowerStartMowing HassVacuumCleanArea HassVacuumReturnToBase "
        "HassVacuumStart"
    ),
    "timers": (
        "HassCancelAllTimers HassCancelTimer HassDecreaseTimer HassIncreaseTimer HassPauseTimer "
        "HassStartTimer HassTimerStatus HassUnpauseTimer"
    ),
}
_SPLITS: dict[str, dict[Split, str]] = {
    "timers": {
        "train": "devices climate weather talk media",
        "validation": "lists cleaning",
        "test": "timers",
    },
    "wide": {
        "train": "devices climate",
        "validation": "weather talk cleaning",
        "test": "media lists timers",
    },
}
TEST_DOMAINS = tuple(_SPLITS)

SPLIT_OF: dict[str, dict[str, Split]] = {
    test_domains: {
        intent: split
        for split, domains in splits.items()
        for domain in domains.split()
        for intent in _DOMAINS[domain].split()
    }
    for test_domains, splits in _SPLITS.items()
}
"""The split of each intent, by `test_domains`. Intents that are not listed here are not used."""


def split_sentences(
    split: Split, language: str, test_domains: str, options: SentenceOptions
) -> Sentences:
    """Return the sentences of each intent of a split, in one language."""
    return {
        intent: sentences
        for intent, sentences in intent_sentences.build(language, options).items()
        if SPLIT_OF[test_domains].get(intent) == split
    }


def check_train_languages(
    who: str, train_languages: str | Sequence[str] | None, language: str
) -> tuple[str, ...]:
    """Return the codes of the further training languages, without `language`.

    Raises:
        ArgumentTypeError: `train_languages` is not `"all"`, `"latin"`, a sequence or None.
        ArgumentError: it is an empty sequence.
        UnknownNameError: a code is unknown.
    """
    known = intent_sentences.known_languages()
    if train_languages is None:
        return ()
    if isinstance(train_languages, str):
        if train_languages not in ("all", "latin"):
            raise ArgumentTypeError(
                f"{who}: train_languages must be 'all', 'latin', or a sequence of language codes, "
                f"got {train_languages!r}; pass a tuple such as ('de', 'fr')"
            )
        every = train_languages == "all"
        codes = tuple(c for c in known if every or intent_sentences.is_latin(c))
    elif isinstance(train_languages, Sequence):
        codes = tuple(sorted({check_language(who, code, known) for code in train_languages}))
        if not codes:
            raise ArgumentError(
                f"{who}: train_languages must name at least one language, got none; pass None for "
                "the training intents of one language"
            )
    else:
        raise ArgumentTypeError(
            f"{who}: train_languages must be 'all', 'latin', or a sequence of language codes, got "
            f"{type(train_languages).__name__}; pass a tuple such as ('de', 'fr')"
        )
    return tuple(code for code in codes if code != language)


@functools.lru_cache(maxsize=4)
def foreign_sentences(
    root: str, language: str, codes: tuple[str, ...], test_domains: str, options: SentenceOptions
) -> Sentences:
    """Return the sentences of the training intents of other languages, cached under `root`.

    A sentence that is also one of `language`, or of an earlier class, is dropped. An intent of a
    language that then has too few sentences is left out.

    Args:
        root: folder of the cache.
        language: the language of the task set.
        codes: the other languages.
        test_domains, options: as for the task set.

    Returns:
        the sentences by the name of the class, such as "HassTurnOn (de)".
    """

    def build() -> Arrays:
        rows = [
            (sentence, f"{intent} ({code})")
            for code in codes
            for intent, sentences in split_sentences("train", code, test_domains, options).items()
            for sentence in sentences
        ]
        return {"rows": np.array(rows, dtype=str).reshape(-1, 2)}

    packages = ("home-assistant-intents", "hassil")
    key = {
        **{package: importlib.metadata.version(package) for package in packages},
        "drawing": intent_sentences.VERSION,
        "codes": list(codes),
        "test_domains": test_domains,
        "draw": list(options),
    }
    own = intent_sentences.build(language, options).values()
    seen = {sentence.casefold() for sentences in own for sentence in sentences}
    kept: dict[str, list[str]] = {}
    for sentence, name in cached_arrays(root, "intents", key, build)["rows"].tolist():
        if sentence.casefold() not in seen:
            seen.add(sentence.casefold())
            kept.setdefault(name, []).append(sentence)
    return {
        name: tuple(sentences)
        for name, sentences in kept.items()
        if len(sentences) >= options.min_sentences
    }
