"""A classifier of known classes, which ignores the support set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.checks import shown
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ShapeError


@configurable
class FixedClassifier(SupportLearner):
    """Return the scores of a model that already knows the classes.

    It is a member of a `StackedLearner` for tasks whose classes are those of training, such as the
    same exercises of another person: the population's model beside the person's own examples.

    `write(x, y)` and `adapt(loss)` only note which classes a task has. A class without support
    sequences is never predicted, as in `ProtoNet`.

    Args:
        model: a model whose outputs are scores of C classes, such as `models.SeriesClassifier`.
        ways: `C`, the number of classes.
        classes: their names, in the order of the scores; None for the integers from 0. Estimators
            such as `FewShotClassifier` take examples of these classes only.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis.

    Raises:
        ArgumentError: `ways` is not a positive integer, or `classes` are not C different names.
        ShapeError: in a call, the model has another number of outputs than `ways`.

    Example:
        >>> import torch
        >>> learner = FixedClassifier(torch.nn.Identity(), ways=3).clone()
        >>> learner.write(torch.zeros(2, 3), torch.tensor([0, 2]))
        >>> learner(torch.tensor([[0.5, 2.0, 1.0]])).argmax(-1)
        tensor([2])
    """

    kept: ClassVar[tuple[str, ...]] = ("counts",)
    described: ClassVar[str] = "the number of support sequences of each class, (…, C, 1)"

    _counts: Tensor | None

    def __init__(
        self, model: nn.Module, ways: int, classes: Sequence[str | int] | None = None
    ) -> None:
        super().__init__(model, ways)
        self.classes = list(range(self.ways) if classes is None else classes)
        if len(self.classes) != self.ways or len(set(self.classes)) != self.ways:
            raise ArgumentError(
                f"FixedClassifier: classes must be {self.ways} different names, one for each score "
                f"of the model, got {shown(self.classes)}; pass them in the order of the scores"
            )

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        counts = members.sum(-2).unsqueeze(-1)
        return {"counts": counts if self._counts is None else self._counts + counts}

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        present = self._adaptation()["counts"].squeeze(-1) > 0
        if vectors.shape[-1] != present.shape[-1]:
            raise ShapeError(
                f"FixedClassifier: the model must return scores of {present.shape[-1]} classes, "
                f"got {vectors.shape[-1]}; set ways to the number of classes that it knows"
            )
        return vectors, present

    @staticmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        return saved["counts"].shape[-1] == 1

    @staticmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        return saved["counts"].shape[-2]

    @staticmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        counts = saved["counts"]
        return {"counts": F.pad(counts, (0, 0, 0, ways - counts.shape[-2]))}
