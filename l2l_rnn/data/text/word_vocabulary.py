"""Vocabulary of words, and the functions that split a text into words."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.text.checks import check_ids, check_saved, check_text
from l2l_rnn.data.text.vocabulary import Vocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.files import read_json, write_json
from l2l_rnn.optional import require

Splitter = Callable[[str], Sequence[str]]

_FORMAT = "l2l_rnn.WordVocabulary"


class WordVocabulary(Vocabulary):
    """Maps each word of a text to a token id, and back.

    Args:
        texts: the texts that define the vocabulary. Use only texts of the meta-train classes, so
            that nothing leaks from the validation and test classes.
        splitter: name of a splitter, or any callable from str to a list of str. `"words"`
            lowercases the text, normalizes it to NFC, and returns runs of letters, digits and their
            combining marks, and every other symbol by itself; `"whitespace"` splits at whitespace;
            `"basic_english"` is torchtext's tokenizer.
        min_count: minimum number of occurrences of a word; 1 keeps every word.
        max_size: maximum number of words, the most frequent ones; None keeps all.

    Attributes:
        PADDING: 0, the padding id.
        UNKNOWN: 1, the id of every word outside the vocabulary.
        words: the words with ids 2, 3, …, the most frequent first, ties in alphabetical order.
        token_ids: the id of each word.
        splitter: as given.

    Raises:
        ArgumentTypeError: `texts` is a str, or contains something other than str; or the splitter
            is neither a name nor a callable.
        UnknownNameError: the splitter is unknown.
        ArgumentError: `min_count` or `max_size` is not a positive integer.
        MissingExtraError: the splitter is `"basic_english"` and torchtext is not installed.

    Example:
        >>> vocabulary = WordVocabulary(["The cat sat.", "The dog sat!"], max_size=3)
        >>> vocabulary.words
        ('sat', 'the', '!')
        >>> vocabulary.encode("the bird sat")
        [3, 1, 2]
    """

    def __init__(
        self,
        texts: Iterable[str] = (),
        splitter: str | Splitter = "words",
        min_count: int = 1,
        max_size: int | None = None,
    ) -> None:
        if isinstance(texts, str):
            raise ArgumentTypeError(
                "WordVocabulary: texts must be an iterable of str, got one str; pass [text]"
            )
        min_count = check_int("WordVocabulary", "min_count", min_count, fix="1 keeps every word")
        if max_size is not None:
            max_size = check_int("WordVocabulary", "max_size", max_size, fix="None keeps all words")
        self.splitter = splitter
        self._split = _splitter(splitter)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(self._split(check_text("WordVocabulary", text)))
        kept = sorted((-n, word) for word, n in counts.items() if n >= min_count)
        self._set(word for _, word in kept[:max_size])

    @classmethod
    def from_words(cls, words: Iterable[str], splitter: str | Splitter = "words") -> WordVocabulary:
        """Make a vocabulary of the given words, with ids 2, 3, … in the given order.

        Raises:
            ArgumentError: a word is not a str, or appears twice.

        Example:
            >>> WordVocabulary.from_words(["b", "a"]).encode("a b c")
            [3, 2, 1]
        """
        words = tuple(words)
        if len(set(words)) < len(words) or not all(isinstance(word, str) for word in words):
            raise ArgumentError(
                "WordVocabulary: words must be distinct str, got "
                f"{len(words) - len(set(words))} repeats, or some of another type; pass each once"
            )
        vocabulary = cls((), splitter)
        vocabulary._set(words)
        return vocabulary

    @property
    def words(self) -> tuple[str, ...]:
        """The words with ids 2, 3, …."""
        return self._tokens

    def __eq__(self, other: object) -> bool:
        return (
            super().__eq__(other)
            and isinstance(other, WordVocabulary)
            and self.splitter == other.splitter
        )

    __hash__ = Vocabulary.__hash__

    def __repr__(self) -> str:
        return f"WordVocabulary({len(self.words)} words)"

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's words; a text without words gives one unknown id.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """
        words = self._split(check_text("WordVocabulary", text))
        return [self.token_ids.get(word, self.UNKNOWN) for word in words] or [self.UNKNOWN]

    __call__ = encode

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of token ids, separated by spaces, with U+FFFD for unknown words.

        Raises:
            ArgumentError: an id is outside 0 .. len(self) - 1.
        """
        ids = check_ids("WordVocabulary", ids, len(self))
        table = ("", "\ufffd", *self.words)
        return " ".join(table[i] for i in ids if i != self.PADDING)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to a JSON file, atomically.

        A custom splitter is not saved; pass it to `load` again.
        """
        splitter = self.splitter if isinstance(self.splitter, str) else None
        words = list(self.words)
        write_json(path, {"format": _FORMAT, "version": 1, "splitter": splitter, "words": words})

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], splitter: str | Splitter | None = None
    ) -> WordVocabulary:
        """Read a vocabulary that `save` wrote.

        Args:
            path: the file.
            splitter: the splitter, if the saved vocabulary had a custom one; None uses the one
                named in the file.

        Raises:
            DataError: the file does not contain a vocabulary of words.
            ArgumentError: the file names no splitter, and `splitter` is None.
        """
        content = read_json("WordVocabulary", path)
        words = content.get("words")
        check_saved(
            "WordVocabulary",
            path,
            isinstance(words, list)
            and content.get("format") == _FORMAT
            and content.get("version") == 1
            and isinstance(content.get("splitter"), str | None)
            and all(isinstance(word, str) for word in words)
            and len(set(words)) == len(words),
            f"format {_FORMAT!r}, version 1, a splitter's name and a list of distinct words",
        )
        splitter = content.get("splitter") if splitter is None else splitter
        if splitter is None:
            raise ArgumentError(
                f"WordVocabulary: splitter must be given, as {path} was saved with a custom one, "
                "got None; pass the same callable to WordVocabulary.load"
            )
        return cls.from_words(content["words"], splitter)


def basic_english() -> Splitter:
    """Return torchtext's tokenizer `basic_english`.

    Raises:
        MissingExtraError: torchtext is not installed.
    """
    with warnings.catch_warnings():  # torchtext emits a deprecation warning on import
        warnings.simplefilter("ignore", UserWarning)
        data = require("torchtext.data", extra="torchtext", purpose="the splitter 'basic_english'")
    return data.get_tokenizer("basic_english")


def _split_words(text: str) -> list[str]:
    found: list[str] = _word_pattern().findall(unicodedata.normalize("NFC", text.lower()))
    return found


@functools.cache
def _word_pattern() -> re.Pattern[str]:
    # `re` has no class for combining marks. All of them are in Unicode's planes 0, 1 and 14.
    points = map(chr, (*range(0x20000), *range(0xE0000, 0xE1000)))
    marks = "".join(c for c in points if unicodedata.category(c).startswith("M"))
    joiners = "\u200c\u200d"  # inside words of Persian and Hindi
    return re.compile(rf"\w[\w{marks}{joiners}]*|[^\w\s][{marks}]*")


def _splitter(splitter: str | Splitter) -> Splitter:
    if callable(splitter):
        return splitter
    makers: dict[str, Callable[[], Splitter]] = {
        "words": lambda: _split_words,
        "whitespace": lambda: str.split,
        "basic_english": basic_english,
    }
    if not isinstance(splitter, str):
        raise ArgumentTypeError(
            "WordVocabulary: splitter must be a name or a callable, got "
            f"{type(splitter).__name__}; choose one of: {', '.join(makers)}"
        )
    return makers[check_choice("WordVocabulary", "splitter", splitter, makers)]()
