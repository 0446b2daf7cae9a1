"""Prototypical networks with a recurrent encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.methods.method import Method
from benchmarks.problem import Problem, seed_everything
from benchmarks.spec import Training
from benchmarks.training import History, train
from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import SequenceEncoder


class MetaLearnedMetric(Method):
    """Meta-learns a space in which the class means of the support set classify the query.

    Two entries of one spec whose training is the same share the trained encoder.

    Args:
        model: options of `SequenceEncoder`.
        training: how it is meta-trained; its ways may exceed the test tasks'.
        shrinkage: that of the `GaussianPrior` which is fitted to the meta-train classes once the
            encoder is trained; None judges by the class means alone.
        prior_examples: at most how many examples of a meta-train class it is fitted to.
    """

    def __init__(
        self,
        problem: Problem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        shrinkage: float | None = None,
        prior_examples: int = 60,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.training = model, training
        self.shrinkage, self.prior_examples = shrinkage, prior_examples
        self.prior: GaussianPrior | None = None
        self.encoder = SequenceEncoder(vocab_size=problem.vocab_size, **model).to(problem.device)

    def fit(self) -> History:
        key = ("prototypical", str(self.model), self.training)
        if key not in self.problem.memo:
            history = train(
                self.encoder,
                self.training,
                self._loss,
                lambda: self.validation_accuracy(self.training.validation_tasks),
                label=self.label,
                tasks_per_step=self.training.tasks,
            )
            self.problem.memo[key] = (self.encoder, history)
        self.encoder, history = self.problem.memo[key]
        if self.shrinkage is not None:
            self.prior = self._fitted_prior(self.shrinkage)
        return history

    def _fitted_prior(self, shrinkage: float) -> GaussianPrior:
        self.encoder.eval()
        seed_everything(self.problem.seed)
        items = self.problem.training_sample(self.prior_examples)
        data = self.problem.train
        with torch.no_grad():
            vectors = torch.cat(
                [
                    self.encoder(data.sequences[part].to(self.problem.device))
                    for part in items.split(500)
                ]
            )
        prior = GaussianPrior(self.encoder.output_size, shrinkage).to(self.problem.device)
        return prior.fit(vectors, data.labels[items].to(self.problem.device))

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
        learner = ProtoNet(self.encoder, ways, self.prior).clone(tasks=len(batch))
        learner.write(batch.support_x, batch.support_y)
        return learner(batch.query_x)
