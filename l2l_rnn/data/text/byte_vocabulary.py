"""Bytes as token ids."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.data.text.checks import check_ids, check_saved, check_text
from l2l_rnn.files import read_json, write_json

_FORMAT = "l2l_rnn.ByteVocabulary"


class ByteVocabulary:
    """Vocabulary of bytes: the ids of a text are the bytes of its UTF-8 encoding plus 2.

    It requires no training texts and knows every byte.

    Attributes:
        PADDING: 0, the padding id.
        UNKNOWN: 1, the id of an empty text.

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
        """Return the number of ids, padding and unknown included: a model's `vocab_size`."""
        return 258

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ByteVocabulary)

    def __hash__(self) -> int:
        return hash(ByteVocabulary)

    def __repr__(self) -> str:
        return "ByteVocabulary()"

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's bytes; an empty text gives one unknown id.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """
        return [byte + 2 for byte in _utf8(text)] or [self.UNKNOWN]

    __call__ = encode

    def encode_batch(self, texts: Iterable[str]) -> list[NDArray[np.int32]]:
        """Return the ids of many texts as arrays, several times faster than one text at a time.

        Raises:
            ArgumentTypeError: a text is not a str.
        """
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
        ids = check_ids("ByteVocabulary", ids, len(self))
        return bytes(i - 2 for i in ids if i > self.UNKNOWN).decode("utf-8", "replace")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file, atomically."""
        write_json(path, {"format": _FORMAT, "version": 1})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ByteVocabulary:
        """Read a vocabulary that `save` wrote.

        Raises:
            DataError: the file does not contain one.
        """
        content = read_json("ByteVocabulary", path)
        valid = content.get("format") == _FORMAT and content.get("version") == 1
        check_saved("ByteVocabulary", path, valid, f"format {_FORMAT!r} and version 1")
        return cls()


def _utf8(text: object) -> bytes:
    return check_text("ByteVocabulary", text).encode("utf-8", "surrogatepass")
