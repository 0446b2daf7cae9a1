"""Translation into an unseen language: numbers to words, or English names to local names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.splits import check_split
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.text.arguments import check_held_out, check_vocabulary
from l2l_rnn.tasksets.text.cldr import SCRIPTS, codes_by_english_name, known_languages
from l2l_rnn.tasksets.text.encoding import encode
from l2l_rnn.tasksets.text.language_families import family_of
from l2l_rnn.tasksets.text.translation_pairs import PAIRS, LanguagePairs
from l2l_rnn.tasksets.text.translation_splits import split_pairs

_MIN_KNOWN = 0.8  # minimum share of a language's characters that are in the vocabulary
_END_OF_TEXT = "\x03"  # the control character END OF TEXT; it sorts before all printable ones


@register_dataset(
    "translation",
    TaskCard(
        task="Spell out a number in an unseen language, given a few examples.",
        source="Unicode CLDR, in the package unicode-rbnf",
        license="MIT (package), Unicode-3.0 (data)",
        classes=(34, 3, 10),
        items=(33057, 2965, 9998),
        lengths=(1, 3),
        splits="disjoint by language family",
        measure="normalized edit similarity",
        chance=0.0,
        baseline=("target of the support input nearest by edit distance", 0.54),
        counted="languages",
        extra="text",
    ),
)
class Translation(GroupedDataset):
    """Pairs of texts and their translations; a task consists of pairs in one language.

    With `pairs="numbers"`, the input is a number in digits and the target is the number in words,
    such as "21" and "einundzwanzig". The words are spelled by the rules of the package
    unicode-rbnf, for every number up to `largest`. A language has few rules, so a few dozen pairs
    show most of them. With `pairs="names"`, the input is the English name of a country, language,
    script or currency and the target is its name in the language, such as "Germany" and "Saksa".
    The names come from CLDR, in the package babel, without names that are spelled as in English.
    All texts are normalized to Unicode NFC. Each input occurs once in a language, so support and
    query sets have none in common.

    Every top-level language family is in one split, as in `Languages`, and locales of one family
    with nearly the same pairs count as one language. If a pair occurs in languages of two splits,
    such as "0" and "null" in German and Estonian, only the first split keeps it. Inputs and targets
    have separate vocabularies, built from the train split. Letters that occur only in unseen
    languages, such as Turkish "ı", become the id UNKNOWN, in targets too. A language is left out if
    less than four fifths of its characters are in the vocabulary, or if it has fewer than
    `min_pairs` pairs.

    A target ends with the id END and is padded with 0. It has no start id: use 0 as the first input
    of a decoder, and compute the loss only up to END. The first call takes a few seconds to make
    the pairs, which are then cached under `root`.

    Args:
        root: folder where the pairs are cached.
        split: `"train"`, `"validation"` or `"test"`.
        pairs: `"numbers"` or `"names"`.
        scripts: `"latin"` keeps languages written in Latin script. `"all"` also keeps languages in
            other scripts, if the train split has a language in the same script.
        held_out: codes of the test languages. Their families are removed from train and validation,
            which otherwise stay the same. None uses the split above.
        largest: the largest number; ignored with `pairs="names"`.
        min_pairs: minimum number of pairs per language.
        max_length: maximum length of a text, in characters; T is one more.
        vocabulary: maps the characters of inputs to ids; None builds it from the train split.
        target_vocabulary: maps the characters of targets to ids, END included; None builds it from
            the train split.

    Attributes:
        END: 2, the id that ends a target; it represents U+0003, END OF TEXT.
        inputs, targets, groups: token ids of the inputs and targets, and language of each pair.
        group_names: CLDR code of each language, sorted.
        families: family of each language.
        texts: the pairs as text, one per item.
        vocabulary, target_vocabulary: vocabularies used; their lengths are a model's `vocab_size`
            and its number of outputs.

    Shapes:
        inputs (items, S) int64, where S is the number of digits of `largest`, or `max_length` for
        names; targets (items, T) int64, T = `max_length` + 1; groups (items,) int64.

    Raises:
        UnknownNameError: `split`, `pairs`, `scripts` or a code in `held_out` is unknown.
        ArgumentError: a count is not a positive integer, `held_out` is empty, or
            `target_vocabulary` does not map the end of a target to END.
        DataError: a language in `held_out`, or every language of the split, has too few pairs.
        MissingExtraError: unicode-rbnf or babel is not installed.
        OSError: `root` cannot be written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     dataset = Translation(root, split="test", largest=20, min_pairs=10)
        >>> x, y = dataset[16]
        >>> dataset.group_names[0], dataset.texts[16], dataset.decode(y.unsqueeze(0))
        ('et', ('17', 'seitseteist'), ['seitseteist'])

    Source: Unicode Common Locale Data Repository (cldr.unicode.org), its names and its rule-based
    number formats; families after Glottolog.
    """

    END = 2

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
        *,
        pairs: str = "numbers",
        scripts: str = "latin",
        held_out: Sequence[str] | None = None,
        largest: int = 999,
        min_pairs: int = 300,
        max_length: int = 40,
        vocabulary: CharacterVocabulary | None = None,
        target_vocabulary: CharacterVocabulary | None = None,
    ) -> None:
        who = "Translation"
        self.root = os.path.expanduser(root)
        self.split = check_split(who, split)
        check_choice(who, "pairs", pairs, PAIRS)
        check_choice(who, "scripts", scripts, SCRIPTS)
        codes = check_held_out(who, held_out, known_languages, "CLDR codes", codes_by_english_name)
        largest = check_int(who, "largest", largest)
        min_pairs = check_int(who, "min_pairs", min_pairs)
        max_length = check_int(who, "max_length", max_length)
        check_vocabulary(who, vocabulary)
        _check_target_vocabulary(who, target_vocabulary)
        found, splits = split_pairs(
            self.root, pairs, scripts, codes, largest, min_pairs, max_length
        )
        tables = found.pairs
        train = [table for code, table in tables.items() if splits[code] == "train"]
        if vocabulary is None:
            vocabulary = CharacterVocabulary(source for table in train for source in table)
        if target_vocabulary is None:
            train_targets = (target for table in train for target in table.values())
            target_vocabulary = CharacterVocabulary([_END_OF_TEXT, *train_targets])
        known = {code: _known_share(table, target_vocabulary) for code, table in tables.items()}
        for code in codes or ():
            if known.get(code, 0) < _MIN_KNOWN:
                why = _why_left_out(code, found, known, min_pairs, pairs, scripts)
                raise DataError(f"{who}: held_out {why}")
        languages = [
            code for code in sorted(tables) if splits[code] == split and known[code] >= _MIN_KNOWN
        ]
        if not languages:
            raise DataError(
                f"{who}: min_pairs={min_pairs} and max_length={max_length} must leave a language "
                f"in the {split} split, got none; lower min_pairs, raise largest or max_length, or "
                "hold out other languages"
            )
        self.vocabulary = vocabulary
        self.target_vocabulary = target_vocabulary
        self.texts = [pair for code in languages for pair in tables[code].items()]
        self.families = tuple(map(family_of, languages))
        groups = [group for group, code in enumerate(languages) for _ in tables[code]]
        targets = [target + _END_OF_TEXT for _, target in self.texts]
        steps = len(str(largest)) if pairs == "numbers" else max_length
        super().__init__(
            encode([source for source, _ in self.texts], vocabulary, steps),
            encode(targets, target_vocabulary, max_length + 1),
            torch.tensor(groups, dtype=torch.int64),
            group_names=languages,
        )

    def decode(self, ids: Tensor) -> list[str]:
        """Return the texts of targets, each up to its first END, if any.

        Args:
            ids: token ids of targets or predictions.

        Shapes:
            ids (B, T) int64; returns B texts.
        """
        texts = (self.target_vocabulary.decode(row) for row in ids.tolist())
        return [text.partition(_END_OF_TEXT)[0] for text in texts]


def _why_left_out(
    code: str,
    found: LanguagePairs,
    known: dict[str, float],
    min_pairs: int,
    pairs: str,
    scripts: str,
) -> str:
    """Return the end of an error message about a held-out language that was left out."""
    if code in found.merged:
        return (
            f"must not name near-duplicates, got {code!r} and {found.merged[code]!r}; keep one of "
            "the two"
        )
    if code in found.too_few:
        return (
            f"language {code!r} must have min_pairs={min_pairs} pairs, got "
            f"{found.too_few[code]}; lower min_pairs or hold out another language"
        )
    if code in known:
        return (
            f"language {code!r} must have four fifths of its characters in the vocabulary, got a "
            f"share of {known[code]:.2f}; pass target_vocabulary or hold out another language"
        )
    what = "numbers in words" if pairs == "numbers" else "names"
    return (
        f"language {code!r} must have {what} in scripts={scripts!r}, got none; choose other "
        "scripts or pairs, or hold out another language"
    )


def _known_share(table: dict[str, str], vocabulary: CharacterVocabulary) -> float:
    counts = Counter("".join(table.values()))
    return sum(counts[c] for c in counts if c in vocabulary) / counts.total()


def _check_target_vocabulary(who: str, vocabulary: CharacterVocabulary | None) -> None:
    check_vocabulary(who, vocabulary, "target_vocabulary")
    if vocabulary is not None and vocabulary.encode(_END_OF_TEXT) != [Translation.END]:
        raise ArgumentError(
            f"{who}: target_vocabulary must map {_END_OF_TEXT!r}, the end of a target, to the id "
            f"{Translation.END}, got {vocabulary.encode(_END_OF_TEXT)[0]}; build it from "
            f"[{_END_OF_TEXT!r}, *texts]"
        )
