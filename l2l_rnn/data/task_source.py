"""Sources of tasks, and the learn2learn Taskset over a source."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from learn2learn.data import MetaDataset, Taskset
from torch import Generator, Tensor
from torch.utils.data import Dataset, default_collate

from l2l_rnn.checks import check_int
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.errors import ArgumentTypeError, DataError

Recipe = tuple[MetaDataset, list[Callable[[Any], Any]]]
_SAMPLING = ("sample", "__getitem__", "get_task")  # methods of a Taskset that make tasks
Task = tuple[Tensor, Tensor, list[int] | None]  # sequences, targets, and indices if they are known


class TaskSource(ABC):
    """Source of tasks, drawn one or many at a time. Abstract base class.

    `SequenceDataset`, `GroupedDataset` and the families of generated tasks are sources.
    `SourceTaskset` wraps a source in a learn2learn `Taskset`.

    Attributes:
        classes: the names of the classes, or their number; None if the targets are not classes.
        input_size: `F`, the features of a step, or of an example without steps; None for token ids.
        vocabulary: the text pipeline that made the token ids; None if there is none.
        support_is_half: whether tasks from `recipe` must be split in the middle. If True, the first
            `samples // 2` samples of each class must be the support set, because they come from
            another episode than the rest.
    """

    classes: Sequence[str] | int | None = None
    input_size: int | None = None
    vocabulary: Any = None
    support_is_half: bool = False

    @property
    def deterministic(self) -> bool:
        """Whether the generator passed to `draw` is the only source of randomness."""
        return True

    @abstractmethod
    def recipe(self, ways: int, samples: int) -> Recipe:
        """Return the arguments of a learn2learn `Taskset`: a dataset and its task transforms.

        Args:
            ways: classes per task, if there are classes.
            samples: examples per class, or per task if there are no classes.

        Raises:
            DataError: there are fewer classes than `ways`, or fewer examples than `samples`.
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
        """Draw N tasks at once, from the same distribution as `recipe`.

        Args:
            tasks: `N`.
            shots: support examples per class, or per task if there are no classes.
            queries: query examples per class, or per task if there are no classes.
            generator: random number generator; None uses torch's global generator.
            ways: classes per task, if there are classes; None uses all of them.

        Raises:
            ArgumentError: a count is not a positive integer.
            DataError: there are too few classes or examples.
        """

    @abstractmethod
    def to(self, device: torch.device | str) -> TaskSource:
        """Return a copy of this source with its tensors on `device`."""


