"""Memory learner: adapts by storing the support pairs, and copies from them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.translation.translation_method import TranslationMethod
from benchmarks.few_shot.problems.problem import generator_of
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

    Entries of one spec with the same training share the trained model.

    Args:
        model: options of `MemorySeq2Seq`.
        training: settings of the meta-training.
        invented: share of training tasks in invented languages.
        permuted: share of training tasks with permuted letters.
        votes: number of translations, the first from the letters as they are and the others from
            permuted letters; the most frequent translation is returned.
    """

    has_learner = True

    def __init__(
        self,
        problem: TranslationProblem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        invented: float = 0.0,
        permuted: float = 0.0,
        votes: int = 1,
    ) -> None:
        super().__init__(problem, label)
        self.options, self.training, self.votes = model, training, votes
        self.languages = {"invented": invented, "permuted": permuted}

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        return {_key(**options): options["training"]}

    def train(self) -> History:
        options = {**self.problem.model_options, **self.options}

        def make() -> MemorySeq2Seq:
            network = MemorySeq2Seq(*self.problem.vocab_sizes, **options)
            return network.to(self.problem.device)

        def train(network: MemorySeq2Seq) -> History:
            self.learner = PairMemoryLearner(network)
            tasks = self.problem.training_tasks(self.training, self.problem.seed, **self.languages)
            votes, self.votes = self.votes, 1
            history = run_training(
                network,
                self.training,
                lambda step, progress: self._loss(tasks.batch(step, progress)),
                lambda: self.validation_score(self.training.validation_tasks),
                label=self.label,
                tasks_per_step=self.training.tasks,
            )
            self.votes = votes
            return history

        key = _key(self.options, self.training, **self.languages)
        network, history = self.problem.shared.get(key, make, train)
        self.learner = PairMemoryLearner(network)
        return history

    def _loss(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        self.learner.train()
        learner = self.learner.clone(tasks=len(batch))
        learner.write(batch.support_x, batch.support_y)
        log_p = learner(batch.query_x, batch.query_y)
        exact = sequence_accuracy(log_p.detach().argmax(-1), batch.query_y)
        return sequence_cross_entropy(log_p, batch.query_y).mean(), exact.mean()

    def translate(self, tasks: TranslationTasks, column: Pairs) -> list[list[str]]:
        self.learner.eval()
        batch, found = tasks.batch, []
        generator = generator_of(self.problem.seed, "votes")
        for number in range(self.votes):
            table = self.problem.permutation(generator if number else None).to(batch.query_x.device)
            with torch.no_grad():
                learner = self.learner.clone(tasks=len(tasks))
                learner.write(batch.support_x, table[batch.support_y])
                tokens = learner.greedy(batch.query_x)
            found.append(self.texts(table.argsort()[tokens]))
        by_task = zip(*found, strict=True)
        return [
            [Counter(texts).most_common(1)[0][0] for texts in zip(*one, strict=True)]
            for one in by_task
        ]

    def details(self) -> dict[str, Any]:
        return {**super().details(), "parameters": parameter_count(self.learner.module)}


def _key(
    model: dict[str, Any],
    training: Training,
    invented: float = 0.0,
    permuted: float = 0.0,
    votes: int = 1,
) -> str:
    """Return the key of the model in the problem's shared trainings."""
    return f"pair memory {model} {training} {invented} {permuted}"
