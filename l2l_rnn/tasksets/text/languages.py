"""Few-shot language identification from single names."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.splits import check_split
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.text.arguments import check_held_out, check_pipeline
from l2l_rnn.tasksets.text.cldr import SCRIPTS, codes_by_english_name, known_languages
from l2l_rnn.tasksets.text.encoding import encode
from l2l_rnn.tasksets.text.language_families import FAMILY_OF
from l2l_rnn.tasksets.text.language_names import NamedLanguages, build


@register_dataset(
    "languages",
    TaskCard(
        task="Classify a name into one of five unseen languages, given a few names of each.",
        source="Unicode CLDR, in the package babel",
        license="Unicode-3.0",
        classes=(103, 13, 28),
        items=(40621, 5570, 13295),
        lengths=(2, 32),
        splits="disjoint by language family",
        measure="accuracy",
        chance=0.2,
        baseline=("logistic regression on TF-IDF of character 1-3-grams", 0.626),
        extra="text",
    ),
)
class Languages(SequenceDataset):
    """Names of countries, languages, scripts and currencies, each labeled with its language.

    The names come from CLDR and ship with the package babel. Nothing is downloaded, and nothing is
    read from or written to `root`. Names are normalized to Unicode NFC and keep their case and
    accents. Names without a letter, or longer than `max_length`, are left out.

    A class is a language. Every top-level language family is in one split: Indo-European,
    Niger-Congo and constructed languages in train; Turkic, Nilo-Saharan, Basque and other small
    families in validation; Austronesian, Afro-Asiatic, Uralic and the rest in test. Locales of one
    family that share three quarters of their names (such as Norwegian Bokmål and Nynorsk, or Rwa
    and Vunjo) count as one language, represented by the locale with the most names. A name that
    occurs in two languages, ignoring case, is dropped from both. A name that differs from a name in
    another split only in accents, spaces or punctuation is dropped too. A language with fewer than
    `min_names` remaining names is left out.

    Args:
        root: ignored; accepted for compatibility with learn2learn's datasets.
        split: `"train"`, `"validation"` or `"test"`.
        transform: function applied to each sequence on access; None leaves it unchanged.
        target_transform: function applied to each label on access; None leaves it unchanged.
        download: ignored, like `root`.
        scripts: `"latin"` keeps names in Latin script, in languages that use it. `"all"` keeps
            every name, which makes tasks easier, because a script may reveal the language.
        held_out: codes of the test languages. Their families are removed from train and validation,
            which otherwise stay the same. None uses the split above.
        min_names: minimum number of names per language.
        max_length: maximum length of a name in characters, and S in token ids.
        vocabulary: text pipeline with a length, such as a `WordVocabulary` or `ByteVocabulary`;
            each name keeps its first `max_length` ids. None builds a `CharacterVocabulary` from the
            names of the train split.

    Attributes:
        sequences: names as token ids, padded with 0.
        labels: language of each name.
        classes: CLDR code of each label, sorted.
        families: language family of each label.
        texts: the names, one per item.
        vocabulary: vocabulary used; pass `len(vocabulary)` as a model's `vocab_size`.

    Shapes:
        sequences: (items, S) int64, S = `max_length`.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `split`, `scripts` or a code in `held_out` is unknown.
        ArgumentError: `min_names` or `max_length` is not a positive integer, or `held_out` is
            empty.
        DataError: a language in `held_out`, or every language of the split, has too few names.
        MissingExtraError: babel is not installed.

    Example:
        >>> dataset = Languages(split="test")
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
        split: str = "train",
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
        who = "Languages"
        self.root = os.path.expanduser(root)
        self.split = check_split(who, split)
        check_choice(who, "scripts", scripts, SCRIPTS)
        codes = check_held_out(who, held_out, known_languages, "CLDR codes", codes_by_english_name)
        min_names = check_int(who, "min_names", min_names)
        max_length = check_int(who, "max_length", max_length)
        check_pipeline(who, vocabulary)
        options = (scripts, codes, min_names, max_length)
        self.vocabulary = _train_vocabulary(*options) if vocabulary is None else vocabulary
        languages = build(*options)
        classes = [code for code in sorted(languages.names) if languages.splits[code] == split]
        if not classes:
            raise DataError(
                f"{who}: min_names={min_names} and max_length={max_length} must leave a language "
                f"in the {split} split, got none; lower min_names or raise max_length"
            )
        self.texts = [name for code in classes for name in languages.names[code]]
        self.families = tuple(FAMILY_OF[code] for code in classes)
        labels = [label for label, code in enumerate(classes) for _ in languages.names[code]]
        super().__init__(
            encode(self.texts, self.vocabulary, max_length),
            torch.tensor(labels, dtype=torch.int64),
            classes=classes,
            transform=transform,
            target_transform=target_transform,
        )


@functools.lru_cache(maxsize=8)
def _train_vocabulary(*options: Any) -> CharacterVocabulary:
    languages: NamedLanguages = build(*options)
    return CharacterVocabulary(
        name
        for code, names in languages.names.items()
        if languages.splits[code] == "train"
        for name in names
    )
