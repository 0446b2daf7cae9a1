"""Model-agnostic meta-learning with a recurrent classifier, second order or first."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.method import Classification
from benchmarks.few_shot.methods.protonet import MetaLearnedMetric
from benchmarks.few_shot.problems.problem import Problem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, train
from l2l_rnn.algorithms import PerTensorLR, ProtoMAML
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import SequenceClassifier


class MetaLearnedStart(Classification):
    """Meta-learns initial parameters and step sizes, then takes gradient steps on each task.

    The head starts at the class means of the support set (ProtoMAML); each parameter tensor has a
    learned step size at each step.

    Args:
        model: options of `SequenceClassifier`.
        training: how it is meta-trained; its ways may exceed the test tasks'.
        inner_lr: step sizes of the inner loop at the start.
        inner_steps: inner steps in meta-training.
        test_steps: inner steps on validation and test tasks.
        first_order: whether to leave out the second derivative.
        metric: options of the `MetaLearnedMetric` whose encoder it starts from; None starts from
            random parameters.
    """

    def __init__(
        self,
        problem: Problem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        inner_lr: float,
        inner_steps: int,
        test_steps: int,
        first_order: bool = False,
        metric: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(problem, label)
        self.training, self.metric = training, metric
        self.inner_steps, self.test_steps = inner_steps, test_steps
        classifier = SequenceClassifier(
            problem.spec.ways, vocab_size=problem.vocab_size, **model
        ).to(problem.device)
        rates = PerTensorLR(classifier, inner_lr, inner_steps)
        self.maml = ProtoMAML(classifier, rates, first_order=first_order)

    def fit(self) -> History:
        earlier = 0.0
        if self.metric is not None:
            metric = MetaLearnedMetric(self.problem, f"{self.label}: metric", **self.metric)
            earlier = metric.fit().seconds
            self.maml.module.encoder.load_state_dict(metric.encoders[0].state_dict())
        history = train(
            self.maml,
            self.training,
            lambda step, progress: self._loss(step),
            lambda: self.validation_accuracy(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )
        history.pretraining_seconds = earlier
        return history

    def _loss(self, step: int) -> tuple[Tensor, Tensor]:
        batch, _ = self.problem.training_batch(self.training, step)
        self.maml.train()
        learner = self.maml.clone(tasks=len(batch))
        self._adapt(learner, batch, self.training.ways, self.inner_steps)
        scores = learner(batch.query_x)
        loss = cross_entropy(scores, batch.query_y).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def predict(self, batch: TaskBatch) -> Tensor:
        self.maml.eval()
        learner = self.maml.clone(tasks=len(batch), first_order=True)
        self._adapt(learner, batch, self.problem.spec.ways, self.test_steps)
        with torch.no_grad():
            return learner(batch.query_x)

    @staticmethod
    def _adapt(learner: ProtoMAML, batch: TaskBatch, ways: int, steps: int) -> None:
        learner.write(batch.support_x, batch.support_y, ways)
        for _ in range(steps):
            learner.adapt(cross_entropy(learner(batch.support_x), batch.support_y))
