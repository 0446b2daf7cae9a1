"""MAML of a sequence-to-sequence model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.translation.translation_method import TranslationMethod
from benchmarks.few_shot.problems.translation_problem import TranslationProblem, TranslationTasks
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.algorithms import MAML, PerTensorLR
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import sequence_accuracy, sequence_cross_entropy
from l2l_rnn.models import Seq2Seq


class TranslationMAML(TranslationMethod):
    """Meta-learns initial parameters of a `Seq2Seq`, and a learning rate of each tensor and step.

    Args:
        model: options of `Seq2Seq`.
        training: settings of the meta-training.
        inner_lr: initial learning rate of the inner loop.
        inner_steps: gradient steps in meta-training.
        test_steps: gradient steps on validation and test tasks.
        first_order: whether to use the first-order approximation.
        invented: share of training tasks in invented languages.
    """

    chunk = 25

    def __init__(
        self,
        problem: TranslationProblem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        inner_lr: float,
        inner_steps: int,
        test_steps: int,
        first_order: bool = False,
        invented: float = 0.0,
    ) -> None:
        super().__init__(problem, label)
        self.training, self.invented = training, invented
        self.inner_steps, self.test_steps = inner_steps, test_steps
        network = Seq2Seq(*problem.vocab_sizes, **problem.model_options, **model)
        network = network.to(problem.device)
        lr = PerTensorLR(network, inner_lr, inner_steps)
        self.learner = MAML(network, lr, first_order=first_order, allow_unused=True)

    def train(self) -> History:
        tasks = self.problem.training_tasks(
            self.training, self.problem.seed, invented=self.invented
        )
        return run_training(
            self.learner,
            self.training,
            lambda step, progress: self._loss(tasks.batch(step, progress)),
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )

    def _loss(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        self.learner.train()
        learner = self.learner.clone(tasks=len(batch))
        self._adapt(learner, batch, self.inner_steps)
        log_p = learner(batch.query_x, batch.query_y)
        exact = sequence_accuracy(log_p.detach().argmax(-1), batch.query_y)
        return sequence_cross_entropy(log_p, batch.query_y).mean(), exact.mean()

    def translate(self, tasks: TranslationTasks, column: Pairs) -> list[list[str]]:
        self.learner.eval()
        learner = self.learner.clone(tasks=len(tasks), first_order=True)
        self._adapt(learner, tasks.batch, self.test_steps)
        with torch.no_grad():
            return self.texts(learner.greedy(tasks.batch.query_x))

    @staticmethod
    def _adapt(learner: MAML, batch: TaskBatch, steps: int) -> None:
        for _ in range(steps):
            log_p = learner(batch.support_x, batch.support_y)
            learner.adapt(sequence_cross_entropy(log_p, batch.support_y))
