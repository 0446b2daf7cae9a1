"""Base classes of the methods, with the interface that the runner calls."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.few_shot.columns import CurvePoint, Shots
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy

MOST_SEQUENCES = 5000  # sequences of the test tasks solved at once, which limits the memory


class CannotRun(RuntimeError):
    """A method cannot run here, for example because a file is missing; the runner skips it."""


class Method(ABC):
    """A method that is trained on training tasks and evaluated on unseen ones.

    Args:
        problem: the tasks.
        label: label of the progress bars.

    Attributes:
        has_learner: whether `train` sets `learner`, which can be saved.
        learner: the trained learner.
        saved_dtype: type of its weights in a file, see `Pretrained.save_pretrained`.
        adaptation_steps: its steps or writes for a test task; None uses the learner's own number.
    """

    has_learner: ClassVar[bool] = False
    saved_dtype: ClassVar[str] = "float16"
    learner: Any
    adaptation_steps: int | None = None

    chunk = 50  # test tasks solved at once
    trained = False  # whether the training is over, so that networks no longer change
    most_tasks: int | None = None  # most test tasks, the first ones; None uses all
    saved_seconds = 0.0  # time that evaluation saved by encoding an item of several tasks once

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

    @classmethod
    def saves(cls, options: dict[str, Any]) -> bool:
        """Return whether a method with these options trains a learner that can be saved."""
        return cls.has_learner

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
    """A method of few-shot classification."""

    problem: ClassificationProblem
    _vectors: Tensor | None = None  # of the test items, from the trained encoder

    @abstractmethod
    def predict(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets and compute the class scores of the queries, `(N, B, C)`.

        Columns differ in the number of classes, see `ways_of`.
        """

    def evaluate(self, column: Shots) -> Tensor:
        count = column.tasks if isinstance(column, CurvePoint) else self.problem.test_tasks
        tasks = self.problem.evaluation_tasks("test", column, count)
        return self.accuracies(tasks if self.most_tasks is None else tasks.first(self.most_tasks))

    def encoder_place(self) -> tuple[nn.Module | ClassificationMethod, str] | None:
        """Return what has the encoder, and the attribute's name, if no task changes the encoder.

        Each item is then encoded once, for all tasks that it is part of, and `predict` is called
        with vectors instead of sequences, and with an encoder that does nothing.
        """
        return None

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        """Compute the accuracy on each task, `(N,)`."""
        place = self.encoder_place()
        if place is None:
            return self._accuracies(tasks)
        encoder = getattr(*place)
        vectors = self._encoded(tasks, encoder)
        setattr(*place, nn.Identity())
        try:
            return self._accuracies(replace(tasks, vectors=vectors))
        finally:
            setattr(*place, encoder)

    def _encoded(self, tasks: EvaluationTasks, encoder: nn.Module) -> Tensor:
        """Return the vectors of a split's items, `(items, E)`; some may be missing in training."""
        final = self.trained and tasks.dataset is self.problem.test
        if final and self._vectors is not None:
            return self._vectors
        sequences = tasks.dataset.sequences
        items = torch.arange(len(sequences)) if final else tasks.items
        start = time.perf_counter()
        encoder.eval()
        with torch.no_grad():
            parts = [encoder(sequences[part].to(self.problem.device)) for part in items.split(500)]
        found = torch.cat(parts)
        self._seconds_per_item = (time.perf_counter() - start) / len(items)
        self.saved_seconds -= self._seconds_per_item * len(items)
        vectors = found.new_zeros(len(sequences), found.shape[-1])
        vectors[items.to(vectors.device)] = found
        if final:
            self._vectors = vectors
        return vectors

    def _accuracies(self, tasks: EvaluationTasks) -> Tensor:
        parts = []
        chunk = max(1, min(self.chunk, MOST_SEQUENCES // tasks.sequences))
        if tasks.vectors is not None:
            self.saved_seconds += self._seconds_per_item * tasks.sequences * len(tasks)
        for batch in tasks.batches(chunk, self.problem.device):
            parts.append(accuracy(self.predict(batch).detach(), batch.query_y).cpu())
        return torch.cat(parts)

    def validation_score(self, tasks: int) -> float:
        """Return the mean accuracy on validation tasks, averaged over the spec's shots."""
        means = [
            self.accuracies(self.problem.evaluation_tasks("validation", shots, tasks)).mean().item()
            for shots in self.problem.spec.shots
        ]
        return sum(means) / len(means)
