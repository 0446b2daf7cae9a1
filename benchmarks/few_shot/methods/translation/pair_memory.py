"""Memory learner: adapts by storing the support pairs, and copies from them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.translation.translation_method import TranslationMethod
from benchmarks.few_shot.problems.translation_problem import TranslationProblem, TranslationTasks
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from benchmarks.sizes import parameter_count
from l2l_rnn.algorithms import PairMemoryLearner
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import sequence_accuracy, sequence_cross_entropy
from l2l_rnn.models import MemorySeq2Seq


class PairMemoryMethod(TranslationMethod):
    """Meta-learns how to read a memory of pairs, in languages with permuted letters.

    Args:
        model: options of `MemorySeq2Seq`.
        training: settings of the meta-training.
        invented: share of training tasks in invented languages.
        permuted: share of training tasks with permuted letters.
        width: width of the beam search; 1 is greedy decoding.
    """

    def __init__(
        self,
        problem: TranslationProblem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        invented: float = 0.0,
        permuted: float = 0.0,
        width: int = 1,
    ) -> None:
        super().__init__(problem, label)
        self.training, self.width = training, width
        self.languages = {"invented": invented, "permuted": permuted}
        network = MemorySeq2Seq(*problem.vocab_sizes, **problem.model_options, **model)
        self.learner = PairMemoryLearner(network).to(problem.device)

    def train(self) -> History:
        tasks = self.problem.training_tasks(self.training, self.problem.seed, **self.languages)
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
        learner.write(batch.support_x, batch.support_y)
        log_p = learner(batch.query_x, batch.query_y)
        exact = sequence_accuracy(log_p.detach().argmax(-1), batch.query_y)
        return sequence_cross_entropy(log_p, batch.query_y).mean(), exact.mean()

    def translate(self, tasks: TranslationTasks, column: Pairs) -> list[list[str]]:
        self.learner.eval()
        with torch.no_grad():
            learner = self.learner.clone(tasks=len(tasks))
            learner.write(tasks.batch.support_x, tasks.batch.support_y)
            if self.width == 1:
                return self.texts(learner.greedy(tasks.batch.query_x))
            beams = learner.beam_search(tasks.batch.query_x, self.width, length_penalty=0.0)
            return self.texts(beams.tokens[..., 0, :])

    def details(self) -> dict[str, Any]:
        return {**super().details(), "parameters": parameter_count(self.learner.module)}