class SourceTaskset(Taskset):
    """A learn2learn `Taskset` over a source.

    Args:
        source: the source of the tasks.
        ways: classes per task, if there are classes.
        samples: examples per class, or per task if there are no classes, support and query
            together.
        num_tasks: number of tasks; -1 draws new tasks endlessly.
        device: device of the labels; None is the CPU. Move the source there first, with `to`.

    Attributes:
        source, ways, samples: as given.

    Raises:
        ArgumentTypeError: `source` is not a `TaskSource`.
        ArgumentError: `ways` or `samples` is not a positive integer.
        DataError: as `TaskSource.recipe`.

    Example:
        >>> from l2l_rnn.tasksets import Sinusoids
        >>> x, y = SourceTaskset(Sinusoids(), ways=1, samples=10).sample()
        >>> x.shape, y.shape
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
                f"SourceTaskset: source must be a TaskSource, got {type(source).__name__}; create "
                "one with from_arrays, SequenceDataset or GroupedDataset"
            )
        ways = check_int("SourceTaskset", "ways", ways)
        samples = check_int("SourceTaskset", "samples", samples)
        meta, transforms = source.recipe(ways, samples)
        collate = default_collate if device is None else _CollateTo(device)
        super().__init__(meta, transforms, num_tasks, task_collate=collate)
        self.source, self.ways, self.samples = source, ways, samples
        self._recipe = tuple(transforms)

    def __repr__(self) -> str:
        sizes = {"ways": self.ways, "samples": self.samples}
        sizes |= {} if self.num_tasks == -1 else {"num_tasks": self.num_tasks}
        return described(self, sizes, repr(self.source))

    @property
    def endless(self) -> bool:
        """Whether tasks are drawn endlessly and exactly as the source draws them.

        False if `num_tasks` is set or `task_transforms` was changed.
        """
        transforms = self.task_transforms
        unchanged = isinstance(transforms, list) and tuple(transforms) == self._recipe
        return self.num_tasks == -1 and unchanged


def draw_tasks(taskset: Taskset, tasks: int, shots: int) -> TaskBatch:
    """Draw N tasks from a learn2learn Taskset, for a learner made by `clone(tasks=N)`.

    Args:
        taskset: a Taskset with tasks of one shape.
        tasks: `N`.
        shots: support examples per class; the rest are the query set.

    Raises:
        ArgumentTypeError: `taskset` is not a learn2learn Taskset.
        ArgumentError: `tasks` or `shots` is not a positive integer.
        DataError: as `TaskBatch.from_tasks` and `check_shots`.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> tasksets = get_tasksets("languages", train_ways=5, train_samples=3)
        >>> batch = draw_tasks(tasksets.train, tasks=4, shots=1)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 5, 32]), torch.Size([4, 10]))
    """
    tasks = check_int("draw_tasks", "tasks", tasks)
    if not isinstance(taskset, Taskset):
        raise ArgumentTypeError(
            f"draw_tasks: taskset must be a learn2learn Taskset, got {type(taskset).__name__}; "
            "pass one of get_tasksets(...), such as .train, or wrap a dataset in a SourceTaskset"
        )
    check_shots("draw_tasks", taskset, shots)
    return batch_of_tasks([sample_task(taskset) for _ in range(tasks)], shots)


def sample_task(taskset: Taskset, number: int | None = None) -> Task:
    """Return a task of a Taskset as `sample` does, with the indices of its examples.

    The indices are None if the tasks have no dataset, or if the class of the Taskset has its own
    way of making a task, which may reorder the examples.

    Args:
        taskset: the Taskset.
        number: the task's number; None draws one.
    """
    own = type(taskset)
    if any(getattr(own, name) is not getattr(Taskset, name) for name in _SAMPLING):
        return *(taskset.sample() if number is None else taskset[number]), None
    number = random.randint(0, len(taskset) - 1) if number is None else number
    if taskset.num_tasks == -1:
        description = taskset.sample_task_description()
    else:
        if number not in taskset.sampled_descriptions:
            taskset.sampled_descriptions[number] = taskset.sample_task_description()
        description = taskset.sampled_descriptions[number]
    x, y = taskset.get_task(description)
    stored = not isinstance(taskset, SourceTaskset) or isinstance(taskset.source, Dataset)
    if not stored or len(description) != len(x):
        return x, y, None
    return x, y, [item.index for item in description]


def batch_of_tasks(
    tasks: Sequence[Task], shots: int, queries: int | None = None, *, by_class: bool | None = None
) -> TaskBatch:
    """Stack tasks returned by `sample_task`; other arguments as in `TaskBatch.from_tasks`."""
    indices = [task[2] for task in tasks if task[2] is not None]
    return TaskBatch.from_tasks(
        [task[:2] for task in tasks],
        shots,
        queries,
        by_class=by_class,
        indices=indices if len(indices) == len(tasks) else None,
    )


def check_shots(who: str, taskset: Taskset, shots: int) -> None:
    """Check that single tasks of a source with `support_is_half` are split in the middle.

    Raises:
        DataError: `shots` is not half of the samples, so the support and query set would share an
            episode.
    """
    if not isinstance(taskset, SourceTaskset) or not taskset.source.support_is_half:
        return
    if shots != taskset.samples // 2:
        raise DataError(
            f"{who}: shots must be {taskset.samples // 2}, half of the {taskset.samples} samples, "
            f"when tasks of {type(taskset.source).__name__} are drawn one by one, got {shots}; set "
            f"the samples to {2 * shots}, or draw endless tasks with a TaskLoader"
        )


def check_counts(
    who: str, tasks: int, shots: int, queries: int, ways: int | None = None
) -> tuple[int, int, int, int | None]:
    """Return the arguments of `draw` as ints.

    Raises:
        ArgumentError: one is not a positive integer.
    """
    return (
        check_int(who, "tasks", tasks),
        check_int(who, "shots", shots),
        check_int(who, "queries", queries),
        None if ways is None else check_int(who, "ways", ways),
    )


def described(owner: object, parts: Mapping[str, object], first: str | None = None) -> str:
    """Return a one-line description of an object.

    Args:
        owner: the object.
        parts: sizes and other facts by name; those that are None are left out.
        first: a fact without a name.

    Example:
        >>> described(3, {"items": 4, "features": None}, "first")
        'int(first, items=4)'
    """
    named = [f"{name}={value!r}" for name, value in parts.items() if value is not None]
    return f"{type(owner).__name__}({', '.join([first, *named] if first else named)})"


class _CollateTo:
    """Collates samples and moves the tensors to a device."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = device

    def __call__(self, samples: list[Any]) -> list[Any]:
        return [
            part.to(self.device) if isinstance(part, torch.Tensor) else part
            for part in default_collate(samples)
        ]
