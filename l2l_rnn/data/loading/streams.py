"""Streams of task batches: N tasks drawn at once from a source, or one by one from a Taskset."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from learn2learn.data import Taskset
from torch import Generator, Tensor

from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import SourceTaskset

Drawn = tuple[TaskBatch, Tensor]  # a batch, and the generator's state after it


class Draw(ABC):
    """Draws a batch: of N tasks, those from `ends[0]` up to `ends[1]`."""

    def __init__(
        self,
        taskset: Taskset,
        tasks: int,
        shots: int,
        queries: int | None,
        ends: tuple[int, int],
        seed: int,
    ) -> None:
        self.taskset, self.tasks, self.ends, self.seed = taskset, tasks, ends, seed
        self.shots, self.queries = shots, queries

    @abstractmethod
    def __call__(self, generator: Generator) -> TaskBatch:
        """Draw the next batch of the stream that the generator makes."""


class AtOnce(Draw):
    """Draws from the source of a task set."""

    def __call__(self, generator: Generator) -> TaskBatch:
        taskset, asked = self.taskset, self.queries
        # A group takes part if it has the task set's samples, however few of them are asked for.
        grouped = isinstance(taskset.source, GroupedDataset)
        queries = taskset.samples - self.shots if grouped else asked
        batch: TaskBatch = taskset.source.draw(
            self.tasks, self.shots, queries, generator, ways=taskset.ways
        )
        if self.ends != (0, self.tasks):
            batch = batch.share(*self.ends)
        if queries == asked:
            return batch
        query_x, query_y = (
            part.unflatten(1, (-1, queries))[:, :, :asked].flatten(1, 2)  # class after class
            for part in (batch.query_x, batch.query_y)
        )
        return TaskBatch(batch.support_x, batch.support_y, query_x, query_y)


class OneByOne(Draw):
    """Draws from a Taskset, each task by a seed of its own, so that a rank draws only its own."""

    def __call__(self, generator: Generator) -> TaskBatch:
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        states = random.getstate(), np.random.get_state(), torch.random.get_rng_state()
        try:
            drawn = [self._task(f"{seed} {n}") for n in range(*self.ends)]
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.random.set_rng_state(states[2])
        by_class = None
        if isinstance(self.taskset, SourceTaskset) and hasattr(self.taskset.source, "classes"):
            by_class = self.taskset.source.classes is not None
        return TaskBatch.of(drawn, self.shots, self.queries, by_class=by_class)

    def _task(self, seed: str) -> Any:
        taskset = self.taskset
        _seed_all(seed)
        if taskset.num_tasks == -1:
            return taskset.sample()
        # One of a fixed number is drawn at its first use, which must not tell when that was.
        number = random.randrange(taskset.num_tasks)
        if number not in taskset.sampled_descriptions:
            _seed_all(f"{self.seed} task {number}")
            taskset.sampled_descriptions[number] = taskset.sample_task_description()
        _seed_all(f"{seed} again")
        return taskset[number]


def _seed_all(seed: str) -> None:
    random.seed(seed)
    number = random.getrandbits(32)
    np.random.seed(number)
    torch.random.default_generator.manual_seed(number)


def stream(draw: Draw, state: Tensor, pin: bool) -> Iterator[Drawn]:
    """Yield batches without end from a generator's state on, each with the state after it."""
    generator = Generator()
    generator.set_state(state)
    while True:
        batch = draw(generator)
        yield batch.pin_memory() if pin else batch, generator.get_state()
