"""Words to token ids."""

from __future__ import annotations

import functools
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from l2l_rnn.data.text.checks import checked_ids, checked_text
from l2l_rnn.data.text.json_files import check_saved, read_json, write_json
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, UnknownNameError
from l2l_rnn.optional import require

Splitter = Callable[[str], Sequence[str]]

_WORDS = "l2l_rnn.WordVocabulary"


class WordVocabulary:
    """Maps each word of a text to a token id, and back.

    Args:
        texts: the texts whose words get an id; those of the meta-train classes alone, so that
            nothing of the unseen classes leaks.
        splitter: parts a text into words: `"words"` lowers it, brings it to NFC, and takes runs of
            letters, digits and the marks on them, and every other sign by itself; `"whitespace"`
            splits at spaces; `"basic_english"` is torchtext's; or a callable from str to a list of
            str.
        min_count: how often a word must be seen to get an id; 1 keeps all of them.
        max_size: how many words are kept, the most frequent; None keeps all of them.

    Attributes:
        PADDING: 0, the id after the end of a text.
        UNKNOWN: 1, the id of every word that has none of its own.
        words: the words with ids 2, 3, ..., the most frequent first, equals in order of the
            alphabet.
        splitter: as given.

    Raises:
        ArgumentTypeError: `texts` is one str, or holds something else than str; or the splitter is
            neither a name nor a callable.
        UnknownNameError: the splitter's name is not known.
        ArgumentError: `min_count` or `max_size` is less than 1.
        MissingExtraError: `"basic_english"` is asked for and torchtext is not installed.

    Example:
        >>> vocabulary = WordVocabulary(["The cat sat.", "The dog sat!"], max_size=3)
        >>> vocabulary.words
        ('sat', 'the', '!')
        >>> vocabulary.encode("the bird sat")
        [3, 1, 2]
    """

    PADDING = 0
    UNKNOWN = 1

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
        _check_positive("min_count", min_count)
        _check_positive("max_size", 1 if max_size is None else max_size)
        self.splitter = splitter
        self._split = _splitter(splitter)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(self._split(checked_text("WordVocabulary", text)))
        kept = sorted((-n, word) for word, n in counts.items() if n >= min_count)
        self._set(word for _, word in kept[:max_size])

    def _set(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: i for i, word in enumerate(self.words, start=2)}

    @classmethod
    def of(cls, words: Iterable[str], splitter: str | Splitter = "words") -> WordVocabulary:
        """Return the vocabulary of these words, with ids 2, 3, ... in their order.

        Raises:
            ArgumentError: a word is no str, or is there twice.

        Example:
            >>> WordVocabulary.of(["b", "a"]).encode("a b c")
            [3, 2, 1]
        """
        words = tuple(words)
        if len(set(words)) < len(words) or not all(isinstance(word, str) for word in words):
            raise ArgumentError(
                "WordVocabulary: words must be distinct str, got "
                f"{len(words) - len(set(words))} repeated or some of another type; give each once"
            )
        vocabulary = cls((), splitter)
        vocabulary._set(words)
        return vocabulary

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included: the `vocab_size` of a model."""
        return len(self.words) + 2

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, WordVocabulary)
            and self.words == other.words
            and self.splitter == other.splitter
        )

    def __hash__(self) -> int:
        return hash(self.words)

    def __repr__(self) -> str:
        return f"WordVocabulary({len(self.words)} words)"

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text's words; a text without words gives one unknown.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """
        words = self._split(checked_text("WordVocabulary", text))
        return [self._ids.get(word, self.UNKNOWN) for word in words] or [self.UNKNOWN]

    __call__ = encode

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of token ids with a space between, U+FFFD for unknown.

        Raises:
            ArgumentError: an id is outside 0 .. len(self) - 1.
        """
        ids = checked_ids("WordVocabulary", ids, len(self))
        table = ("", "\ufffd", *self.words)
        return " ".join(table[i] for i in ids if i != self.PADDING)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary as JSON, beside `path` first and then moved into place.

        A splitter of your own is not written: give it to `load` again.
        """
        splitter = self.splitter if isinstance(self.splitter, str) else None
        words = list(self.words)
        write_json(path, {"format": _WORDS, "version": 1, "splitter": splitter, "words": words})

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], splitter: str | Splitter | None = None
    ) -> WordVocabulary:
        """Read what `save` wrote.

        Args:
            path: the file.
            splitter: the splitter, where the one that was saved is a callable of your own; None
                takes the one that the file names.

        Raises:
            DataError: the file is not such a vocabulary.
            ArgumentError: the file names no splitter, and none is given.
        """
        content = read_json("WordVocabulary", path)
        words = content.get("words")
        check_saved(
            "WordVocabulary",
            path,
            isinstance(words, list)
            and content.get("format") == _WORDS
            and content.get("version") == 1
            and isinstance(content.get("splitter"), str | None)
            and all(isinstance(word, str) for word in words)
            and len(set(words)) == len(words),
            f"format {_WORDS!r}, version 1, a splitter's name and a list of distinct words",
        )
        splitter = content["splitter"] if splitter is None else splitter
        if splitter is None:
            raise ArgumentError(
                f"WordVocabulary: {path} was saved with a splitter that has no name, got "
                "splitter=None; pass the same callable to WordVocabulary.load"
            )
        return cls.of(content["words"], splitter)


def basic_english() -> Splitter:
    """Return torchtext's tokeniser of that name.

    Raises:
        MissingExtraError: torchtext is not installed.
    """
    with warnings.catch_warnings():  # torchtext announces its end at every import
        warnings.simplefilter("ignore", UserWarning)
        data = require("torchtext.data", extra="torchtext", purpose="the splitter 'basic_english'")
    return data.get_tokenizer("basic_english")


def _words(text: str) -> list[str]:
    found: list[str] = _word().findall(unicodedata.normalize("NFC", text.lower()))
    return found


@functools.cache
def _word() -> re.Pattern[str]:
    # `re` has no name for marks. They stand in the first two planes and among the tags alone.
    points = map(chr, (*range(0x20000), *range(0xE0000, 0xE1000)))
    marks = "".join(c for c in points if unicodedata.category(c).startswith("M"))
    joiners = "\u200c\u200d"  # within words of Persian or Hindi
    return re.compile(rf"\w[\w{marks}{joiners}]*|[^\w\s][{marks}]*")


def _splitter(splitter: str | Splitter) -> Splitter:
    if callable(splitter):
        return splitter
    known: dict[str, Splitter] = {"words": _words, "whitespace": str.split}
    if not isinstance(splitter, str):
        raise ArgumentTypeError(
            "WordVocabulary: splitter must be a name or a callable, got "
            f"{type(splitter).__name__}; choose one of: {', '.join(known)}, basic_english"
        )
    if splitter == "basic_english":
        return basic_english()
    if splitter not in known:
        raise UnknownNameError(
            f"WordVocabulary: unknown splitter {splitter!r}. "
            f"Known: {', '.join(known)}, basic_english"
        )
    return known[splitter]


def _check_positive(what: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ArgumentError(
            f"WordVocabulary: {what} must be an integer of 1 or more, got {value!r}; "
            "leave it at its default to keep every word seen"
        )
