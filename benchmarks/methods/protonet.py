"""Prototypical networks with a recurrent encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.methods.method import Method
from benchmarks.problem import Problem
from benchmarks.spec import Training
from benchmarks.training import History, train
from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import SequenceEncoder


class MetaLearnedMetric(Method):
    """Meta-learns a space in which the class means of the support set classify the query.

    Args:
        model: options of `SequenceEncoder`.
        training: how it is meta-trained; its ways may exceed the test tasks'.
    """

    def __init__(
        self, problem: Problem, label: str, *, model: dict[str, Any], training: Training
    ) -> None:
        super().__init__(problem, label)
        self.training = training
        self.encoder = SequenceEncoder(vocab_size=problem.vocab_size, **model).to(problem.device)

    def fit(self) -> History:
        return train(
            self.encoder,
            self.training,
            self._loss,
            lambda: self.validation_accuracy(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )

    def _loss(self, step: int) -> tuple[Tensor, Tensor]:
        batch = self.problem.training_batch(self.training, step)
        self.encoder.train()
        scores = self._scores(batch, self.training.ways)
        loss = cross_entropy(scores, batch.query_y).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def predict(self, batch: TaskBatch) -> Tensor:
        self.encoder.eval()
        with torch.no_grad():
            return self._scores(batch, self.problem.spec.ways)

    def _scores(self, batch: TaskBatch, ways: int) -> Tensor:
        learner = ProtoNet(self.encoder, ways).clone(tasks=len(batch))
        learner.write(batch.support_x, batch.support_y)
        return learner(batch.query_x)
