"""Conversion of pairs of texts, such as sentences and their translations, to token ids."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.training.inputs.base import Inputs
from l2l_rnn.training.inputs.texts import TextInputs


class PairInputs(Inputs):
    r"""Turn source and target texts into token ids, and target ids into texts.

    Args:
        source: converts the sources.
        target: converts the targets; its pipeline can `decode`. Its `max_length` includes the end.
        end: the character that ends a target, which the target pipeline maps to one id.

    Attributes:
        end_id: the id of `end`.

    Shapes:
        call: B sources -> `(B, S)` int64, padded with 0.

    Raises:
        ArgumentTypeError: `source` or `target` is not a `TextInputs`.
        ArgumentError: the target pipeline cannot decode, or has no id of its own for `end`.

    Example:
        >>> from l2l_rnn.data import CharacterVocabulary
        >>> digits = TextInputs(CharacterVocabulary(["0123456789"]), max_length=3)
        >>> words = TextInputs(CharacterVocabulary(["\x03", "one two"]), max_length=8)
        >>> inputs = PairInputs(digits, words)
        >>> inputs(["1", "20"])
        tensor([[3, 0],
                [4, 2]])
        >>> ids = inputs.targets(["one"])
        >>> ids, inputs.texts(ids)
        (tensor([[6, 5, 4, 2]]), ['one'])
    """

    kind = "pairs"

    def __init__(self, source: TextInputs, target: TextInputs, end: str = "\x03") -> None:
        for name, value in {"source": source, "target": target}.items():
            if not isinstance(value, TextInputs):
                raise ArgumentTypeError(
                    f"PairInputs: {name} must be a TextInputs, got {type(value).__name__}; wrap a "
                    "text pipeline as TextInputs(pipeline, max_length)"
                )
        pipeline = target.pipeline
        if not hasattr(pipeline, "decode"):
            raise ArgumentError(
                f"PairInputs: the target pipeline must have decode(), got "
                f"{type(pipeline).__name__}; use data.CharacterVocabulary"
            )
        ids = list(pipeline(end))
        if len(ids) != 1 or ids[0] == getattr(pipeline, "UNKNOWN", 1):
            raise ArgumentError(
                f"PairInputs: the target pipeline must map end={end!r} to one id of its own, got "
                f"{ids}; build the vocabulary from [{end!r}, *texts]"
            )
        self.source, self.target, self.end = source, target, end
        self.end_id = int(ids[0])

    def __repr__(self) -> str:
        return f"PairInputs({self.source!r}, {self.target!r})"

    def __call__(self, raw: Any) -> Tensor:
        return self.source(raw)

    def targets(self, raw: Any) -> Tensor:
        """Return the token ids of target texts, each with the end, padded with 0.

        Raises:
            DataError: a text contains the end, or is longer than `max_length` with it; the message
                names the row.
        """
        rows = self.target.token_rows(raw, truncate=False)
        most = self.target.max_length - 1
        for row, ids in enumerate(rows):
            if self.end_id in ids:
                raise DataError(
                    f"PairInputs: row {row} of the targets must not contain {self.end!r}, which "
                    "ends a target; remove the character"
                )
            if len(ids) > most:
                raise DataError(
                    f"PairInputs: row {row} of the targets must have at most {most} tokens, got "
                    f"{len(ids)}; shorten it, or use a model with a larger max_length"
                )
        table = torch.zeros(len(rows), max(map(len, rows)) + 1, dtype=torch.int64)
        for line, ids in zip(table, rows, strict=True):
            line[: len(ids) + 1] = torch.tensor([*ids, self.end_id])
        return table

    def texts(self, ids: Tensor) -> list[str]:
        """Return the texts of target ids, each up to its first end.

        Shapes:
            ids `(B, T)` int64; returns B texts.
        """
        pipeline: Any = self.target.pipeline
        return [pipeline.decode(row).partition(self.end)[0] for row in ids.tolist()]

    def known_fraction(self, raw: Any) -> NDArray[Any]:
        """Return for each source the fraction of its tokens that the pipeline knows, `(B,)`."""
        return self.source.known_fraction(raw)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON; `from_json` reads it."""
        return {
            "kind": self.kind,
            "source": self.source.to_json(),
            "target": self.target.to_json(),
            "end": self.end,
        }

    @classmethod
    def _from_json(cls, content: dict[str, Any]) -> PairInputs:
        source, target = (TextInputs.from_json(content[name]) for name in ("source", "target"))
        return cls(source, target, content["end"])
