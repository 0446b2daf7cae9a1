"""Conversion of tokenizers to text pipelines, and loading of saved pipelines."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from l2l_rnn.data.text.byte_vocabulary import ByteVocabulary
from l2l_rnn.data.text.hf_tokenizers import TokenizerPipeline
from l2l_rnn.data.text.torchtext import TransformPipeline
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.data.text.word_vocabulary import WordVocabulary
from l2l_rnn.errors import ArgumentTypeError, DataError
from l2l_rnn.files import read_json

# Maps a str to ids of at least 1: 1 is unknown, and 0 is reserved for padding.
Pipeline = Callable[[str], Sequence[int]]

# Pipelines by name, each made from the training texts.
PIPELINES: Mapping[str, Callable[[Iterable[str]], Pipeline]] = {
    "words": WordVocabulary,
    "characters": CharacterVocabulary,
    "bytes": lambda texts: ByteVocabulary(),
}

_KINDS: tuple[Any, ...] = (
    ByteVocabulary,
    CharacterVocabulary,
    TokenizerPipeline,
    TransformPipeline,
    WordVocabulary,
)


def load_pipeline(path: str | os.PathLike[str]) -> Pipeline:
    """Load a text pipeline of any kind that was written by its `save` method.

    Args:
        path: a JSON file; its field "format" names the kind of pipeline.

    Raises:
        DataError: the file does not contain a pipeline.
        MissingExtraError: a package that the pipeline requires is not installed.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "pipeline.json"
        ...     WordVocabulary(["a cat"]).save(path)
        ...     load_pipeline(path)
        WordVocabulary(2 words)
    """
    kinds = {f"l2l_rnn.{kind.__name__}": kind for kind in _KINDS}
    name = read_json("load_pipeline", path).get("format")
    if not isinstance(name, str) or name not in kinds:
        raise DataError(
            f"load_pipeline: the format of {path} must be one of {', '.join(kinds)}, got {name!r}; "
            "save the pipeline again"
        )
    pipeline: Pipeline = kinds[name].load(path)
    return pipeline


def as_pipeline(tokenizer: Any) -> Pipeline:
    """Return a tokenizer as a text pipeline.

    Args:
        tokenizer: a `tokenizers.Tokenizer` or a torchtext transform, whose ids are shifted so that
            0 is padding and 1 is unknown; or any callable from str to ids, returned unchanged.

    Raises:
        ArgumentTypeError: `tokenizer` is not callable.

    Example:
        >>> as_pipeline(ByteVocabulary())("a")
        [99]
    """
    module = type(tokenizer).__module__
    if module.partition(".")[0] == "tokenizers":
        return TokenizerPipeline(tokenizer)
    if module == "torchtext.transforms":
        return TransformPipeline(tokenizer)
    if not callable(tokenizer):
        raise ArgumentTypeError(
            "as_pipeline: a tokenizer must be a callable from str to a list of ids, got "
            f"{type(tokenizer).__name__}; pass a vocabulary, a tokenizers.Tokenizer or a function"
        )
    pipeline: Pipeline = tokenizer
    return pipeline
