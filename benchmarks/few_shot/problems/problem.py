"""Base class of all problems, which provide an experiment's training and evaluation tasks."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Generator

from benchmarks.few_shot.columns import Column
from benchmarks.few_shot.shared_trainings import SharedTrainings
from l2l_rnn.data import SourceTaskset, TaskBatch, TaskLoader, TaskSource


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Problem(ABC):
    """The tasks of a spec, for one seed.

    Every problem has `training_tasks(…)`, which returns an endless stream with a method
    `batch(step, progress)`, and `evaluation_tasks(…)`, which returns the same tasks in every call.

    Args:
        spec: the experiment.
        seed: random seed of all tasks.
        device: device of the tensors.
        test_tasks: number of test tasks.
    """

    chance: float | None = None  # chance level, if the score has one
    curve: tuple[Column, ...] = ()  # the points of a curve, evaluated like columns
    note: str = ""  # added to the description of saved learners

    def __init__(self, spec: Any, seed: int, device: torch.device, test_tasks: int) -> None:
        self.spec, self.seed, self.device, self.test_tasks = spec, seed, device, test_tasks
        self.shared = SharedTrainings()  # networks that several methods use
        self.memo: dict[Any, Any] = {}  # what several methods compute from these networks

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns of the table."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return the description of the data in a result."""


class TrainingTasks:
    """Endless batches of training tasks, from a seeded `TaskLoader` for each kind of task.

    Args:
        tasks: tasks per batch, `N`.
        seed: random seed of the tasks.
        device: device of the batches.
    """

    def __init__(self, tasks: int, seed: int, device: torch.device) -> None:
        self.tasks, self.seed, self.device = tasks, seed, device
        self._loaders: dict[Any, TaskLoader] = {}

    def draw(self, source: TaskSource, ways: int, shots: int, queries: int) -> TaskBatch:
        """Draw the next batch of tasks of this kind."""
        key = (source, ways, shots, queries)
        if key not in self._loaders:
            self._loaders[key] = TaskLoader(
                SourceTaskset(source, ways, shots + queries),
                self.tasks,
                shots,
                queries,
                seed=seed_of(self.seed, len(self._loaders)),
                device=self.device,
            )
        return next(self._loaders[key])


def seed_of(*parts: object) -> int:
    """Return a seed for the given parts. Unlike `hash`, it is the same in every process."""
    return random.Random(" ".join(map(str, parts))).getrandbits(48)


def generator_of(*parts: object) -> Generator:
    """Return a torch generator with the seed `seed_of(*parts)`."""
    return Generator().manual_seed(seed_of(*parts))
