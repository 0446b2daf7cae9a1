"""Base classes of the methods: what the runner calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from benchmarks.few_shot.training import History
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy


class Method(ABC):
    """Trains on training tasks, then is evaluated on unseen ones.

    Args:
        problem: the tasks.
        label: name of its progress bars.
    """

    chunk = 50  # test tasks solved at once

    def __init__(self, problem: Any, label: str) -> None:
        self.problem = problem
        self.label = label

    def train(self) -> History | None:
        """Train, and return the record of it. By default there is nothing to train."""
        return None

    @abstractmethod
    def evaluate(self, column: Any) -> Tensor:
        """Solve the test tasks of a column: the score on each, `(N,)`."""

    def details(self) -> dict[str, Any]:
        """Further entries of the result; by default none."""
        return {}


class ClassificationMethod(Method):
    """A method of few-shot classification."""

    problem: ClassificationProblem

    @abstractmethod
    def predict(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets and score the classes of the queries: `(N, B, C)`."""

    def evaluate(self, column: Shots) -> Tensor:
        tasks = self.problem.evaluation_tasks("test", column.shots, self.problem.test_tasks)
        return self.accuracies(tasks)

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        """Compute the accuracy on each task, `(N,)`."""
        parts = []
        for batch in tasks.batches(self.chunk, self.problem.device):
            parts.append(accuracy(self.predict(batch).detach(), batch.query_y).cpu())
        return torch.cat(parts)

    def validation_score(self, tasks: int) -> float:
        """Mean accuracy on validation tasks, averaged over the spec's shots."""
        means = [
            self.accuracies(self.problem.evaluation_tasks("validation", shots, tasks)).mean().item()
            for shots in self.problem.spec.shots
        ]
        return sum(means) / len(means)
