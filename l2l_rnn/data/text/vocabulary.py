"""Base class of vocabularies, and the vocabulary of characters."""

from __future__ import annotations

import itertools
import os
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import check_int
from l2l_rnn.data.text.checks import check_ids, check_saved, check_text
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.files import read_json, write_json

_FORMAT = "l2l_rnn.CharacterVocabulary"


class Vocabulary(ABC):
    """Text pipeline with a fixed list of tokens. Abstract base class.

    Attributes:
        PADDING: 0, the padding id.
        UNKNOWN: 1, the id of every token outside the vocabulary.
        token_ids: the id of each token, 2, 3, … in the order of the vocabulary.
    """

    PADDING = 0
    UNKNOWN = 1

    _tokens: tuple[str, ...]
    token_ids: Mapping[str, int]

    def _set(self, tokens: Iterable[str]) -> None:
        self._tokens = tuple(tokens)
        self.token_ids = {token: i for i, token in enumerate(self._tokens, start=2)}

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included: a model's `vocab_size`."""
        return len(self._tokens) + 2

    def __contains__(self, token: object) -> bool:
        return token in self.token_ids

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vocabulary)
            and type(self) is type(other)
            and self._tokens == other._tokens
        )

    def __hash__(self) -> int:
        return hash(self._tokens)

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's tokens; a text without tokens gives one unknown id.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """

    @abstractmethod
    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids, with U+FFFD for unknown tokens and nothing for padding.

        Raises:
            ArgumentError: an id is outside 0 .. len(self) - 1.
        """

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file, atomically."""


class CharacterVocabulary(Vocabulary):
    """Maps each character of a text to a token id, and back.

    Texts are first normalized to Unicode's composed form (NFC), so an accented letter is one
    character regardless of how it was typed. A combining mark without a composed form is a separate
    character. Case is kept, because it helps to distinguish languages. To ignore case, lowercase
    the texts here and in `encode`.

    Args:
        texts: the texts that define the vocabulary. Use only texts of the meta-train classes, so
            that nothing leaks from the validation and test classes.
        min_count: minimum number of occurrences of a character; 1 keeps every character.

    Attributes:
        PADDING: 0, the padding id.
        UNKNOWN: 1, the id of every character outside the vocabulary.
        characters: the characters with ids 2, 3, …, in order of their code points.
        token_ids: the id of each character.

    Raises:
        ArgumentTypeError: `texts` is a str, or contains something other than str.
        ArgumentError: `min_count` is not a positive integer.

    Example:
        >>> vocabulary = CharacterVocabulary(["banana", "Ban"])
        >>> vocabulary.characters
        ('B', 'a', 'b', 'n')
        >>> vocabulary.encode("Bana!")
        [2, 3, 5, 3, 1]
        >>> vocabulary.encode("")
        [1]
        >>> len(vocabulary)
        6
    """

    def __init__(self, texts: Iterable[str] = (), min_count: int = 1) -> None:
        if isinstance(texts, str):
            raise ArgumentTypeError(
                "CharacterVocabulary: texts must be an iterable of str, got one str; pass [text]"
            )
        min_count = check_int(
            "CharacterVocabulary", "min_count", min_count, fix="1 keeps every character"
        )
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_composed(text))
        self._set(sorted(c for c, count in counts.items() if count >= min_count))

    @property
    def characters(self) -> tuple[str, ...]:
        """The characters with ids 2, 3, …, in order of their code points."""
        return self._tokens

    def __repr__(self) -> str:
        return f"CharacterVocabulary({len(self.characters)} characters)"

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's characters; an empty text gives one unknown id.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """
        found = map(self.token_ids.get, _composed(text), itertools.repeat(self.UNKNOWN))
        return list(found) or [self.UNKNOWN]

    __call__ = encode

    def encode_batch(self, texts: Iterable[str]) -> list[NDArray[np.int32]]:
        """Return the ids of many texts as arrays, several times faster than one text at a time.

        Raises:
            ArgumentTypeError: a text is not a str.

        Example:
            >>> CharacterVocabulary(["ab"]).encode_batch(["ba", "c"])
            [array([3, 2], dtype=int32), array([1], dtype=int32)]
        """
        composed = [_composed(text) for text in texts]
        if not composed:
            return []
        points = np.frombuffer("".join(composed).encode("utf-32-le", "surrogatepass"), np.uint32)
        known = np.array([ord(character) for character in self.characters], np.int64)
        table = np.full(known.max(initial=0) + 2, self.UNKNOWN, np.int32)  # code point -> id
        table[known] = np.arange(2, len(self))
        ids = table[np.minimum(points, len(table) - 1)]
        parts = np.split(ids, np.cumsum([len(text) for text in composed])[:-1])
        unknown = np.array([self.UNKNOWN], np.int32)
        return [part if text else unknown for text, part in zip(composed, parts, strict=True)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids, with U+FFFD for unknown characters and nothing for padding.

        Raises:
            ArgumentError: an id is outside 0 .. len(self) - 1.

        Example:
            >>> CharacterVocabulary(["ab"]).decode([3, 2, 1, 0, 0])
            'ba\ufffd'
        """
        table = ("", "\ufffd", *self.characters)
        return "".join(table[i] for i in check_ids("CharacterVocabulary", ids, len(table)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file, atomically."""
        write_json(path, {"format": _FORMAT, "version": 1, "characters": list(self.characters)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharacterVocabulary:
        """Read a vocabulary that `save` wrote.

        Raises:
            DataError: the file does not contain one.
        """
        content = read_json("CharacterVocabulary", path)
        characters = content.get("characters")
        check_saved(
            "CharacterVocabulary",
            path,
            isinstance(characters, list)
            and content.get("format") == _FORMAT
            and content.get("version") == 1
            and all(isinstance(c, str) and len(c) == 1 for c in characters)
            and len(set(characters)) == len(characters),
            f"format {_FORMAT!r}, version 1 and a list of distinct single characters",
        )
        vocabulary = cls()
        vocabulary._set(content["characters"])
        return vocabulary


def _composed(text: object) -> str:
    return unicodedata.normalize("NFC", check_text("CharacterVocabulary", text))
