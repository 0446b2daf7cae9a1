"""Batches of whole tasks, support and query apart, on the task axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from learn2learn.data import Taskset
from torch import Tensor

from l2l_rnn.errors import ArgumentError, DataError


@dataclass(frozen=True)
class TaskBatch:
    """Holds the support and query sets of N tasks.

    Attributes:
        support_x, support_y: sequences to adapt to, and their classes.
        query_x, query_y: sequences to be judged on, and their classes.

    Shapes:
        support_x `(N, B, S)` or `(N, B, S, F)`, support_y `(N, B)`, B = ways * shots; the query's
        alike with B = ways * queries.
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
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ArgumentError(f"TaskBatch.chunks: size must be a positive integer, got {size!r}")
        parts = (self.support_x, self.support_y, self.query_x, self.query_y)
        for chunk in zip(*(part.split(size) for part in parts), strict=True):
            yield TaskBatch(*chunk)

    @classmethod
    def of(cls, tasks: Sequence[tuple[Tensor, Tensor]], shots: int) -> TaskBatch:
        """Stack tasks and part each into support and query, class by class.

        Args:
            tasks: pairs of sequences and labels as a Taskset yields them, alike in shape, with the
                same number of examples of each class.
            shots: examples of each class that go to the support set; the first ones.

        Raises:
            ArgumentError: `shots` is not a positive integer.
            DataError: a class has not more examples than shots, or classes differ in number.
        """
        if isinstance(shots, bool) or not isinstance(shots, int) or shots < 1:
            raise ArgumentError(f"TaskBatch: shots must be a positive integer, got {shots!r}")
        if not tasks or len({(x.shape, y.shape) for x, y in tasks}) > 1:
            raise DataError(
                f"TaskBatch: expected one task or more, alike in shape, got the shapes "
                f"{sorted({tuple(x.shape) for x, _ in tasks})}; draw them from one task set"
            )
        x = torch.stack([task[0] for task in tasks])
        y = torch.stack([task[1] for task in tasks])
        ways = len(y[0].unique())
        samples, rest = divmod(y.shape[1], ways)
        order = y.argsort(stable=True, dim=-1)
        by_class = y.gather(1, order)
        balanced = not rest
        if balanced:
            by_class = by_class.unflatten(1, (ways, samples))  # (N, C, samples)
            balanced = bool(
                (by_class.diff(dim=2) == 0).all() and (by_class[..., 0].diff(dim=1) > 0).all()
            )
        if not balanced or samples <= shots:
            raise DataError(
                f"TaskBatch: each class of a task must have the same number of examples, more than "
                f"shots={shots}, got {y.shape[1]} examples of {ways} classes; raise "
                "train_samples or test_samples"
            )
        grouped = order.unflatten(1, (ways, samples))
        parts = []
        for chosen in (grouped[:, :, :shots], grouped[:, :, shots:]):
            chosen = chosen.flatten(1)  # (N, B)
            rows = torch.arange(len(x), device=x.device).unsqueeze(-1)
            parts += [x[rows, chosen], y.gather(1, chosen)]
        return cls(*parts)


def draw_tasks(taskset: Taskset, tasks: int, shots: int) -> TaskBatch:
    """Draw N tasks from a learn2learn Taskset, for a learner made by `clone(tasks=N)`.

    Args:
        taskset: any Taskset whose tasks are alike in shape.
        tasks: `N`.
        shots: examples of each class that go to the support set; the rest are the query set.

    Raises:
        ArgumentError, DataError: as `TaskBatch.of`.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> tasksets = get_tasksets("languages", train_ways=5, train_samples=3)
        >>> batch = draw_tasks(tasksets.train, tasks=4, shots=1)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 5, 32]), torch.Size([4, 10]))
    """
    if isinstance(tasks, bool) or not isinstance(tasks, int) or tasks < 1:
        raise ArgumentError(f"draw_tasks: tasks must be a positive integer, got {tasks!r}")
    return TaskBatch.of([taskset.sample() for _ in range(tasks)], shots)
