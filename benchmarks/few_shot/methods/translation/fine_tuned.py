"""Sequence-to-sequence models trained on each support set, from scratch or pre-trained."""

from __future__ import annotations

from typing import Any

import torch
from learn2learn.utils import detach_module
from torch import Tensor

from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.translation.translation_method import TranslationMethod
from benchmarks.few_shot.problems.problem import generator_of
from benchmarks.few_shot.problems.translation_problem import TranslationProblem, TranslationTasks
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.algorithms import MAML
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import sequence_accuracy, sequence_cross_entropy
from l2l_rnn.models import Seq2Seq

MINIBATCH = 20  # support pairs per step of Adam


class FromScratchTranslator(TranslationMethod):
    """Trains a randomly initialized `Seq2Seq` on each support set with Adam, 20 pairs a step.

    The number of steps is the best on validation tasks, for each number of pairs.

    Args:
        model: options of `Seq2Seq`.
        steps: candidate numbers of Adam steps, in ascending order.
        lr: Adam's learning rate.
        validation_tasks: number of validation tasks that choose the steps.
    """

    chunk = 25

    def __init__(
        self,
        problem: TranslationProblem,
        label: str,
        *,
        model: dict[str, Any],
        steps: tuple[int, ...],
        lr: float,
        validation_tasks: int = 30,
    ) -> None:
        super().__init__(problem, label)
        self.options, self.steps, self.lr = model, steps, lr
        self.validation_tasks = validation_tasks
        self.chosen: dict[str, int] = {}

    def network(self) -> Seq2Seq:
        """Make a randomly initialized network."""
        options = {**self.problem.model_options, **self.options}
        return Seq2Seq(*self.problem.vocab_sizes, **options).to(self.problem.device)

    def train(self) -> History | None:
        self.start = self.network()
        self.choose_steps()
        return None

    def choose_steps(self) -> None:
        """Choose the number of steps for each column on validation tasks."""
        for column in self.problem.columns:
            tasks = self.problem.evaluation_tasks("validation", column, self.validation_tasks)
            scores = {}
            for steps in self.steps:
                self.chosen[column.name] = steps
                found = self.measures(tasks, column)
                scores[steps] = (found["exact match"] - 0.1 * found["character error rate"]).mean()
            self.chosen[column.name] = max(scores, key=lambda steps: scores[steps].item())

    def translate(self, tasks: TranslationTasks, column: Pairs) -> list[list[str]]:
        learner = self.adapted(tasks.batch, self.chosen[column.name])
        with torch.no_grad():
            return self.texts(learner.greedy(tasks.batch.query_x))

    def adapted(self, batch: TaskBatch, steps: int) -> Seq2Seq:
        """Return a copy of the network for each task, trained on its support set."""
        learner: Seq2Seq = MAML(self.start, self.lr).clone(tasks=len(batch)).module
        detach_module(learner, keep_requires_grad=True)
        optimizer = torch.optim.Adam(list(learner.parameters()), self.lr)
        learner.train()
        pairs = batch.support_x.shape[1]
        order = torch.randperm(pairs, generator=generator_of(self.problem.seed, pairs))
        parts = order.split(MINIBATCH)
        for step in range(steps):
            rows = parts[step % len(parts)]
            x, y = batch.support_x[:, rows], batch.support_y[:, rows]
            optimizer.zero_grad()
            sequence_cross_entropy(learner(x, y), y).sum().backward()
            optimizer.step()
        return learner.eval()

    def details(self) -> dict[str, Any]:
        return {**super().details(), "steps": self.chosen}


class FineTunedTranslator(FromScratchTranslator):
    """Pre-trains a `Seq2Seq` on the pairs of all training languages, then fine-tunes it.

    Args:
        model, steps, lr, validation_tasks: as in `FromScratchTranslator`.
        training: settings of the pre-training.
        invented: share of pre-training in invented languages.
    """

    def __init__(
        self,
        problem: TranslationProblem,
        label: str,
        *,
        training: Training,
        invented: float = 0.0,
        **scratch: Any,
    ) -> None:
        super().__init__(problem, label, **scratch)
        self.training, self.invented = training, invented

    def train(self) -> History:
        self.start = self.network()
        tasks = self.problem.training_tasks(
            self.training, self.problem.seed, invented=self.invented
        )
        history = run_training(
            self.start,
            self.training,
            lambda step, progress: self._loss(tasks.batch(step, progress)),
            lambda: -self._validation_loss(),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )
        self.choose_steps()
        return history

    def _loss(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        self.start.train()
        x, y = (
            torch.cat([batch.support_x, batch.query_x], 1),
            torch.cat([batch.support_y, batch.query_y], 1),
        )
        log_p = self.start(x, y)
        return sequence_cross_entropy(log_p, y).mean(), sequence_accuracy(
            log_p.detach().argmax(-1), y
        ).mean()

    def _validation_loss(self) -> float:
        """Return the loss on validation queries after the fewest steps on each support set."""
        column = self.problem.columns[-1]
        tasks = self.problem.evaluation_tasks("validation", column, 3).batch
        learner = self.adapted(tasks, self.steps[0])
        with torch.no_grad():
            log_p = learner(tasks.query_x, tasks.query_y)
            return sequence_cross_entropy(log_p, tasks.query_y).mean().item()
