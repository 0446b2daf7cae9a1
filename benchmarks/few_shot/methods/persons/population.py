"""The model of a population, as it is and fine-tuned to each person."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.adam import adam_on_support
from benchmarks.few_shot.methods.transfer import TransferMethod, pretrained_classifier
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.training import History
from l2l_rnn.data import TaskBatch


class PopulationModel(TransferMethod):
    """A classifier trained on all persons of the training split.

    Args:
        model, pretraining: options of `pretrained_classifier`.
        steps: Adam steps on the support set of each person; 0 uses the classifier as it is.
        lr: Adam's learning rate.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        model: dict[str, Any],
        pretraining: dict[str, Any],
        steps: int = 0,
        lr: float = 1e-3,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.pretraining = model, pretraining
        self.steps, self.lr = steps, lr

    def train(self) -> History:
        self.classifier, history = pretrained_classifier(
            self.problem, self.model, **self.pretraining
        )
        return history

    def predict(self, batch: TaskBatch) -> Tensor:
        if self.steps:
            return adam_on_support(self.classifier, batch, self.steps, self.lr)
        with torch.no_grad():
            scores: Tensor = self.classifier.eval()(batch.query_x)
            return scores
