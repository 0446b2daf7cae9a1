"""Languages told apart by single names: few-shot language identification from a few characters."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.optional import require
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.text.encoding import (
    check_choice,
    check_pipeline,
    checked_codes,
    checked_count,
    encoded,
)
from l2l_rnn.tasksets.text.language_families import FAMILY_OF
from l2l_rnn.tasksets.text.language_names import (
    MODES,
    PURPOSE,
    SCRIPTS,
    NamedLanguages,
    build,
    known_languages,
)


class Languages(SequenceDataset):
    """Holds names of countries, languages, scripts and currencies, each labelled with its language.

    The names are those of CLDR, as they ship inside the package babel: nothing is downloaded,
    and nothing is read from `root` or written there. They are brought to Unicode's NFC, and keep
    their case and accents; those without a letter are left out, and those longer than `max_length`.

    A class is a language, and every top-level family stands in one split: Indo-European,
    Niger-Congo and constructed languages in train; Turkic, Nilo-Saharan, Basque and other small
    families in validation; Austronesian, Afro-Asiatic, Uralic and the rest in test. Locales of one
    family that give three quarters of their names alike (Norwegian Bokmål and Nynorsk, Rwa and
    Vunjo) count as one language, the fullest. After that, a name that two languages have (case
    aside) is dropped from both, and so is one that differs only in accents, spaces or punctuation
    from a name of another split. A language left with fewer than `min_names` is left out.

    Args:
        root: unused; accepted since learn2learn's datasets take it.
        mode: the split, `"train"`, `"validation"` or `"test"`.
        transform: applied to each sequence at look-up; None leaves it.
        target_transform: applied to each label at look-up; None leaves it.
        download: unused, as `root` is.
        scripts: `"latin"` keeps names whose every letter is Latin, of the languages written so;
            `"all"` keeps every name, which is easier, as a script gives a language away.
        held_out: codes of the languages that shall be the meta-test ones instead; their families
            then leave train and validation, where nothing else changes. None keeps the split above.
        min_names: how many names every language has at least.
        max_length: length of the longest name, in characters, and S, in ids.
        vocabulary: a text pipeline that has a size, such as a `WordVocabulary` or `ByteVocabulary`,
            whose ids beyond the first `max_length` are left out; None builds a
            `CharacterVocabulary` from the names of the train split.

    Attributes:
        sequences: the names as token ids, padded with 0.
        labels: the language of each name.
        classes: the CLDR code of each label, sorted.
        families: the language family of each label.
        names: the names as they are written, one for each item.
        vocabulary: the vocabulary in use; `len(vocabulary)` is the `vocab_size` of a model.

    Shapes:
        sequences: (items, S) int64, S = `max_length`.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `mode`, `scripts` or a code in `held_out` is not known.
        ArgumentError: `min_names` or `max_length` is less than 1, or `held_out` is empty.
        DataError: a language in `held_out`, or every language of the split, has too few names.
        MissingExtraError: babel is not installed.

    Example:
        >>> dataset = Languages(mode="test")
        >>> dataset.classes[:3], dataset.families[:3]
        (('bew', 'et', 'fi'), ('Austronesian', 'Uralic', 'Uralic'))
        >>> sequence, label = dataset[0]
        >>> sequence.shape, dataset.classes[label]
        (torch.Size([32]), 'bew')

    Source: Unicode Common Locale Data Repository (cldr.unicode.org); families after Glottolog.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        mode: str = "train",
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
        *,
        scripts: str = "latin",
        held_out: Sequence[str] | None = None,
        min_names: int = 60,
        max_length: int = 32,
        vocabulary: Any = None,
    ) -> None:
        check_choice("Languages", "mode", mode, MODES)
        check_choice("Languages", "scripts", scripts, SCRIPTS)
        options = (
            scripts,
            checked_codes(
                "Languages", held_out, known_languages, "CLDR codes", codes_by_english_name
            ),
            checked_count("Languages", "min_names", min_names),
            checked_count("Languages", "max_length", max_length),
        )
        check_pipeline("Languages", vocabulary)
        self.root = os.path.expanduser(root)
        self.mode = mode
        self.vocabulary = _train_vocabulary(*options) if vocabulary is None else vocabulary
        languages = build(*options)
        classes = [code for code in sorted(languages.names) if languages.modes[code] == mode]
        if not classes:
            raise DataError(
                f"Languages: min_names={min_names} and max_length={max_length} leave no language "
                f"in the {mode} split; lower min_names or raise max_length"
            )
        self.names = [name for code in classes for name in languages.names[code]]
        self.families = tuple(FAMILY_OF[code] for code in classes)
        labels = [label for label, code in enumerate(classes) for _ in languages.names[code]]
        super().__init__(
            encoded(self.names, self.vocabulary, max_length),
            torch.tensor(labels, dtype=torch.int64),
            classes=classes,
            transform=transform,
            target_transform=target_transform,
        )


@register_taskset(
    "languages",
    TaskCard(
        task="Tell which of five unseen languages a name is written in, from a few names of each.",
        source="Unicode CLDR, in the package babel",
        license="Unicode-3.0",
        classes=(103, 13, 28),
        items=(40621, 5570, 13295),
        lengths=(2, 32),
        splits="language family",
        measure="accuracy",
        chance=0.2,
        baseline=("TF-IDF of 1-3 characters with logistic regression", 0.626),
        extra="text",
    ),
)
def _languages(
    root: str = "~/data",
    *,
    scripts: str = "latin",
    held_out: Sequence[str] | None = None,
    min_names: int = 60,
    max_length: int = 32,
    vocabulary: Any = None,
) -> Sources:
    train, validation, test = (
        Languages(
            root,
            mode,
            scripts=scripts,
            held_out=held_out,
            min_names=min_names,
            max_length=max_length,
            vocabulary=vocabulary,
        )
        for mode in MODES
    )
    return train, validation, test


@functools.lru_cache(maxsize=8)
def _train_vocabulary(*options: Any) -> CharacterVocabulary:
    languages: NamedLanguages = build(*options)
    return CharacterVocabulary(
        name
        for code, names in languages.names.items()
        if languages.modes[code] == "train"
        for name in names
    )


def codes_by_english_name() -> dict[str, str]:
    """Return the English name of each language, in lower case -> its code, as CLDR has them."""
    localedata = require("babel.localedata", extra="text", purpose=PURPOSE)
    known = set(known_languages())
    names = localedata.load("en", merge_inherited=False)["languages"]
    return {name.lower(): code for code, name in names.items() if code in known}
