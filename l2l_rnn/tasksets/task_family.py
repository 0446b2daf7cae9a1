"""Base class of task families, which generate their tasks."""

from __future__ import annotations

import copy
import inspect
import random
from abc import abstractmethod
from typing import Any, Self

import torch
from learn2learn.data import MetaDataset
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor
from torch.utils.data import Dataset

from l2l_rnn.data.splits import SPLITS, Split, check_split
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, TaskSource, check_counts
from l2l_rnn.errors import DataError

_SEEDS = 2**32 // len(SPLITS)  # seeds per split; torch's generator keeps 32 bits of a seed


class TaskFamily(TaskSource):
    """Distribution over tasks that share a rule and differ in its parameters. Abstract base class.

    A subclass draws the parameters of tasks, draws examples given the parameters, and computes a
    loss and an error. Everything is drawn on the CPU and then moved to `device`, so that a seed
    gives the same tasks on every device.

    Attributes:
        input_size: `F`, features of a step, or of an input without steps.
        output_size: size of a prediction: the number of classes, or of predicted values.
        classes: number of classes in every task; None if targets are not classes.
        seed_split: split of the seeds, set by `for_split`; None uses seeds unchanged.
        device: device of the drawn tensors; None is the CPU.
    """

    input_size: int
    output_size: int
    classes: int | None = None
    seed_split: Split | None = None
    device: torch.device | str | None = None

    def __repr__(self) -> str:
        options = inspect.signature(type(self)).parameters
        given = ", ".join(f"{k}={getattr(self, k)!r}" for k in options if hasattr(self, k))
        return f"{type(self).__name__}({given})"

    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        tasks, shots, queries, ways = check_counts(
            f"{type(self).__name__}.draw", tasks, shots, queries, ways
        )
        if ways is not None:
            self._check_ways(ways)
        generator = self.split_generator(generator)
        parameters = self.parameters(tasks, generator)
        parts = (
            *self.examples(parameters, shots, generator),
            *self.examples(parameters, queries, generator),
        )
        return TaskBatch(*(part.to(self.device or "cpu") for part in parts))

    @abstractmethod
    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        """Draw the parameters of N tasks, `(N, …)`."""

    @abstractmethod
    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw examples of each task: inputs `(N, B, …)` and targets `(N, B, …)`."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss of each task, `(N,)`, from outputs `(N, B, output_size)`."""

    @abstractmethod
    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute the error of each task, `(N,)`; it is 0 if every prediction is correct."""

    def recipe(self, ways: int, samples: int) -> Recipe:
        """Return the arguments of a learn2learn `Taskset`; Python's `random` draws the task seeds.

        Raises:
            DataError: the tasks have a number of classes other than `ways`.
        """
        self._check_ways(ways)
        examples = _Examples(self, samples)
        return MetaDataset(examples, labels_to_indices={0: [0]}), [_SampleTask(examples)]

    def for_split(self, split: str) -> Self:
        """Return a copy that draws tasks from seeds reserved for one split.

        The distribution of tasks is unchanged, but no seed gives the same task in two splits.
        `get_tasksets` and `tasksets_of` call this method for every family.

        Args:
            split: `"train"`, `"validation"` or `"test"`.

        Raises:
            UnknownNameError: `split` is unknown.
        """
        placed = copy.copy(self)
        placed.seed_split = check_split(f"{type(self).__name__}.for_split", split)
        return placed

    def split_generator(self, generator: Generator | None) -> Generator | None:
        """Return a generator reserved for the split, seeded by the given one.

        If no split is set, the given generator is returned.
        """
        if self.seed_split is None:
            return generator
        number = int(torch.randint(_SEEDS, (), generator=generator))
        return Generator().manual_seed(self.split_seed(number))

    def split_seed(self, number: int) -> int:
        """Return a seed reserved for the split; the splits take turns, so each has a third.

        If no split is set, the given number is returned.
        """
        if self.seed_split is None:
            return number
        return len(SPLITS) * number + SPLITS.index(self.seed_split)

    def to(self, device: torch.device | str) -> TaskFamily:
        placed = copy.copy(self)
        placed.device = device
        return placed

    def _check_ways(self, ways: int) -> None:
        if self.classes is not None and ways != self.classes:
            raise DataError(
                f"{type(self).__name__}: ways must be {self.classes}, the number of classes in "
                f"every task, got {ways}; set ways to {self.classes}"
            )


class _Examples(Dataset[tuple[Any, Any]]):
    """Examples of all tasks of a family, ordered by task seed."""

    def __init__(self, family: TaskFamily, samples: int) -> None:
        self.family, self.samples = family, samples
        self.task_size = samples * (family.classes or 1)
        self.seeds = min(2**31 // self.task_size, _SEEDS)  # learn2learn keeps an index in 32 bits
        self._drawn: tuple[int, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return self.seeds * self.task_size

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        seed, place = divmod(index, self.task_size)
        if self._drawn is None or self._drawn[0] != seed:
            generator = Generator().manual_seed(self.family.split_seed(seed))
            parameters = self.family.parameters(1, generator)
            drawn = self.family.examples(parameters, self.samples, generator)
            inputs, targets = (part[0].to(self.family.device or "cpu") for part in drawn)
            self._drawn = seed, inputs, targets
        _, inputs, targets = self._drawn
        return inputs[place], targets[place]


class _SampleTask:
    """Task transform for learn2learn: draws a seed and lists the examples of its task."""

    def __init__(self, examples: _Examples) -> None:
        self.examples = examples

    def __call__(self, task_description: Any) -> list[DataDescription]:
        first = random.randrange(self.examples.seeds) * self.examples.task_size
        description = []
        for index in range(first, first + self.examples.task_size):
            item = DataDescription(index)
            item.transforms.append(self.examples.__getitem__)
            description.append(item)
        return description
