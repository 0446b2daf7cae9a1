"""Characters and bytes to token ids."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.data.text.checks import checked_ids, checked_text
from l2l_rnn.data.text.json_files import check_saved, read_json, write_json
from l2l_rnn.errors import ArgumentError, ArgumentTypeError

_FORMAT = "l2l_rnn.CharacterVocabulary"
_BYTES = "l2l_rnn.ByteVocabulary"


class CharacterVocabulary:
    """Maps each character of a text to a token id, and back.

    Texts are brought to Unicode's composed form (NFC) first, so that an accented letter is one
    character however it was typed; a combining mark that composes with nothing is a character of
    its own. Case is kept, since it tells languages apart: lower the texts yourself, here and at
    `encode`, if it should not count.

    Args:
        texts: the texts whose characters get an id; those of the meta-train classes alone, so that
            nothing of the unseen classes leaks.
        min_count: how often a character must be seen to get an id; 1 keeps all of them.

    Attributes:
        PADDING: 0, the id after the end of a text.
        UNKNOWN: 1, the id of every character that has none of its own.
        characters: the characters with ids 2, 3, ..., in order of their code points.

    Raises:
        ArgumentTypeError: `texts` is one str, or holds something else than str.
        ArgumentError: `min_count` is less than 1.

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

    PADDING = 0
    UNKNOWN = 1

    def __init__(self, texts: Iterable[str] = (), min_count: int = 1) -> None:
        if isinstance(texts, str):
            raise ArgumentTypeError(
                "CharacterVocabulary: texts must be an iterable of str, got one str; pass [text]"
            )
        if not isinstance(min_count, int) or isinstance(min_count, bool) or min_count < 1:
            raise ArgumentError(
                f"CharacterVocabulary: min_count must be an integer of 1 or more, got "
                f"{min_count!r}; 1 keeps every character seen"
            )
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_composed(text))
        self._set(sorted(c for c, count in counts.items() if count >= min_count))

    def _set(self, characters: Iterable[str]) -> None:
        self.characters = tuple(characters)
        self._ids = {character: i for i, character in enumerate(self.characters, start=2)}

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included: the `vocab_size` of a model."""
        return len(self.characters) + 2

    def __contains__(self, character: object) -> bool:
        return character in self._ids

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CharacterVocabulary) and self.characters == other.characters

    def __hash__(self) -> int:
        return hash(self.characters)

    def __repr__(self) -> str:
        return f"CharacterVocabulary({len(self.characters)} characters)"

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's characters; an empty text gives one unknown.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """
        found = map(self._ids.get, _composed(text), itertools.repeat(self.UNKNOWN))
        return list(found) or [self.UNKNOWN]

    __call__ = encode

    def encode_batch(self, texts: Iterable[str]) -> list[NDArray[np.int32]]:
        """Return the ids of many texts as arrays, several times faster than one by one.

        Example:
            >>> CharacterVocabulary(["ab"]).encode_batch(["ba", "c"])
            [array([3, 2], dtype=int32), array([1], dtype=int32)]
        """
        composed = [_composed(text) for text in texts]
        if not composed:
            return []
        points = np.frombuffer("".join(composed).encode("utf-32-le", "surrogatepass"), np.uint32)
        known = np.array([ord(character) for character in self.characters], np.int64)
        table = np.full(known.max(initial=0) + 2, self.UNKNOWN, np.int32)  # by code point
        table[known] = np.arange(2, len(self))
        ids = table[np.minimum(points, len(table) - 1)]
        parts = np.split(ids, np.cumsum([len(text) for text in composed])[:-1])
        unknown = np.array([self.UNKNOWN], np.int32)
        return [part if text else unknown for text, part in zip(composed, parts, strict=True)]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids, with U+FFFD for unknown and nothing for padding.

        Raises:
            ArgumentError: an id is outside 0 .. len(self) - 1.

        Example:
            >>> CharacterVocabulary(["ab"]).decode([3, 2, 1, 0, 0])
            'ba\ufffd'
        """
        table = ("", "\ufffd", *self.characters)
        return "".join(table[i] for i in checked_ids("CharacterVocabulary", ids, len(table)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON, beside `path` first and then moved into place."""
        write_json(path, {"format": _FORMAT, "version": 1, "characters": list(self.characters)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharacterVocabulary:
        """Read what `save` wrote.

        Raises:
            DataError: the file is not a vocabulary.
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


class ByteVocabulary:
    """Maps each byte of a text's UTF-8 to the byte plus 2: no training, and nothing is unknown.

    Attributes:
        PADDING: 0, the id after the end of a text.
        UNKNOWN: 1, which only an empty text gives.

    Example:
        >>> vocabulary = ByteVocabulary()
        >>> vocabulary.encode("né"), len(vocabulary)
        ([112, 197, 171], 258)
        >>> vocabulary.decode([112, 197, 171, 0])
        'né'
    """

    PADDING = 0
    UNKNOWN = 1

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included: the `vocab_size` of a model."""
        return 258

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteVocabulary)

    def __hash__(self) -> int:
        return hash(ByteVocabulary)

    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's bytes; an empty text gives one unknown.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """
        return [byte + 2 for byte in _utf8(text)] or [self.UNKNOWN]

    __call__ = encode

    def encode_batch(self, texts: Iterable[str]) -> list[NDArray[np.int32]]:
        """Return the ids of many texts as arrays, several times faster than one by one."""
        return [
            np.frombuffer(text, np.uint8).astype(np.int32) + 2
            if text
            else np.array([self.UNKNOWN], np.int32)
            for text in map(_utf8, texts)
        ]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids; bytes that are not UTF-8 become U+FFFD.

        Raises:
            ArgumentError: an id is outside 0 .. 257.
        """
        ids = checked_ids("ByteVocabulary", ids, len(self))
        return bytes(i - 2 for i in ids if i > self.UNKNOWN).decode("utf-8", "replace")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON, beside `path` first and then moved into place."""
        write_json(path, {"format": _BYTES, "version": 1})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ByteVocabulary:
        """Read what `save` wrote.

        Raises:
            DataError: the file is not such a vocabulary.
        """
        content = read_json("ByteVocabulary", path)
        holds = content.get("format") == _BYTES and content.get("version") == 1
        check_saved("ByteVocabulary", path, holds, f"format {_BYTES!r} and version 1")
        return cls()


def _composed(text: object) -> str:
    return unicodedata.normalize("NFC", checked_text("CharacterVocabulary", text))


def _utf8(text: object) -> bytes:
    return checked_text("ByteVocabulary", text).encode("utf-8", "surrogatepass")
