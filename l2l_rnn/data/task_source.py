"""What tasks are drawn from, and the Taskset over it that knows how they are drawn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from learn2learn.data import MetaDataset, Taskset
from torch import Generator
from torch.utils.data import default_collate

from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.errors import ArgumentError, ArgumentTypeError

Recipe = tuple[MetaDataset, list[Callable[[Any], Any]]]


class TaskSource(ABC):
    """What tasks are drawn from, one at a time or many at once. Not for direct use.

    Stored items, items that belong to persons, and families of tasks made up on the spot all are
    sources; `SourceTaskset` puts any of them behind learn2learn's `Taskset`.

    Attributes:
        input_size: `F`, the features of a step, or of an example without steps; None for token ids.
        vocabulary: the text pipeline that made the token ids; None if there is none.
        in_halves: whether a task of `recipe` keeps the first half of its samples, `samples // 2` of
            each class, apart from the rest, as of another episode: these are its shots.
    """

    input_size: int | None = None
    vocabulary: Any = None
    in_halves: bool = False

    @abstractmethod
    def recipe(self, ways: int, samples: int) -> Recipe:
        """Return what a learn2learn `Taskset` is made of: a dataset, and what draws a task of it.

        Args:
            ways: classes in a task, where it has classes.
            samples: examples of each class, or of the task where it has no classes.

        Raises:
            DataError: there are fewer classes than ways, or fewer examples than samples.
        """

    @abstractmethod
    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        """Draw N tasks at once, in the distribution of `recipe`.

        Args:
            tasks: `N`.
            shots: support examples of each class, or of a task without classes.
            queries: query examples, counted likewise.
            generator: fixes what is drawn; None draws from torch's own.
            ways: classes in a task, where it has classes; None takes as many as there are.

        Raises:
            ArgumentError: a count is not a positive integer.
            DataError: there are fewer classes, or fewer examples, than asked for.
        """

    @abstractmethod
    def to(self, device: torch.device | str) -> TaskSource:
        """Return this source with its tensors on `device`; this one stays where it is."""


class SourceTaskset(Taskset):
    """A learn2learn `Taskset` over a source, which remembers what its tasks are made of.

    Args:
        source: what the tasks are drawn from.
        ways: classes in a task, where it has classes.
        samples: examples of each class, or of a task without classes, support and query together.
        num_tasks: how many tasks there are; -1 draws new ones for ever.
        device: where labels are put; None leaves them on the CPU. The source's own tensors are to
            be there already.

    Attributes:
        source, ways, samples: as given.

    Raises:
        ArgumentTypeError: `source` is no `TaskSource`.
        ArgumentError: `ways` or `samples` is not a positive integer.
        DataError: as `TaskSource.recipe`.

    Example:
        >>> from l2l_rnn.tasksets import Sinusoids
        >>> inputs, answers = SourceTaskset(Sinusoids(), ways=1, samples=10).sample()
        >>> inputs.shape, answers.shape
        (torch.Size([10, 1]), torch.Size([10, 1]))
    """

    def __init__(
        self,
        source: TaskSource,
        ways: int,
        samples: int,
        num_tasks: int = -1,
        device: torch.device | str | None = None,
    ) -> None:
        if not isinstance(source, TaskSource):
            raise ArgumentTypeError(
                f"SourceTaskset: source must be a TaskSource, got {type(source).__name__}; make "
                "one of arrays by from_arrays, of tensors by SequenceDataset or GroupedDataset"
            )
        for name, count in {"ways": ways, "samples": samples}.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ArgumentError(
                    f"SourceTaskset: {name} must be a positive integer, got {count!r}"
                )
        meta, transforms = source.recipe(ways, samples)
        collate = default_collate if device is None else _CollateTo(device)
        super().__init__(meta, transforms, num_tasks, task_collate=collate)
        self.source, self.ways, self.samples = source, ways, samples
        self._recipe = tuple(transforms)

    @property
    def endless(self) -> bool:
        """Whether tasks are drawn for ever, and just as the source draws them.

        They are not where `num_tasks` is set, or where `task_transforms` is no longer the source's.
        """
        transforms = self.task_transforms
        unchanged = isinstance(transforms, list) and tuple(transforms) == self._recipe
        return self.num_tasks == -1 and unchanged


def check_counts(who: str, tasks: int, shots: int, queries: int, ways: int | None = None) -> None:
    """Raise an ArgumentError unless each count is a positive integer."""
    counts = {
        "tasks": tasks,
        "shots": shots,
        "queries": queries,
        "ways": 1 if ways is None else ways,
    }
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ArgumentError(f"{who}: {name} must be a positive integer, got {count!r}")


class _CollateTo:
    """Collates samples and puts the tensors on a device; RemapLabels makes labels plain numbers."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = device

    def __call__(self, samples: list[Any]) -> list[Any]:
        return [
            part.to(self.device) if isinstance(part, torch.Tensor) else part
            for part in default_collate(samples)
        ]
