"""torchtext's vocabularies and transforms, as text pipelines."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from l2l_rnn.data.text.checks import checked_text
from l2l_rnn.data.text.json_files import check_saved, read_json, write_json
from l2l_rnn.data.text.word_vocabulary import WordVocabulary, basic_english
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.optional import require

_FORMAT = "l2l_rnn.TransformPipeline"


class TransformPipeline:
    """Maps texts to ids by torchtext's tokenisers and transforms, so that 0 is padding, 1 unknown.

    Id i of the transforms becomes i + 2; the unknown one becomes 1, and padding is left out, for a
    dataset pads for itself.

    Args:
        *steps: called one after the other: a tokeniser such as `get_tokenizer("basic_english")`,
            torchtext's transforms, or any callable. The last gives ids, as a list or a tensor.
        padding: the id of the transforms' padding; None takes that of the `PadTransform` among the
            steps, and is none where there is none.

    Attributes:
        PADDING: 0, the id after the end of a text.
        UNKNOWN: 1, the default index of the `VocabTransform` among the steps, and the id of a text
            without tokens.
        steps: the steps, those of a `Sequential` one by one.

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
                    f"{type(step).__name__}; pass a tokeniser or a transform"
                )
        self.steps = tuple(part for step in steps for part in _parts(step))
        if padding is None:
            values = [step.pad_value for step in self.steps if _kind(step) == "PadTransform"]
            padding = int(values[-1]) if values else None
        self.padding = padding
        vocabularies = [step.vocab for step in self.steps if _kind(step) == "VocabTransform"]
        self._vocabulary = vocabularies[-1] if vocabularies else None
        self._unknown = self._vocabulary and self._vocabulary.get_default_index()

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included, where there is a vocabulary.

        Raises:
            ArgumentTypeError: no step is a `VocabTransform`, so that nobody knows.
        """
        if self._vocabulary is None:
            raise ArgumentTypeError(
                "TransformPipeline: its size is known from a VocabTransform, got none among the "
                "steps; set the vocab_size of the model yourself"
            )
        added = [step.token for step in self.steps if _kind(step) == "AddToken"]
        highest = max(len(self._vocabulary) - 1, *(i for i in added if isinstance(i, int)), 0)
        return int(highest) + 3

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; one without tokens gives one unknown.

        Raises:
            ArgumentTypeError: `text` is not a str.
            DataError: the last step gives something else than ids.
        """
        value: Any = checked_text("TransformPipeline", text)
        for step in self.steps:
            value = step(value)
            if isinstance(value, list) and not value:
                return [self.UNKNOWN]  # torch warns of an empty list that it is given
        ids = value.tolist() if hasattr(value, "tolist") else value
        if not isinstance(ids, list) or not all(type(i) is int and i >= 0 for i in ids):
            raise DataError(
                "TransformPipeline: the last step must give a list of ids, got "
                f"{str(ids)[:60]!r}; end with a transform that gives integers"
            )
        kept = [i for i in ids if i != self.padding] if self.padding is not None else ids
        return [self.UNKNOWN if i == self._unknown else i + 2 for i in kept] or [self.UNKNOWN]

    __call__ = encode

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pipeline as JSON, beside `path` first and then moved into place.

        Raises:
            ArgumentError: a step is not the tokeniser `"basic_english"`, `VocabTransform`,
                `Truncate`, `AddToken`, `StrToIntTransform` or `str.split`.
        """
        steps = [_described(step) for step in self.steps]
        write_json(path, {"format": _FORMAT, "version": 1, "padding": self.padding, "steps": steps})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TransformPipeline:
        """Read what `save` wrote.

        Raises:
            DataError: the file is not such a pipeline.
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
                f"TransformPipeline: {path} must hold steps that save() wrote, got {error!r}; "
                "save it again"
            ) from error


def words_of(vocabulary: Any, splitter: str | Callable[[str], list[str]]) -> WordVocabulary:
    """Return the words of a torchtext `Vocab`, in its order, as a `WordVocabulary`.

    What stands at its default index becomes unknown, id 1; the other words get 2, 3, ...

    Args:
        vocabulary: a `torchtext.vocab.Vocab`, or whatever has its `get_itos`, `get_default_index`.
        splitter: parts a text into words; see `WordVocabulary`.

    Raises:
        ArgumentTypeError: `vocabulary` is something else.
    """
    if not hasattr(vocabulary, "get_itos"):
        raise ArgumentTypeError(
            f"words_of: vocabulary must be a torchtext Vocab, got {type(vocabulary).__name__}; "
            "use WordVocabulary.of for a list of words"
        )
    unknown = vocabulary.get_default_index()
    words = [word for i, word in enumerate(vocabulary.get_itos()) if i != unknown]
    return WordVocabulary.of(words, splitter)


def _kind(step: Any) -> str:
    """Return the name of a transform of torchtext, or nothing."""
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
        f"TransformPipeline: the step {name!r} cannot be saved, only basic_english, str.split, "
        "VocabTransform, Truncate, AddToken and StrToIntTransform; keep the code that makes it"
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
    with warnings.catch_warnings():  # torchtext announces its end at every import
        warnings.simplefilter("ignore", UserWarning)
        return (
            require("torchtext.transforms", extra="torchtext", purpose="TransformPipeline"),
            require("torchtext.vocab", extra="torchtext", purpose="TransformPipeline"),
        )
