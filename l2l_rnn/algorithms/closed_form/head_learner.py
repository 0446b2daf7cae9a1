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
from l2l_rnn.algorithms.inner_loop.checks import non_finite_tasks, unchanged_error
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

    _vectors: Tensor | None
    _targets: Tensor | None

    def __init__(self, model: nn.Module, ways: int, regularization: float = 1.0) -> None:
        super().__init__(model, ways)
        who = type(self).__name__
        start = check_number(who, "regularization", regularization, above=0)
        self.log_regularization = nn.Parameter(torch.tensor(math.log(start)))

    def reset(self) -> None:
        super().reset()
        self._solved: tuple[Any, LinearHead] | None = None  # the head without gradients

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
        if torch.is_grad_enabled():
            return self._solve(vectors, targets, rows)
        own = [p for p in self.parameters(recurse=False) if not p.is_inference()]
        key = ([(id(p), p._version) for p in own], id(vectors))
        if self._solved is None or self._solved[0] != key:
            self._solved = key, self._solve(vectors, targets, rows)
        return self._solved[1]

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        padding = members.sum(-1, keepdim=True) == 0
        vectors = vectors.masked_fill(padding, 0)
        where = non_finite_tasks([vectors], len(vectors) if vectors.dim() == 3 else None)
        if where is not None:
            raise unchanged_error(
                who, f"the support vectors{where} are NaN or infinite; check the inputs"
            )
        if self._vectors is not None and self._targets is not None:
            vectors = torch.cat([self._vectors, vectors], -2)
            members = torch.cat([self._targets, members], -2)
        return {"vectors": vectors, "targets": members}

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        head: Any = self.head
        return head(vectors), self._adaptation()["targets"].any(-2)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_solved": None}

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
