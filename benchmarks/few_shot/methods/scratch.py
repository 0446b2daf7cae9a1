"""No meta-learning and no transfer: the same network, trained on each support set alone."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.few_shot.methods.adam import adam_on_support
from benchmarks.few_shot.methods.method import Classification
from benchmarks.few_shot.problems.problem import Problem
from l2l_rnn.data import TaskBatch
from l2l_rnn.models import SequenceClassifier


class FromScratch(Classification):
    """Trains a randomly initialised classifier on each support set with Adam.

    Args:
        model: options of `SequenceClassifier`.
        steps: Adam steps on the support set.
        lr: their step size.
    """

    def __init__(
        self, problem: Problem, label: str, *, model: dict[str, Any], steps: int, lr: float
    ) -> None:
        super().__init__(problem, label)
        self.model_options, self.steps, self.lr = model, steps, lr

    def predict(self, batch: TaskBatch) -> Tensor:
        model = SequenceClassifier(
            self.problem.spec.ways, vocab_size=self.problem.vocab_size, **self.model_options
        )
        return adam_on_support(model.to(batch.support_x.device), batch, self.steps, self.lr)
