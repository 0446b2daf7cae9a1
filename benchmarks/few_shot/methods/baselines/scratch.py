"""Baseline without meta-learning or transfer: training on each support set from scratch."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.few_shot.methods.adam import adam_on_support
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem, ways_of
from l2l_rnn.data import TaskBatch


class FromScratch(ClassificationMethod):
    """Trains a randomly initialized classifier on each support set with Adam.

    Args:
        model: options of the problem's classifier.
        steps: Adam steps on the support set.
        lr: Adam's learning rate.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        model: dict[str, Any],
        steps: int,
        lr: float,
    ) -> None:
        super().__init__(problem, label)
        self.model_options, self.steps, self.lr = model, steps, lr

    def predict(self, batch: TaskBatch) -> Tensor:
        model = self.problem.classifier(ways_of(batch), **self.model_options)
        return adam_on_support(model.to(batch.support_x.device), batch, self.steps, self.lr)
