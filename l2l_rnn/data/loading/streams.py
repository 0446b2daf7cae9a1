"""Streams of task batches, drawn at once from a source or one by one from a Taskset."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator

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
    """Draws one task at a time, each with its own seed, so a rank can skip other ranks' tasks."""

    def __call__(self, generator: Generator) -> TaskBatch:
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        try:
            drawn = [self._task(f"{seed} {n}") for n in range(*self.part)]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.random.set_rng_state(states[2])
        by_class = None
        if isinstance(self.taskset, SourceTaskset):
            by_class = self.taskset.source.classes is not None
        return batch_of_tasks(drawn, self.shots, self.queries, by_class=by_class)

    def _task(self, seed: str) -> Task:
        taskset = self.taskset
        _seed_all(seed)
        if taskset.num_tasks == -1:
            return sample_task(taskset)
        # A fixed task is drawn on first use, and must not depend on when that happens.
        number = self._number()
        if number not in taskset.sampled_descriptions:
            _seed_all(f"{self.seed} task {number}")
            taskset.sampled_descriptions[number] = taskset.sample_task_description()
        _seed_all(f"{seed} again")
        return sample_task(taskset, number)

    def _number(self) -> int:
        """Choose one of a fixed number of tasks, with Python's global generator."""
        return random.randrange(self.taskset.num_tasks)


class EachOnce(OneByOne):
    """Draws the tasks of a task set with a fixed number of tasks in order, each once."""

    first = 0

    def __call__(self, generator: Generator) -> TaskBatch:
        self._numbers = iter(range(self.first, self.first + self.tasks))
        self.first += self.tasks
        return super().__call__(generator)

    def _number(self) -> int:
        return next(self._numbers)


def _seed_all(seed: str) -> None:
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
