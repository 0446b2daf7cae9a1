"""What turns raw inputs into tensors: the interface."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.errors import DataError, MissingExtraError

KINDS: dict[str, type[Inputs]] = {}
"""The classes by the name of their kind."""


class Inputs(ABC):
    """What turns raw inputs into tensors. Abstract base class.

    Two instances are equal if they convert everything in the same way.
    """

    kind: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        KINDS[cls.kind] = cls

    @abstractmethod
    def __call__(self, raw: Any) -> Tensor:
        """Return raw inputs as one padded tensor, `(B, S)` or `(B, S, F)`."""

    def targets(self, raw: Any) -> Tensor:
        """Return raw targets as a tensor: classes, or other values."""
        return torch.as_tensor(raw)

    @abstractmethod
    def known_fraction(self, raw: Any) -> NDArray[np.float64]:
        """Return for each input how much of it the learner knows, from 0 to 1, `(B,)`."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON; `from_json` reads it."""

    @classmethod
    def from_json(cls, content: Any) -> Any:
        """Return what `to_json` described: a `TextInputs`, `SeriesInputs` or `PairInputs`.

        Raises:
            DataError: `content` is something else.
        """
        kind = content.get("kind") if isinstance(content, dict) else None
        if not isinstance(kind, str) or not issubclass(KINDS.get(kind, object), cls):
            raise DataError(
                f"{cls.__name__}.from_json: kind must be one of {', '.join(sorted(KINDS))}, got "
                f"{kind!r:.60}; pass the result of to_json()"
            )
        try:
            return KINDS[kind]._from_json(content)
        except (DataError, MissingExtraError):
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{cls.__name__}.from_json: expected the result of to_json(), got other content "
                f"({str(error)[:200]}); save it again"
            ) from error

    @classmethod
    @abstractmethod
    def _from_json(cls, content: dict[str, Any]) -> Inputs:
        """Return what `to_json` described; raise any error if the content is something else."""

    def _key(self) -> Any:
        return json.dumps(self.to_json(), sort_keys=True)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Inputs) and type(self) is type(other) and self._key() == other._key()
        )

    def __hash__(self) -> int:
        return hash(self._key())
