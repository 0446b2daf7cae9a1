"""Batches of whole tasks, support and query apart, on the task axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from learn2learn.data import Taskset
from torch import Tensor

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError


@dataclass(frozen=True)
class TaskBatch:
    """Holds the support and query sets of N tasks.

    Attributes:
        support_x, support_y: sequences to adapt to, and their classes or other answers.
        query_x, query_y: sequences to be judged on, and their answers.

    Shapes:
        support_x `(N, B, S)` or `(N, B, S, F)`, support_y `(N, B)`, B = ways * shots; the query's
        alike with B = ways * queries. Where tasks have no classes, support_y `(N, B, …)`,
        B = shots.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor

    def __len__(self) -> int:
        """Return `N`."""
        return len(self.support_x)

    def chunks(self, size: int) -> Iterator[TaskBatch]:
        """Yield the tasks `size` at a time, the last time those that are left.

        Gradients of a sum over tasks add up over chunks to those of the whole batch, while memory
        is taken by one chunk at a time.

        Args:
            size: tasks in a chunk; may exceed `N`.

        Raises:
            ArgumentError: `size` is not a positive integer.
        """
        _check_positive("TaskBatch.chunks", "size", size)
        for chunk in zip(*(part.split(size) for part in self._parts()), strict=True):
            yield TaskBatch(*chunk)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TaskBatch:
        """Return the batch on `device`; without waiting for the copy where it is non-blocking."""
        return TaskBatch(*(part.to(device, non_blocking=non_blocking) for part in self._parts()))

    def pin_memory(self) -> TaskBatch:
        """Return the batch in page-locked memory, from which CUDA copies without waiting."""
        return TaskBatch(*(part if part.is_cuda else part.pin_memory() for part in self._parts()))

    def share(self, start: int, stop: int) -> TaskBatch:
        """Return the tasks from `start` up to `stop`, as a slice does."""
        return TaskBatch(*(part[start:stop] for part in self._parts()))

    def _parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.support_x, self.support_y, self.query_x, self.query_y

    @classmethod
    def of(
        cls,
        tasks: Sequence[tuple[Tensor, Tensor]],
        shots: int,
        queries: int | None = None,
        *,
        by_class: bool | None = None,
    ) -> TaskBatch:
        """Stack tasks and part each into support and query, class by class.

        Args:
            tasks: pairs of sequences and labels as a Taskset yields them, alike in shape, with the
                same number of examples of each class.
            shots: examples of each class that go to the support set; the first ones.
            queries: examples of each class that go to the query set, the next ones; None takes all
                that are left.
            by_class: whether the answers are classes; if not, the first `shots` examples of a task
                are its support set. None takes answers for classes where they are one integer each.

        Raises:
            ArgumentError: `shots` or `queries` is not a positive integer.
            DataError: there are no examples left for queries, or classes differ in their number of
                examples.
        """
        _check_positive("TaskBatch", "shots", shots)
        if queries is not None:
            _check_positive("TaskBatch", "queries", queries)
        if not tasks or len({(x.shape, y.shape) for x, y in tasks}) > 1:
            raise DataError(
                f"TaskBatch: expected one task or more, alike in shape, got the shapes "
                f"{sorted({tuple(x.shape) for x, _ in tasks})}; draw them from one task set"
            )
        x = torch.stack([task[0] for task in tasks])
        y = torch.stack([task[1] for task in tasks])
        if by_class is None:
            by_class = y.ndim == 2 and not (y.is_floating_point() or y.is_complex())
        grouped = _by_class(y, shots) if by_class else _in_order(y, shots)  # (N, C, samples)
        samples = grouped.shape[-1]
        last = samples if queries is None else shots + queries
        if last > samples:
            raise DataError(
                f"TaskBatch: shots={shots} and queries={queries} need {last} examples of a class, "
                f"or of a task without classes, got {samples}; raise train_samples or test_samples"
            )
        rows = torch.arange(len(x), device=x.device).unsqueeze(-1)
        parts = []
        for chosen in (grouped[..., :shots], grouped[..., shots:last]):
            chosen = chosen.flatten(1)  # (N, B)
            parts += [x[rows, chosen], y[rows, chosen]]
        return cls(*parts)


def _by_class(y: Tensor, shots: int) -> Tensor:
    """The examples of each class of each task: their places, `(N, C, samples)`."""
    ways = len(y[0].unique())
    samples, rest = divmod(y.shape[1], ways)
    order = y.argsort(stable=True, dim=-1)
    balanced = not rest
    if balanced:
        classes = y.gather(1, order).unflatten(1, (ways, samples))
        balanced = bool(
            (classes.diff(dim=2) == 0).all() and (classes[..., 0].diff(dim=1) > 0).all()
        )
    if not balanced or samples <= shots:
        raise DataError(
            f"TaskBatch: each class of a task must have the same number of examples, more than "
            f"shots={shots}, got {y.shape[1]} examples of {ways} classes; raise "
            "train_samples or test_samples"
        )
    return order.unflatten(1, (ways, samples))


def _in_order(y: Tensor, shots: int) -> Tensor:
    """The examples of each task as they come, `(N, 1, samples)`."""
    if y.ndim < 2 or y.shape[1] <= shots:
        raise DataError(
            f"TaskBatch: a task must have more examples than shots={shots}, got answers of shape "
            f"{tuple(y.shape[1:])}; raise train_samples or test_samples"
        )
    return torch.arange(y.shape[1], device=y.device).expand(len(y), 1, -1)


def _check_positive(who: str, what: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"{who}: {what} must be a positive integer, got {count!r}")


def draw_tasks(taskset: Taskset, tasks: int, shots: int) -> TaskBatch:
    """Draw N tasks from a learn2learn Taskset, for a learner made by `clone(tasks=N)`.

    Args:
        taskset: any Taskset whose tasks are alike in shape.
        tasks: `N`.
        shots: examples of each class that go to the support set; the rest are the query set.

    Raises:
        ArgumentError, DataError: as `TaskBatch.of`; DataError also where tasks keep their halves
            apart, and `shots` is not half of the samples.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> tasksets = get_tasksets("languages", train_ways=5, train_samples=3)
        >>> batch = draw_tasks(tasksets.train, tasks=4, shots=1)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 5, 32]), torch.Size([4, 10]))
    """
    _check_positive("draw_tasks", "tasks", tasks)
    if not isinstance(taskset, Taskset):
        raise ArgumentTypeError(
            f"draw_tasks: taskset must be a learn2learn Taskset, got {type(taskset).__name__}; "
            "pass one of get_tasksets(...), such as .train"
        )
    check_halves("draw_tasks", taskset, shots)
    return TaskBatch.of([taskset.sample() for _ in range(tasks)], shots)


def check_halves(who: str, taskset: Taskset, shots: int) -> None:
    """Refuse shots that would bring samples of the support's half among the queries.

    Raises:
        DataError: the tasks of a source that is `in_halves` would not be parted in their middle.
    """
    source = getattr(taskset, "source", None)
    if getattr(source, "in_halves", False) and shots != taskset.samples // 2:
        raise DataError(
            f"{who}: shots must be {taskset.samples // 2}, half of {taskset.samples} samples, "
            f"where tasks of {type(source).__name__} are drawn one by one, got {shots}; set the "
            f"samples to {2 * shots}, or draw new tasks for ever by a TaskLoader"
        )
