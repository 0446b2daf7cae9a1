"""Text pipeline over a tokenizer of the package `tokenizers`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.data.text.checks import check_ids, check_saved, check_text
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.files import read_json, write_json
from l2l_rnn.optional import require

_FORMAT = "l2l_rnn.TokenizerPipeline"
_SHIFT = 2  # id i of a tokenizer becomes i + 2


class TokenizerPipeline:
    """Maps texts to ids with a `tokenizers.Tokenizer`; 0 is padding and 1 is unknown.

    Id i of the tokenizer becomes i + 2. The id of its unknown token, if it has one, becomes 1. The
    pipeline works on a copy with padding switched off; your tokenizer is left unchanged.

    Args:
        tokenizer: a `tokenizers.Tokenizer`.
        special_tokens: whether to keep the tokens that its post-processor adds, such as [CLS].

    Attributes:
        PADDING: 0, the padding id.
        UNKNOWN: 1, the id of unknown tokens, and of a text without tokens.
        tokenizer: the copy.
        special_tokens: as given.

    Raises:
        ArgumentTypeError: `tokenizer` is something else.
        MissingExtraError: the package tokenizers is not installed.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> tokenizer = Tokenizer(models.WordLevel({"?": 0, "cat": 1, "sat": 2}, unk_token="?"))
        >>> tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> pipeline = TokenizerPipeline(tokenizer)
        >>> pipeline.encode("cat dog sat"), len(pipeline)
        ([3, 1, 4], 5)
    """

    PADDING = 0
    UNKNOWN = 1

    def __init__(self, tokenizer: Any, special_tokens: bool = False) -> None:
        tokenizers = require("tokenizers", extra="hub", purpose="TokenizerPipeline")
        if not isinstance(tokenizer, tokenizers.Tokenizer):
            raise ArgumentTypeError(
                "TokenizerPipeline: tokenizer must be a tokenizers.Tokenizer, got "
                f"{type(tokenizer).__name__}; any other callable is a pipeline already"
            )
        self.special_tokens = special_tokens
        self._json = tokenizer.to_str()
        self.tokenizer = tokenizers.Tokenizer.from_str(self._json)
        self.tokenizer.no_padding()
        model = json.loads(self._json)["model"]
        token = model.get("unk_token")
        unknown = model.get("unk_id") if token is None else tokenizer.token_to_id(token)
        self._unknown = None if unknown is None else unknown + _SHIFT
        self._size = (
            max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1 + _SHIFT
        )

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown included: a model's `vocab_size`."""
        return self._size

    def __repr__(self) -> str:
        return f"TokenizerPipeline({self._size} ids)"

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; a text without tokens gives one unknown id.

        Raises:
            ArgumentTypeError: `text` is not a str.
        """
        return self.encode_batch([text])[0].tolist()

    __call__ = encode

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Return the ids of many texts as arrays, encoded in parallel.

        Raises:
            ArgumentTypeError: a text is not a str.
        """
        texts = [check_text("TokenizerPipeline", text) for text in texts]
        found = self.tokenizer.encode_batch_fast(texts, add_special_tokens=self.special_tokens)
        return [self._shifted(np.array(encoding.ids, np.int64)) for encoding in found]

    def _shifted(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(ids):
            return np.array([self.UNKNOWN])
        shifted = ids + _SHIFT
        if self._unknown is not None:
            shifted[shifted == self._unknown] = self.UNKNOWN
        return shifted

    def decode(self, ids: Iterable[int]) -> str:
        """Return the tokenizer's text for token ids, without padding and unknown tokens.

        Raises:
            ArgumentError: an id is outside 0 .. len(self) - 1.
        """
        ids = check_ids("TokenizerPipeline", ids, self._size)
        text: str = self.tokenizer.decode([i - _SHIFT for i in ids if i > self.UNKNOWN])
        return text

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the pipeline to a JSON file, atomically."""
        content = {"format": _FORMAT, "version": 1, "special_tokens": self.special_tokens}
        write_json(path, {**content, "tokenizer": json.loads(self._json)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TokenizerPipeline:
        """Read a pipeline that `save` wrote.

        Raises:
            DataError: the file does not contain one.
            MissingExtraError: the package tokenizers is not installed.
        """
        content = read_json("TokenizerPipeline", path)
        check_saved(
            "TokenizerPipeline",
            path,
            content.get("format") == _FORMAT
            and content.get("version") == 1
            and isinstance(content.get("special_tokens"), bool)
            and isinstance(content.get("tokenizer"), dict),
            f"format {_FORMAT!r}, version 1, special_tokens and a tokenizer",
        )
        tokenizers = require("tokenizers", extra="hub", purpose="TokenizerPipeline")
        try:
            tokenizer = tokenizers.Tokenizer.from_str(json.dumps(content["tokenizer"]))
            return cls(tokenizer, content["special_tokens"])
        except BaseException as error:
            # tokenizers raises nothing more specific, or a PanicException, which is no Exception.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            raise DataError(
                f"TokenizerPipeline: {path} must contain a tokenizer that tokenizers can read, got "
                f"{' '.join(str(error).split())[:200]}; save it again"
            ) from error


def encoder_pipeline(encoder: Any) -> TokenizerPipeline:
    """Return the text pipeline of a frozen encoder, for task sets and `training.TextInputs`.

    It adds the tokenizer's special tokens, such as [CLS], and cuts texts at the encoder's
    `max_length`. Pass at least this `max_length` to a task set, so that the last one is kept.

    Args:
        encoder: a `models.FrozenEncoder`.

    Raises:
        ArgumentTypeError: `encoder` is something else.
        ArgumentError: the encoder reads other ids than those of a pipeline.
        DataError: the encoder has no tokenizer.json.
        MissingExtraError: the package tokenizers is not installed.
    """
    if not callable(getattr(encoder, "tokenizer", None)) or not hasattr(encoder, "shift"):
        raise ArgumentTypeError(
            "encoder_pipeline: encoder must be a models.FrozenEncoder, got "
            f"{type(encoder).__name__}; for a tokenizer, use TokenizerPipeline"
        )
    if encoder.shift != _SHIFT:
        raise ArgumentError(
            f"encoder_pipeline: the encoder must have shift={_SHIFT}, because a pipeline keeps 0 "
            f"for padding and 1 for unknown tokens, got shift={encoder.shift}; construct it with "
            f"shift={_SHIFT}"
        )
    return TokenizerPipeline(encoder.tokenizer(), special_tokens=True)
