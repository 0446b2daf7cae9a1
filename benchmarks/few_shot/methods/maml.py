"""ProtoMAML with a recurrent classifier, second or first order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.algorithms import PerTensorLR, ProtoMAML
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import SequenceClassifier


class ProtoMAMLMethod(ClassificationMethod):
    """Meta-learns initial parameters and learning rates, then takes gradient steps on each task.

    The head is initialized from the class means of the support set. Each parameter tensor has a
    learned learning rate for each step.

    Args:
        model: options of `SequenceClassifier`.
        training: settings of the meta-training; its ways may exceed those of the test tasks.
        inner_lr: initial learning rate of the inner loop.
        inner_steps: inner steps in meta-training.
        test_steps: inner steps on validation and test tasks.
        first_order: whether to use the first-order approximation.
        metric: options of a `ProtoNetMethod` that provides the initial encoder; None initializes
            it randomly.
    """

    has_learner = True

    def __init__(
        self,
        problem: ClassificationProblem,
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
        self.inner_steps, self.adaptation_steps = inner_steps, test_steps
        classifier = SequenceClassifier(problem.spec.ways, **problem.input_options, **model).to(
            problem.device
        )
        lr = PerTensorLR(classifier, inner_lr, inner_steps)
        self.learner = ProtoMAML(classifier, lr, first_order=first_order)

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        metric = options.get("metric")
        earlier = {} if metric is None else ProtoNetMethod.trainings(metric)
        return earlier | super().trainings(options)

    def train(self) -> History:
        earlier = History()
        if self.metric is not None:
            metric = ProtoNetMethod(self.problem, f"{self.label}: metric", **self.metric)
            earlier = metric.train()
            self.learner.module.encoder.load_state_dict(metric.encoders[0].state_dict())
        tasks = self.problem.training_tasks(self.training, self.problem.seed)
        history = run_training(
            self.learner,
            self.training,
            lambda step, progress: self._loss(tasks.batch(step, progress)[0]),
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )
        return history.started_from(earlier)

    def _loss(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        self.learner.train()
        learner = self.learner.clone(tasks=len(batch))
        self._adapt(learner, batch, self.training.ways, self.inner_steps)
        scores = learner(batch.query_x)
        loss = cross_entropy(scores, batch.query_y).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def predict(self, batch: TaskBatch) -> Tensor:
        self.learner.eval()
        learner = self.learner.clone(tasks=len(batch), first_order=True)
        self._adapt(learner, batch, self.problem.spec.ways, self.adaptation_steps)
        with torch.no_grad():
            return learner(batch.query_x)

    @staticmethod
    def _adapt(learner: ProtoMAML, batch: TaskBatch, ways: int, steps: int) -> None:
        learner.write(batch.support_x, batch.support_y, ways)
        for _ in range(steps):
            learner.adapt(cross_entropy(learner(batch.support_x), batch.support_y))
