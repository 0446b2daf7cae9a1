"""Characters to token ids."""

from __future__ import annotations

import json
import os
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError

_FORMAT = "l2l_rnn.CharacterVocabulary"


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
        get = self._ids.get
        return [get(character, self.UNKNOWN) for character in _composed(text)] or [self.UNKNOWN]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of token ids, with U+FFFD for unknown and nothing for padding.

        Raises:
            ArgumentError: an id is outside 0 .. len(self) - 1.

        Example:
            >>> CharacterVocabulary(["ab"]).decode([3, 2, 1, 0, 0])
            'ba\ufffd'
        """
        table = ("", "\ufffd", *self.characters)
        ids = [int(i) for i in ids]
        for i in ids:
            if not 0 <= i < len(table):
                raise ArgumentError(
                    f"CharacterVocabulary: ids must lie in 0 .. {len(table) - 1}, got {i}; "
                    "decode with the vocabulary that encoded"
                )
        return "".join(table[i] for i in ids)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON, beside `path` first and then moved into place."""
        path = Path(path).expanduser()
        content = {"format": _FORMAT, "version": 1, "characters": list(self.characters)}
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(content, file)
            os.replace(beside, path)
        except BaseException:
            os.unlink(beside)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CharacterVocabulary:
        """Read what `save` wrote.

        Raises:
            DataError: the file is not a vocabulary.
        """
        try:
            content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
        except ValueError as error:
            raise DataError(
                f"CharacterVocabulary: {path} must be JSON that save() wrote, cannot be read "
                f"({error}); save it again"
            ) from error
        characters = content.get("characters") if isinstance(content, dict) else None
        if (
            not isinstance(characters, list)
            or content.get("format") != _FORMAT
            or content.get("version") != 1
            or not all(isinstance(c, str) and len(c) == 1 for c in characters)
            or len(set(characters)) != len(characters)
        ):
            raise DataError(
                f"CharacterVocabulary: {path} must hold format {_FORMAT!r}, version 1 and a list "
                "of distinct single characters, holds something else; save it again"
            )
        vocabulary = cls()
        vocabulary._set(characters)
        return vocabulary


def _composed(text: str) -> str:
    if not isinstance(text, str):
        raise ArgumentTypeError(
            f"CharacterVocabulary: a text must be a str, got {type(text).__name__}; "
            "decode bytes first"
        )
    return unicodedata.normalize("NFC", text)
