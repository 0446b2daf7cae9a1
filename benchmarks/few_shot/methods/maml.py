"""MAML and its variants with a recurrent classifier, second or first order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem, ways_of
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.algorithms import ANIL, MAML, MetaSGD, PerTensorLR, ProtoMAML
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy


class InnerLoopMethod(ClassificationMethod):
    """A method whose learner takes gradient steps on the support set of each task.

    Args:
        training: settings of the meta-training.
        inner_steps: inner steps in meta-training.
        test_steps: inner steps on validation and test tasks.
    """

    has_learner = True
    learner: MAML

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        training: Training,
        inner_steps: int,
        test_steps: int,
    ) -> None:
        super().__init__(problem, label)
        self.training = training
        self.inner_steps, self.adaptation_steps = inner_steps, test_steps

    def train(self) -> History:
        tasks = self.problem.training_tasks(self.training, self.problem.seed)
        return run_training(
            self.learner,
            self.training,
            lambda step, progress: self._loss(tasks.batch(step, progress)[0]),
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )

    def _loss(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        self.learner.train()
        learner = self.learner.clone(tasks=len(batch))
        self.adapt(learner, batch, self.inner_steps)
        scores = learner(batch.query_x)[..., : ways_of(batch)]
        loss = cross_entropy(scores, batch.query_y).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def predict(self, batch: TaskBatch) -> Tensor:
        self.learner.eval()
        learner = self.learner.clone(tasks=len(batch), first_order=True)
        self.adapt(learner, batch, self.adaptation_steps)
        with torch.no_grad():
            return learner(batch.query_x)[..., : ways_of(batch)]

    def adapt(self, learner: MAML, batch: TaskBatch, steps: int) -> None:
        """Take gradient steps on the support sets with a clone of the learner."""
        ways = ways_of(batch)
        for _ in range(steps):
            scores = learner(batch.support_x)[..., :ways]
            learner.adapt(cross_entropy(scores, batch.support_y))


class MAMLMethod(InnerLoopMethod):
    """Meta-learns initial parameters with a head of one output for each class.

    The classes of a task are numbered in random order. The head has the outputs of the largest
    tasks, and a task with C classes uses the first C.

    Args:
        learner: `"MAML"`, `"MetaSGD"` or `"ANIL"`.
        model: options of the problem's classifier.
        training: settings of the meta-training; its ways should include those of the test tasks.
        inner_lr: learning rate of the inner loop, or its initial value if it is learned.
        inner_steps, test_steps: as in `InnerLoopMethod`.
        first_order: whether to use the first-order approximation.
        max_grad_norm: maximum norm of the inner gradient; None for no limit.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        learner: str,
        model: dict[str, Any],
        training: Training,
        inner_lr: float,
        inner_steps: int,
        test_steps: int,
        first_order: bool = False,
        max_grad_norm: float | None = None,
    ) -> None:
        steps = {"inner_steps": inner_steps, "test_steps": test_steps}
        super().__init__(problem, label, training=training, **steps)
        ways = max(training.most_ways, problem.spec.ways, *problem.spec.more_ways)
        classifier = problem.classifier(ways, **model).to(problem.device)
        options = {"first_order": first_order, "max_grad_norm": max_grad_norm}
        makers: dict[str, Callable[..., MAML]] = {"MAML": MAML, "MetaSGD": MetaSGD, "ANIL": ANIL}
        self.learner = makers[learner](classifier, inner_lr, **options)


class ProtoMAMLMethod(InnerLoopMethod):
    """Meta-learns initial parameters and learning rates, then takes gradient steps on each task.

    The head is initialized from the class means of the support set. Each parameter tensor has a
    learned learning rate for each step.

    Args:
        model: options of the problem's classifier.
        training: settings of the meta-training; its ways may exceed those of the test tasks.
        inner_lr: initial learning rate of the inner loop.
        inner_steps: inner steps in meta-training.
        test_steps: inner steps on validation and test tasks.
        first_order: whether to use the first-order approximation.
        metric: options of a `ProtoNetMethod` that provides the initial encoder; None initializes
            it randomly.
    """

    learner: ProtoMAML

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
        steps = {"inner_steps": inner_steps, "test_steps": test_steps}
        super().__init__(problem, label, training=training, **steps)
        self.metric = metric
        classifier = problem.classifier(problem.spec.ways, **model).to(problem.device)
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
        return super().train().started_from(earlier)

    def adapt(self, learner: MAML, batch: TaskBatch, steps: int) -> None:
        learner.write(batch.support_x, batch.support_y, ways_of(batch))
        super().adapt(learner, batch, steps)
