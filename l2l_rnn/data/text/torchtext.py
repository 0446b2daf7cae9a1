"""Text pipelines over torchtext's tokenizers, transforms and vocabularies."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from l2l_rnn.checks import check_int
from l2l_rnn.data.text.checks import check_saved, check_text
from l2l_rnn.data.text.word_vocabulary import WordVocabulary, basic_english
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.files import read_json, write_json
from l2l_rnn.optional import require

_FORMAT = "l2l_rnn.TransformPipeline"


class TransformPipeline:
    """Maps texts to ids with torchtext's tokenizers and transforms; 0 is padding and 1 is unknown.

    Id i of the transforms becomes i + 2, and their unknown id becomes 1. Padding is removed,
    because datasets add their own.

    Args:
        *steps: callables applied in order: a tokenizer such as `get_tokenizer("basic_english")`,
            torchtext transforms, or your own. The last one returns ids, as a list or a tensor.
        padding: the padding id of the transforms; None takes it from the `PadTransform` among the
            steps, if there is one.

    Attributes:
        PADDING: 0, the padding id.
        UNKNOWN: 1, which replaces the default index of the `VocabTransform` among the steps. It is
            also the id of a text without tokens.
        steps: the steps; a `Sequential` is unpacked.
        padding: as given or found.

    Raises:
        ArgumentTypeError: a step is not callable.

    Example:
        >>> letters = TransformPipeline(str.split, lambda words: [len(word) for word in words])
        >>> letters.encode("a bird sat")
        [3, 6, 5]
    """

    PADDING = 0
    UNKNOWN = 1

    def __init__(self, *steps: Callable[[Any], Any], padding: int | None = None) -> None:
        for step in steps:
            if not callable(step):
                raise ArgumentTypeError(
                    "TransformPipeline: every step must be callable, got "
                    f"{type(step).__name__}; pass a tokenizer or a transform"
                )
        self.steps = tuple(part for step in steps for part in _parts(step))
        if padding is not None:
            padding = check_int("TransformPipeline", "padding", padding, least=0)
        else:
            values = [step.pad_value for step in self.steps if _kind(step) == "PadTransform"]
            padding = int(values[-1]) if values else None
        self.padding = padding
        vocabularies = [step.vocab for step in self.steps if _kind(step) == "VocabTransform"]
        self._vocabulary = vocabularies[-1] if vocabularies else None
        self._unknown = self._vocabulary and self._vocabulary.get_default_index()

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included: a model's `vocab_size`.

        Raises:
            ArgumentTypeError: no step is a `VocabTransform`, so the size is unknown.
        """
        if self._vocabulary is None:
            raise ArgumentTypeError(
                "TransformPipeline: len() requires a VocabTransform among the steps, got none; set "
                "the model's vocab_size yourself"
            )
        added = [step.token for step in self.steps if _kind(step) == "AddToken"]
        highest = max(len(self._vocabulary) - 1, *(i for i in added if isinstance(i, int)), 0)
        return int(highest) + 3

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; a text without tokens gives one unknown id.

        Raises:
            ArgumentTypeError: `text` is not a str.
            DataError: the last step returns something other than ids.
        """
        value: Any = check_text("TransformPipeline", text)
        for step in self.steps:
            value = step(value)
            if isinstance(value, list) and not value:
                return [self.UNKNOWN]  # torch warns if a transform gets an empty list
        ids = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(ids, list) or not all(type(i) is int and i >= 0 for i in ids):
            raise DataError(
                "TransformPipeline: the last step must return a list of ids, got "
                f"{str(ids)[:60]!r}; end with a transform that returns integers"
            )
        kept = [i for i in ids if i != self.padding] if self.padding is not None else ids
        return [self.UNKNOWN if i == self._unknown else i + 2 for i in kept] or [self.UNKNOWN]

    __call__ = encode

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pipeline to a JSON file, atomically.

        Raises:
            ArgumentError: a step is not the tokenizer `"basic_english"`, `VocabTransform`,
                `Truncate`, `AddToken`, `StrToIntTransform` or `str.split`.
        """
        steps = [_described(step) for step in self.steps]
        write_json(path, {"format": _FORMAT, "version": 1, "padding": self.padding, "steps": steps})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TransformPipeline:
        """Read a pipeline that `save` wrote.

        Raises:
            DataError: the file does not contain one.
            MissingExtraError: torchtext is not installed.
        """
        content = read_json("TransformPipeline", path)
        steps = content.get("steps")
        check_saved(
            "TransformPipeline",
            path,
            content.get("format") == _FORMAT
            and content.get("version") == 1
            and isinstance(content.get("padding"), int | None)
            and isinstance(steps, list)
            and all(isinstance(step, dict) for step in steps),
            f"format {_FORMAT!r}, version 1, padding and a list of steps",
        )
        try:
            return cls(*(_rebuilt(step) for step in content["steps"]), padding=content["padding"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"TransformPipeline: {path} must contain steps written by save(), got "
                f"{' '.join(repr(error).split())[:200]}; save it again"
            ) from error


def from_torchtext(
    vocabulary: Any, splitter: str | Callable[[str], Sequence[str]]
) -> WordVocabulary:
    """Convert a torchtext `Vocab` to a `WordVocabulary` with the words in the same order.

    The word at the default index becomes the unknown id, 1. The other words get the ids 2, 3, ….

    Args:
        vocabulary: a `torchtext.vocab.Vocab`, or an object with its methods `get_itos` and
            `get_default_index`.
        splitter: splits a text into words, as in `WordVocabulary`.

    Raises:
        ArgumentTypeError: `vocabulary` is something else.
    """
    if not (hasattr(vocabulary, "get_itos") and hasattr(vocabulary, "get_default_index")):
        raise ArgumentTypeError(
            f"from_torchtext: vocabulary must be a torchtext Vocab, got "
            f"{type(vocabulary).__name__}; use WordVocabulary.from_words for a list of words"
        )
    unknown = vocabulary.get_default_index()
    words = [word for i, word in enumerate(vocabulary.get_itos()) if i != unknown]
    return WordVocabulary.from_words(words, splitter)


def _kind(step: Any) -> str:
    """Return the class name of a torchtext transform, or an empty string."""
    kind = type(step)
    return kind.__name__ if kind.__module__ == "torchtext.transforms" else ""


def _parts(step: Any) -> Iterator[Any]:
    if _kind(step) == "Sequential":
        for part in step:
            yield from _parts(part)
    else:
        yield step


def _described(step: Any) -> dict[str, Any]:
    kind = _kind(step)
    if kind == "VocabTransform":
        words, default = step.vocab.get_itos(), step.vocab.get_default_index()
        return {"step": kind, "words": words, "default_index": default}
    if kind == "Truncate":
        return {"step": kind, "max_seq_len": step.max_seq_len}
    if kind == "AddToken":
        return {"step": kind, "token": step.token, "begin": step.begin}
    if kind == "StrToIntTransform":
        return {"step": kind}
    if step is str.split:
        return {"step": "whitespace"}
    if getattr(step, "__module__", "").startswith("torchtext.") and step is basic_english():
        return {"step": "basic_english"}
    name = getattr(step, "__name__", type(step).__name__)
    raise ArgumentError(
        "TransformPipeline: to be saved, a step must be basic_english, str.split, VocabTransform, "
        f"Truncate, AddToken or StrToIntTransform, got {name!r}; build the pipeline in code"
    )


def _rebuilt(step: dict[str, Any]) -> Any:
    options = dict(step)
    kind = options.pop("step")
    if kind == "whitespace":
        return str.split
    if kind == "basic_english":
        return basic_english()
    transforms, vocab = _torchtext()
    if kind == "VocabTransform":
        vocabulary = vocab.build_vocab_from_iterator([], specials=options["words"])
        if options["default_index"] not in (None, *range(len(options["words"]))):
            raise ValueError("default_index lies outside the words")
        if options["default_index"] is not None:
            vocabulary.set_default_index(options["default_index"])
        return transforms.VocabTransform(vocabulary)
    if kind in ("Truncate", "AddToken", "StrToIntTransform"):
        return getattr(transforms, kind)(**options)
    raise ValueError(f"unknown step {kind!r}")


def _torchtext() -> tuple[ModuleType, ModuleType]:
    with warnings.catch_warnings():  # torchtext emits a deprecation warning on import
        warnings.simplefilter("ignore", UserWarning)
        return (
            require("torchtext.transforms", extra="torchtext", purpose="TransformPipeline"),
            require("torchtext.vocab", extra="torchtext", purpose="TransformPipeline"),
        )
