"""Batches of tasks, with support and query sets on the task axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.errors import DataError, ShapeError


@dataclass(frozen=True)
class TaskBatch:
    """Support and query sets of N tasks.

    A batch unpacks as `support_x, support_y, query_x, query_y = batch`. Its length is the number of
    tasks.

    Attributes:
        support_x, support_y: sequences to adapt to, and their classes or other targets.
        query_x, query_y: sequences to evaluate on, and their targets.
        support_indices, query_indices: positions of the examples in the dataset that they were
            drawn from, so `dataset[int(batch.query_indices[n, b])]` is the example in row b of task
            n; None for generated tasks, which have no dataset.
        support_mask, query_mask: True where a row is an example. Rows of padding fill up tasks with
            fewer examples than the largest one of the batch; they repeat an example of their task,
            and learners, losses and scores ignore them. None if every row is an example. Batch
            normalization that computes the statistics of the batch would count the padding, so
            `training.adapted` refuses it.

    Shapes:
        support_x `(N, B, S)` or `(N, B, S, F)` and support_y `(N, B)`, with B = ways * shots;
        query_x and query_y likewise, with B = ways * queries. For tasks without classes, support_y
        is `(N, B, …)` with B = shots, and query_y likewise with B = queries. support_indices and
        query_indices `(N, B)` int64; support_mask and query_mask `(N, B)` bool.

    Example:
        >>> x, y = torch.arange(4).view(1, 4, 1), torch.tensor([[0, 1, 0, 1]])
        >>> batch = TaskBatch(x[:, :2], y[:, :2], x[:, 2:], y[:, 2:])
        >>> support_x, support_y, query_x, query_y = batch
        >>> query_x.flatten(), len(batch)
        (tensor([2, 3]), 1)
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    support_indices: Tensor | None = None
    query_indices: Tensor | None = None
    support_mask: Tensor | None = None
    query_mask: Tensor | None = None

    def __len__(self) -> int:
        """Return `N`."""
        return len(self.support_x)

    def __iter__(self) -> Iterator[Tensor]:
        """Yield `support_x`, `support_y`, `query_x` and `query_y`."""
        yield from (self.support_x, self.support_y, self.query_x, self.query_y)

    def chunks(self, size: int) -> Iterator[TaskBatch]:
        """Yield `size` tasks at a time; the last chunk may be smaller.

        If the loss is a sum over tasks, gradients accumulated over chunks equal those of the whole
        batch, but only one chunk at a time is in memory.

        Args:
            size: tasks per chunk; may exceed `N`.

        Raises:
            ArgumentError: `size` is not a positive integer.
        """
        size = check_int("TaskBatch.chunks", "size", size)
        for start in range(0, len(self), size):
            yield self.slice(start, start + size)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> TaskBatch:
        """Return the batch on `device`; arguments as in `torch.Tensor.to`."""
        return self._map(lambda part: part.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> TaskBatch:
        """Return the batch in page-locked memory, for asynchronous copies to CUDA."""
        return self._map(lambda part: part if part.is_cuda else part.pin_memory())

    def slice(self, start: int, stop: int) -> TaskBatch:
        """Return the tasks from `start` up to, but not including, `stop`."""
        return self._map(lambda part: part[start:stop])

    @classmethod
    def joined(cls, batches: Sequence[TaskBatch]) -> TaskBatch:
        """Return the tasks of several batches as one batch.

        Support or query sets of different sizes are padded to the largest one, with masks.

        Args:
            batches: at least one batch, all of sequences of one shape.

        Raises:
            DataError: there are no batches, or their sequences or targets differ in shape.

        Example:
            >>> x, y = torch.ones(1, 3, 5), torch.zeros(1, 3)
            >>> few = TaskBatch(x[:, :1], y[:, :1], x, y)
            >>> TaskBatch.joined([few, TaskBatch(x, y, x, y)]).support_mask
            tensor([[ True, False, False],
                    [ True,  True,  True]])
        """
        if len(batches) == 1:
            return batches[0]
        shapes = [[part.shape[2:] for part in batch] for batch in batches]
        if not batches or any(shape != shapes[0] for shape in shapes):
            raise DataError(
                "TaskBatch.joined: expected batches of sequences of one shape, got "
                f"{[list(map(tuple, shape)) for shape in shapes]}; pad the sequences"
            )
        parts: dict[str, Any] = {}
        for side in ("support", "query"):
            counts = [getattr(batch, f"{side}_x").shape[1] for batch in batches]
            for name in (f"{side}_x", f"{side}_y", f"{side}_indices"):
                own = [getattr(batch, name) for batch in batches]
                given = all(part is not None for part in own)
                parts[name] = _rows_joined(own, max(counts)) if given else None
            masks = [getattr(batch, f"{side}_mask") for batch in batches]
            parts[f"{side}_mask"] = None
            if len(set(counts)) > 1 or any(mask is not None for mask in masks):
                every = [
                    getattr(batch, f"{side}_x").new_ones(1, dtype=torch.bool) for batch in batches
                ]
                whole = [
                    one.expand(len(batch), count) if mask is None else mask
                    for one, batch, count, mask in zip(every, batches, counts, masks, strict=True)
                ]
                pads = [(0, max(counts) - count) for count in counts]
                parts[f"{side}_mask"] = torch.cat(list(map(torch.nn.functional.pad, whole, pads)))
        return cls(**parts)

    def first_queries(self, count: int, each: int) -> TaskBatch:
        """Return the batch with the first `count` of every `each` rows of the query sets."""

        def first(part: Tensor) -> Tensor:
            return part.unflatten(1, (-1, each))[:, :, :count].flatten(1, 2)

        query = {n: getattr(self, n) for n in ("query_x", "query_y", "query_indices", "query_mask")}
        chosen: dict[str, Any] = {n: p if p is None else first(p) for n, p in query.items()}
        return replace(self, **chosen)

    def _map(self, function: Callable[[Tensor], Tensor]) -> TaskBatch:
        parts: dict[str, Any] = {}
        for field in fields(self):
            part = getattr(self, field.name)
            parts[field.name] = None if part is None else function(part)
        return TaskBatch(**parts)

    @classmethod
    def from_tasks(
        cls,
        tasks: Sequence[tuple[Tensor, Tensor]],
        shots: int,
        queries: int | None = None,
        *,
        by_class: bool | None = None,
        indices: Sequence[Tensor | Sequence[int]] | None = None,
    ) -> TaskBatch:
        """Stack tasks, and split each into support and query set.

        Args:
            tasks: pairs of sequences and targets, as returned by a Taskset, of equal shapes and
                with the same number of examples per class.
            shots: number of support examples per class; they come first.
            queries: number of query examples per class; None uses all remaining examples.
            by_class: whether the targets are classes. If not, the first `shots` examples of a task
                are its support set. None means True if there is one integer target per example.
            indices: positions of each task's examples in their dataset, `(examples,)` int64 each;
                None if they are unknown.

        Raises:
            ArgumentError: `shots` or `queries` is not a positive integer.
            ShapeError: `indices` do not match the examples.
            DataError: no examples are left for the query set, or classes differ in their number of
                examples.

        Example:
            >>> x, y = torch.arange(6).view(6, 1), torch.tensor([0, 1] * 3)
            >>> batch = TaskBatch.from_tasks([(x, y)], shots=1)
            >>> batch.support_x.flatten().tolist(), batch.query_x.flatten().tolist()
            ([0, 1], [2, 4, 3, 5])
        """
        shots = check_int("TaskBatch", "shots", shots)
        if queries is not None:
            queries = check_int("TaskBatch", "queries", queries)
        if not tasks or len({(x.shape, y.shape) for x, y in tasks}) > 1:
            raise DataError(
                "TaskBatch: expected at least one task, all of the same shape, got shapes "
                f"{sorted({tuple(x.shape) for x, _ in tasks})}; draw them from one task set"
            )
        x = torch.stack([task[0] for task in tasks])
        y = torch.stack([task[1] for task in tasks])
        places = None if indices is None else _stacked(indices, x)
        if by_class is None:
            by_class = y.ndim == 2 and not (y.is_floating_point() or y.is_complex())
        grouped = _by_class(y, shots) if by_class else _in_order(y, shots)  # (N, C, samples)
        samples = grouped.shape[-1]
        last = samples if queries is None else shots + queries
        if last > samples:
            raise DataError(
                f"TaskBatch: shots={shots} and queries={queries} require {last} examples per class "
                f"(per task without classes), got {samples}; raise train_samples or test_samples"
            )
        rows = torch.arange(len(x), device=x.device).unsqueeze(-1)
        parts, found = [], []
        for chosen in (grouped[..., :shots], grouped[..., shots:last]):
            chosen = chosen.flatten(1)  # (N, B)
            parts += [x[rows, chosen], y[rows, chosen]]
            found.append(None if places is None else places[rows, chosen])
        return cls(*parts, *found)


def _rows_joined(parts: Sequence[Tensor], rows: int) -> Tensor:
    """Join parts `(N, B, …)` after repeating the first row of each task up to `rows` rows."""
    return torch.cat(
        [
            torch.cat([part, part[:, :1].expand(-1, rows - part.shape[1], *part.shape[2:])], 1)
            for part in parts
        ]
    )


def _stacked(indices: Sequence[Tensor | Sequence[int]], x: Tensor) -> Tensor:
    """Return the indices of all tasks as one tensor, `(N, examples)`."""
    shapes = [np.shape(part) for part in indices]
    if shapes != [tuple(x.shape[1:2])] * len(x):
        raise ShapeError(
            f"TaskBatch: indices must be {len(x)} lists or tensors of shape ({x.shape[1]},), got "
            f"shapes {shapes}; pass one index for each example"
        )
    return torch.tensor(np.asarray(indices, np.int64), device=x.device)  # a copy


def _by_class(y: Tensor, shots: int) -> Tensor:
    """Return the positions of each class's examples in each task, `(N, C, samples)`."""
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
    """Return the positions of each task's examples in order, `(N, 1, samples)`."""
    if y.ndim < 2 or y.shape[1] <= shots:
        raise DataError(
            f"TaskBatch: a task must have more examples than shots={shots}, got targets of shape "
            f"{tuple(y.shape[1:])}; raise train_samples or test_samples"
        )
    return torch.arange(y.shape[1], device=y.device).expand(len(y), 1, -1)
