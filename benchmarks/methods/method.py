"""What every method of a benchmark offers the runner."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from benchmarks.problem import Episodes, Problem
from benchmarks.training import History
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy


class Method(ABC):
    """Learns from the meta-train classes, if it does, then solves tasks of unseen classes.

    Args:
        problem: the tasks.
        label: its name, for progress bars.
    """

    chunk = 50  # test tasks solved at once

    def __init__(self, problem: Problem, label: str) -> None:
        self.problem = problem
        self.label = label

    def fit(self) -> History | None:
        """Learn from the meta-train classes; by default nothing. Says how it went."""
        return None

    @abstractmethod
    def predict(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets and score the query sequences: `(N, B, C)`."""

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
