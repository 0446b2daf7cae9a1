"""What every method of a benchmark offers the runner."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.problems.problem import Episodes, Problem
from benchmarks.few_shot.training import History
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy


class Method(ABC):
    """Learns from meta-train tasks, if it does, then solves unseen ones.

    Args:
        problem: the tasks.
        label: its name, for progress bars.
    """

    chunk = 50  # test tasks solved at once

    def __init__(self, problem: Any, label: str) -> None:
        self.problem = problem
        self.label = label

    def fit(self) -> History | None:
        """Learn from the meta-train tasks; by default nothing. Says how it went."""
        return None

    @abstractmethod
    def scores(self, column: str) -> Tensor:
        """Solve the meta-test tasks of a column: the score on each, `(N,)`."""

    def details(self) -> dict[str, Any]:
        """What else a result should hold of the method; by default nothing."""
        return {}


class Classification(Method):
    """A method of few-shot classification."""

    problem: Problem

    @abstractmethod
    def predict(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets and score the query sequences: `(N, B, C)`."""

    def scores(self, column: str) -> Tensor:
        shots = self.problem.spec.shots[self.problem.columns.index(column)]
        return self.accuracies(self.problem.episodes("test", shots, self.problem.test_tasks))

    def accuracies(self, episodes: Episodes) -> Tensor:
        """Compute the accuracy on each task, `(N,)`."""
        parts = []
        for batch in episodes.batches(self.chunk, self.problem.device):
            parts.append(accuracy(self.predict(batch).detach(), batch.query_y).cpu())
        return torch.cat(parts)

    def validation_accuracy(self, tasks: int) -> float:
        """Mean accuracy on validation tasks, averaged over the spec's shots."""
        shots = self.problem.spec.shots
        means = [
            self.accuracies(self.problem.episodes("validation", k, tasks)).mean().item()
            for k in shots
        ]
        return sum(means) / len(means)
