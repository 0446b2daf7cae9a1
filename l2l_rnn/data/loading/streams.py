"""Streams of task batches, drawn at once from a source or one by one from a Taskset."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from learn2learn.data import Taskset
from torch import Generator, Tensor

from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import SourceTaskset, Task, batch_of_tasks, sample_task

Drawn = tuple[TaskBatch, Tensor]  # a batch, and the state of the generator after it


class Draw(ABC):
    """Draws a batch of N tasks and returns a range of them. Abstract base class.

    Args:
        taskset: the task set to draw from.
        tasks: `N`.
        shots, queries: examples per class, or per task if there are no classes; with `queries`
            None, all remaining examples are queries.
        part: the range of tasks to return, from `part[0]` up to, but not including, `part[1]`.
        seed: random seed of the tasks in a task set with a fixed number of tasks.
    """

    def __init__(
        self,
        taskset: Taskset,
        tasks: int,
        shots: int,
        queries: int | None,
        part: tuple[int, int],
        seed: int,
    ) -> None:
        self.taskset, self.tasks, self.part, self.seed = taskset, tasks, part, seed
        self.shots, self.queries = shots, queries

    @abstractmethod
    def __call__(self, generator: Generator) -> TaskBatch:
        """Draw the next batch, and advance the generator."""


class AtOnce(Draw):
    """Draws all tasks at once, from the source of a task set."""

    def __call__(self, generator: Generator) -> TaskBatch:
        taskset, wanted = self.taskset, self.queries
        # Groups qualify by the task set's number of samples, even if fewer queries are wanted.
        grouped = isinstance(taskset.source, GroupedDataset)
        queries = taskset.samples - self.shots if grouped else wanted
        batch: TaskBatch = taskset.source.draw(
            self.tasks, self.shots, queries, generator, ways=taskset.ways
        )
        if self.part != (0, self.tasks):
            batch = batch.slice(*self.part)
        if queries is None or wanted is None or queries == wanted:
            return batch
        return batch.first_queries(wanted, queries)  # its rows are sorted by class


class OneByOne(Draw):
    """Draws one task at a time, each with its own seed, so a rank can skip other ranks' tasks.

    Args:
        given, named: the arguments of `Draw`.
        first: for a task set with a fixed number of tasks: the first task of the first batch, after
            which the others follow in order; None draws them at random.
    """

    def __init__(self, *given: Any, first: int | None = None, **named: Any) -> None:
        super().__init__(*given, **named)
        self.first = first

    def __call__(self, generator: Generator) -> TaskBatch:
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        with unchanged_generators():
            drawn = [self._task(f"{seed} {n}", n) for n in range(*self.part)]
        if self.first is not None:
            self.first += self.tasks
        by_class = None
        if isinstance(self.taskset, SourceTaskset):
            by_class = self.taskset.source.classes is not None
        return batch_of_tasks(drawn, self.shots, self.queries, by_class=by_class)

    def _task(self, seed: str, place: int) -> Task:
        taskset = self.taskset
        seed_all(seed)
        if taskset.num_tasks == -1:
            return sample_task(taskset)
        # A fixed task is drawn on first use, and must not depend on when that happens.
        number = random.randrange(taskset.num_tasks)
        if self.first is not None:
            number = self.first + place
        if number not in taskset.sampled_descriptions:
            seed_all(f"{self.seed} task {number}")
            taskset.sampled_descriptions[number] = taskset.sample_task_description()
        seed_all(f"{seed} again")
        return sample_task(taskset, number)


@contextmanager
def unchanged_generators() -> Iterator[None]:
    """Restore the global generators of Python, numpy and torch at the end."""
    states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.random.set_rng_state(states[2])


def seed_all(seed: str) -> None:
    """Seed the global generators of Python, numpy and torch."""
    random.seed(seed)
    number = random.getrandbits(32)
    np.random.seed(number)
    torch.random.default_generator.manual_seed(number)


def stream(draw: Draw, state: Tensor, pin: bool) -> Iterator[Drawn]:
    """Yield batches endlessly, starting at a generator state, each with the state after it."""
    generator = Generator()
    generator.set_state(state)
    while True:
        batch = draw(generator)
        yield batch.pin_memory() if pin else batch, generator.get_state()
