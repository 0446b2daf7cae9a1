"""Base classes of the methods, with the interface that the runner calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy


class Method(ABC):
    """A method that is trained on training tasks and evaluated on unseen ones.

    Args:
        problem: the tasks.
        label: label of the progress bars.
    """

    chunk = 50  # test tasks solved at once

    def __init__(self, problem: Any, label: str) -> None:
        self.problem = problem
        self.label = label

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        """Return the trainings that a method with these options does, by key.

        Methods share the trainings with equal keys. The default is the option `training`, shared
        with no other method.
        """
        training = options.get("training")
        return {} if training is None else {f"{cls.__name__} {options}": training}

    def train(self) -> History | None:
        """Train and return the history. The default does nothing."""
        return None

    @abstractmethod
    def evaluate(self, column: Any) -> Tensor:
        """Compute the score on each test task of a column, `(N,)`."""

    def details(self) -> dict[str, Any]:
        """Return additional entries of the result. The default has none."""
        return {}


class ClassificationMethod(Method):
    """A method of few-shot classification.

    Attributes:
        has_learner: whether `train` sets `learner`, which can be saved.
        learner: the trained learner.
        adaptation_steps: its steps or writes for a test task; None uses the learner's own number.
    """

    problem: ClassificationProblem
    has_learner: ClassVar[bool] = False
    learner: Any
    adaptation_steps: int | None = None

    @abstractmethod
    def predict(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets and compute the class scores of the queries, `(N, B, C)`."""

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
        """Return the mean accuracy on validation tasks, averaged over the spec's shots."""
        means = [
            self.accuracies(self.problem.evaluation_tasks("validation", shots, tasks)).mean().item()
            for shots in self.problem.spec.shots
        ]
        return sum(means) / len(means)
