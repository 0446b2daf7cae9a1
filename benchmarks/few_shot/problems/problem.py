"""Base of all problems: the tasks of an experiment, for training and for evaluation."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Generator

from benchmarks.few_shot.columns import Column
from l2l_rnn.data import SourceTaskset, TaskBatch, TaskLoader, TaskSource


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


class Problem(ABC):
    """The tasks of a spec, for a seed.

    Every problem has `training_tasks(…)`, an unlimited stream with `batch(step, progress)`, and
    `evaluation_tasks(…)`, which returns the same tasks at each call.

    Args:
        spec: the experiment.
        seed: random seed of all tasks.
        device: where tensors are placed.
        test_tasks: number of test tasks.
    """

    chance: float | None = None  # the chance level, where the score has one

    def __init__(self, spec: Any, seed: int, device: torch.device, test_tasks: int) -> None:
        self.spec, self.seed, self.device, self.test_tasks = spec, seed, device, test_tasks
        self.memo: dict[Any, Any] = {}  # what methods share, such as a pre-trained encoder

    @property
    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """The columns of the table."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What a result records about the data."""


class TrainingTasks:
    """Unlimited batches of training tasks, from a seeded `TaskLoader` for each kind of task.

    Args:
        tasks: tasks in a batch, `N`.
        seed: random seed of the tasks.
        device: where batches are placed.
    """

    def __init__(self, tasks: int, seed: int, device: torch.device) -> None:
        self.tasks, self.seed, self.device = tasks, seed, device
        self._loaders: dict[Any, TaskLoader] = {}

    def draw(self, source: TaskSource, ways: int, shots: int, queries: int) -> TaskBatch:
        """Draw the next batch of such tasks."""
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
    """A seed that differs between splits, columns and so on; `hash` of a string changes by run."""
    return random.Random(" ".join(map(str, parts))).getrandbits(48)


def generator_of(*parts: object) -> Generator:
    """A torch generator with the seed `seed_of(*parts)`."""
    return Generator().manual_seed(seed_of(*parts))
