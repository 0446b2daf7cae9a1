"""Learners that solve for a linear head of the support vectors."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.heads import LinearHead
from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.checks import check_number


class HeadLearner(SupportLearner):
    """A learner that keeps support vectors and fits a linear head to them. Not for direct use.

    Args:
        model: the encoder.
        ways: `C`, the number of classes.
        regularization: initial value of lambda, which is learned.
    """

    kept = ("vectors", "targets")
    described = "vectors (…, B, E) and one-hot targets (…, B, C) of a support set"

    log_regularization: nn.Parameter
    _vectors: Tensor | None
    _targets: Tensor | None

    def __init__(self, model: nn.Module, ways: int, regularization: float = 1.0) -> None:
        super().__init__(model, ways)
        who = type(self).__name__
        start = check_number(who, "regularization", regularization, above=0)
        self._learn("log_regularization", torch.tensor(math.log(start)))

    @abstractmethod
    def _solve(self, vectors: Tensor, targets: Tensor, rows: Tensor) -> LinearHead:
        """Fit the head to vectors `(…, B, E)` and targets `(…, B, C)`; rows `(…, B, 1)`."""

    @property
    def head(self) -> LinearHead | None:
        """The linear head of the support set, or None before the first support sequence.

        Without gradients, it is solved once and kept.
        """
        held = self._adaptation()
        if not held:
            return None
        vectors, targets = held["vectors"], held["targets"]
        rows = targets.sum(-1, keepdim=True)
        head: LinearHead = self._solved_once(
            (vectors, targets), lambda: self._solve(vectors, targets, rows)
        )
        return head

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        padding = members.sum(-1, keepdim=True) == 0
        vectors = vectors.masked_fill(padding, 0)
        self._check_finite(who, "support vectors", vectors)
        if self._vectors is not None and self._targets is not None:
            vectors = torch.cat([self._vectors, vectors], -2)
            members = torch.cat([self._targets, members], -2)
        return {"vectors": vectors, "targets": members}

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        head: Any = self.head
        return head(vectors), self._adaptation()["targets"].any(-2)

    @staticmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        return saved["vectors"].shape[:-1] == saved["targets"].shape[:-1]

    @staticmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        return saved["targets"].shape[-1]

    @staticmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        more = (0, ways - saved["targets"].shape[-1])
        return {**saved, "targets": F.pad(saved["targets"], more)}
