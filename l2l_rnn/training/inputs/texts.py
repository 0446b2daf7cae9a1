"""Conversion of texts to token ids."""

from __future__ import annotations

import tempfile
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.text.pipelines import as_pipeline, load_pipeline
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, DataError, L2LRNNError
from l2l_rnn.files import read_json, write_json
from l2l_rnn.training.inputs.base import Inputs
from l2l_rnn.training.inputs.raw_texts import raw_texts, without_punctuation

_NORMALIZATIONS = ("NFC", "NFD", "NFKC", "NFKD")


class TextInputs(Inputs):
    """Turn texts into token ids.

    Args:
        pipeline: text pipeline, such as `CharacterVocabulary` or `WordVocabulary`, or any callable
            from str to ids of at least 1.
        max_length: the largest number of token ids; each text keeps its first ones.
        normalization: Unicode's normal form of the texts before the pipeline: `"NFC"`, `"NFD"`,
            `"NFKC"`, `"NFKD"`, or None to leave them as they are.
        empty: what becomes of a text without a visible character: `"error"`, or `"unknown"` for one
            unknown token.

    Shapes:
        call: B texts -> `(B, S)` int64, padded with 0; S is the length of the longest text.

    Raises:
        ArgumentTypeError: the pipeline is not callable.
        ArgumentError: `max_length` is not a positive integer, or a choice is unknown. In a call,
            the data frame has several columns.
        DataError: in a call, a text is empty or missing, or there is none; the message names the
            row.

    Example:
        >>> from l2l_rnn.data import CharacterVocabulary
        >>> inputs = TextInputs(CharacterVocabulary(["ab"]), max_length=8)
        >>> inputs(["ba", "a"])
        tensor([[3, 2],
                [2, 0]])
        >>> inputs.known_fraction(["ab", "ax", "?x"])
        array([1. , 0.5, 0. ])
    """

    kind = "text"

    def __init__(
        self,
        pipeline: Any,
        max_length: int,
        normalization: str | None = "NFC",
        *,
        empty: str = "error",
    ) -> None:
        self.pipeline = as_pipeline(pipeline)
        self.max_length = check_int("TextInputs", "max_length", max_length)
        if normalization is not None:
            check_choice("TextInputs", "normalization", normalization, _NORMALIZATIONS)
        self.normalization = normalization
        self.empty = check_choice("TextInputs", "empty", empty, ("error", "unknown"))

    def __repr__(self) -> str:
        return f"TextInputs({self.pipeline!r}, max_length={self.max_length})"

    def __call__(self, raw: Any) -> Tensor:
        rows = self.token_rows(raw)
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
        for row, found in zip(ids.numpy(), rows, strict=True):
            row[: len(found)] = found
        return ids

    def token_rows(self, raw: Any, *, truncate: bool = True) -> list[Sequence[int]]:
        """Return the token ids of each text, without padding.

        Args:
            raw: texts, as in a call.
            truncate: whether to keep only the first `max_length` ids of a text.
        """
        return self._encoded(self._texts(raw), truncate)

    def known_fraction(self, raw: Any) -> NDArray[np.float64]:
        """Return for each text the fraction of its tokens that the pipeline knows.

        Spaces and punctuation do not count, unless the text has nothing else. The fraction is 0 if
        no character or word of the text is known. Only the first `max_length` tokens count.

        Args:
            raw: texts, as in a call.

        Shapes:
            returns `(B,)`, from 0 to 1.
        """
        # Characters are dropped; between words, a space keeps the words apart.
        space = "" if isinstance(self.pipeline, CharacterVocabulary) else " "
        texts = [without_punctuation(text, space) for text in self._texts(raw)]
        unknown = getattr(self.pipeline, "UNKNOWN", 1)
        rows = [np.asarray(ids) != unknown for ids in self._encoded(texts)]
        return np.array([row.mean() for row in rows])

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON; `from_json` reads it.

        Raises:
            ArgumentError: the pipeline cannot be saved.
        """
        return {
            "kind": self.kind,
            "pipeline": _pipeline_json(self.pipeline),
            "max_length": self.max_length,
            "normalization": self.normalization,
            "empty": self.empty,
        }

    @classmethod
    def _from_json(cls, content: dict[str, Any]) -> TextInputs:
        pipeline = _pipeline_of(content["pipeline"])
        return cls(
            pipeline, content["max_length"], content["normalization"], empty=content["empty"]
        )

    def _texts(self, raw: Any) -> list[str]:
        texts = raw_texts("TextInputs", raw)
        for row, text in enumerate(texts):
            if not text.strip() and self.empty == "error":
                raise DataError(
                    f"TextInputs: row {row} must hold a text, got an empty one ({text!r:.20}); "
                    'drop the row, or set empty="unknown"'
                )
        if self.normalization is not None:
            form: Any = self.normalization
            texts = [unicodedata.normalize(form, text) for text in texts]
        return [text if text.strip() else "" for text in texts]

    def _encoded(self, texts: list[str], truncate: bool = True) -> list[Sequence[int]]:
        batch = getattr(self.pipeline, "encode_batch", None)
        rows = batch(texts) if batch is not None else [self.pipeline(text) for text in texts]
        if truncate:
            rows = [row[: self.max_length] for row in rows]
        unknown = getattr(self.pipeline, "UNKNOWN", 1)
        return [row if len(row) else [unknown] for row in rows]

    def _key(self) -> Any:
        try:
            return super()._key()
        except ArgumentError:  # a function, which is equal to itself only
            return self.pipeline, self.max_length, self.normalization, self.empty

    __hash__ = Inputs.__hash__


def _pipeline_json(pipeline: Any) -> dict[str, Any]:
    """Return a pipeline as JSON, in the format of its own `save`."""
    kind = type(pipeline).__name__
    if not hasattr(pipeline, "save"):
        raise ArgumentError(
            f"TextInputs: to be saved, the pipeline must have save(), got {kind}; use one of "
            "l2l_rnn.data, such as CharacterVocabulary or TokenizerPipeline"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.json"
        pipeline.save(path)
        try:
            load_pipeline(path)
        except L2LRNNError as error:
            raise ArgumentError(
                f"TextInputs: to be saved, the pipeline must be one that load_pipeline reads, got "
                f"{kind} ({error}); give a WordVocabulary the name of a splitter"
            ) from error
        return read_json("TextInputs", path)


def _pipeline_of(content: dict[str, Any]) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.json"
        write_json(path, content)
        return load_pipeline(path)
