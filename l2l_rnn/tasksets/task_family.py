"""The base of task families: tasks that are drawn rather than stored."""

from __future__ import annotations

import copy
import random
from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from learn2learn.data import MetaDataset
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor
from torch.utils.data import Dataset

from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, TaskSource, check_counts
from l2l_rnn.errors import DataError, UnknownNameError

SPLITS = ("train", "validation", "test")
_SEEDS = 2**32 // len(SPLITS)  # of each split: torch's generator keeps 32 bits of a seed


class TaskFamily(TaskSource):
    """A distribution of tasks that share a rule and differ in its parameters. Not for direct use.

    Attributes:
        input_size: `F`, features of a step, or of an input without steps.
        output_size: values of an answer: classes, or numbers.
        classes: how many classes every task has; None where answers are no classes.
        split: whose tasks these are, `"train"`, `"validation"` or `"test"`, as `of_split` sets it;
            None where the family was made by hand.
        device: where what is drawn is put; it is drawn on the CPU, so that a seed gives the same
            tasks anywhere.
    """

    input_size: int
    output_size: int
    classes: int | None = None
    split: str | None = None
    device: torch.device | str | None = None

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k in self._shown)
        return f"{type(self).__name__}({given})"

    _shown: ClassVar[tuple[str, ...]] = ("lag", "symbols", "mode")

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
        generator = self.generator_of_split(generator)
        parameters = self.parameters(tasks, generator)
        parts = (
            *self.examples(parameters, shots, generator),
            *self.examples(parameters, queries, generator),
        )
        return TaskBatch(*(part.to(self.device or "cpu") for part in parts))

    @abstractmethod
    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        """Draw what tells tasks apart, `(N, …)`."""

    @abstractmethod
    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw examples of tasks with their answers: inputs `(N, B, …)`, answers `(N, B, …)`."""

    @abstractmethod
    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """Compute each task's loss, `(N,)`, of outputs `(N, B, output_size)`."""

    @abstractmethod
    def error(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """Compute each task's error, `(N,)`; 0 where every answer is right."""

    def recipe(self, ways: int, samples: int) -> Recipe:
        """Return what a learn2learn `Taskset` is made of; Python's `random` gives a task's seed.

        Raises:
            DataError: the tasks have classes, and not as many as `ways`.
        """
        self._check_ways(ways)
        examples = _Examples(self, samples)
        return MetaDataset(examples, labels_to_indices={0: [0]}), [_OneTask(examples)]

    def of_split(self, split: str) -> Self:
        """Return this family with the tasks of a split: no seed gives the same in two of them.

        The rule and its distribution stay; a task is drawn from a seed that its split alone has.
        `get_tasksets` and `tasksets_of` ask for this.

        Args:
            split: `"train"`, `"validation"` or `"test"`.

        Raises:
            UnknownNameError: there is no such split.
        """
        if split not in SPLITS:
            raise UnknownNameError(
                f"{type(self).__name__}.of_split: unknown split {split!r}. Known: "
                f"{', '.join(SPLITS)}"
            )
        placed = copy.copy(self)
        placed.split = split
        return placed

    def generator_of_split(self, generator: Generator | None) -> Generator | None:
        """Return a generator that no other split has, seeded by the given one; or that one."""
        if self.split is None:
            return generator
        number = int(torch.randint(_SEEDS, (), generator=generator))
        return Generator().manual_seed(self.seed_of_split(number))

    def seed_of_split(self, number: int) -> int:
        """Return a seed of this split: its own numbers of every three."""
        if self.split is None:
            return number
        return len(SPLITS) * number + SPLITS.index(self.split)

    def to(self, device: torch.device | str) -> TaskFamily:
        placed = copy.copy(self)
        placed.device = device
        return placed

    def _check_ways(self, ways: int) -> None:
        if self.classes is not None and ways != self.classes:
            raise DataError(
                f"{type(self).__name__}: every task has {self.classes} classes, got ways={ways}; "
                f"set ways to {self.classes}"
            )


class _Examples(Dataset[tuple[Any, Any]]):
    """The examples of all tasks of a family: those of seed 0, those of seed 1, and so on."""

    def __init__(self, family: TaskFamily, samples: int) -> None:
        self.family, self.samples = family, samples
        self.each = samples * (family.classes or 1)
        self.seeds = min(2**31 // self.each, _SEEDS)  # learn2learn keeps an index in 32 bits
        self._drawn: tuple[int, Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return self.seeds * self.each

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        seed, place = divmod(index, self.each)
        if self._drawn is None or self._drawn[0] != seed:
            generator = Generator().manual_seed(self.family.seed_of_split(seed))
            parameters = self.family.parameters(1, generator)
            drawn = self.family.examples(parameters, self.samples, generator)
            inputs, answers = (part[0].to(self.family.device or "cpu") for part in drawn)
            self._drawn = seed, inputs, answers
        _, inputs, answers = self._drawn
        return inputs[place], answers[place]


class _OneTask:
    """A learn2learn task transform: the examples of one task, by its seed."""

    def __init__(self, examples: _Examples) -> None:
        self.examples = examples

    def __call__(self, task_description: Any) -> list[DataDescription]:
        first = random.randrange(self.examples.seeds) * self.examples.each
        description = []
        for index in range(first, first + self.examples.each):
            item = DataDescription(index)
            item.transforms.append(self.examples.__getitem__)
            description.append(item)
        return description
