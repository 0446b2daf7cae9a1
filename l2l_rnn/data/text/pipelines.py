"""Text pipelines, from a string to token ids: whatever they are made with, and however saved."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from l2l_rnn.data.text.hf_tokenizers import TokenizerPipeline
from l2l_rnn.data.text.json_files import read_json
from l2l_rnn.data.text.torchtext import TransformPipeline
from l2l_rnn.data.text.vocabulary import ByteVocabulary, CharacterVocabulary
from l2l_rnn.data.text.word_vocabulary import WordVocabulary
from l2l_rnn.errors import ArgumentTypeError, DataError

# From a string to ids of 1 and more, 1 for what is unknown; 0 is padding. `len` is its vocab_size.
Pipeline = Callable[[str], Sequence[int]]

_KINDS: tuple[Any, ...] = (
    ByteVocabulary,
    CharacterVocabulary,
    TokenizerPipeline,
    TransformPipeline,
    WordVocabulary,
)


def load_pipeline(path: str | os.PathLike[str]) -> Pipeline:
    """Read a text pipeline that its `save` wrote, of whatever kind it is.

    Args:
        path: a JSON file; the kind is in its field "format".

    Raises:
        DataError: the file holds no pipeline.
        MissingExtraError: the package that the pipeline calls is not installed.

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
            f"load_pipeline: {path} must hold one of the formats {', '.join(kinds)}, got {name!r}; "
            "save the pipeline again"
        )
    pipeline: Pipeline = kinds[name].load(path)
    return pipeline


def as_pipeline(tokenizer: Any) -> Pipeline:
    """Return a text pipeline that does what a tokenizer does.

    Args:
        tokenizer: a `tokenizers.Tokenizer` or a transform of torchtext, whose ids are shifted so
            that 0 is padding and 1 unknown; or any callable from a string to ids, as it is.

    Raises:
        ArgumentTypeError: it is not callable.

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
