"""The tasks of an evaluation: drawn in one order whatever their number at once, and identified."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from learn2learn.data import Taskset
from torch import Generator, Tensor

from l2l_rnn.algorithms.saving import usable
from l2l_rnn.checks import check_int
from l2l_rnn.data import SourceTaskset, TaskBatch, TaskLoader, TaskSource
from l2l_rnn.data.loading.sizes import Count
from l2l_rnn.data.loading.varied import draw_of
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets.task_family import TaskFamily
from l2l_rnn.training.support import check_filled

# Tasks drawn at once. What is drawn depends on this number, so it is always the same.
_BLOCK = 20


class EvaluationTasks:
    """Draws the tasks of an evaluation, always the same ones for the same arguments.

    Args:
        who: begins error messages.
        taskset, shots, tasks, ways, queries, seed, imbalanced: as in `evaluate`.
        first_shots: keeps only the first support examples of each class, or of each task if there
            are no classes; None keeps all.

    Attributes:
        count: the number of tasks.
        source: the source of the tasks, if it is one of this package.
        settings: the settings that determine the tasks.
        first: the first tasks.
    """

    def __init__(
        self,
        who: str,
        taskset: Any,
        shots: Any,
        tasks: int,
        ways: Any,
        queries: Any,
        seed: int,
        imbalanced: bool = False,
        *,
        first_shots: int | None = None,
    ) -> None:
        self.count = check_int(who, "tasks", tasks)
        self.source: TaskSource | None = None
        self.settings: dict[str, Any] = {"seed": seed}
        given = {"shots": shots, "ways": ways, "queries": queries, "imbalanced": imbalanced or None}
        given = {name: value for name, value in given.items() if value is not None}
        batches = [taskset] if isinstance(taskset, TaskBatch) else taskset
        if isinstance(batches, Sequence) and batches and isinstance(batches[0], TaskBatch):
            _check_none(who, "task batches", given)
            self.count = min(self.count, sum(map(len, batches)))
            blocks: Iterator[TaskBatch] = (one._map(usable) for one in batches)
            self.settings |= {"taskset": "task batches", "seed": None}
        elif isinstance(taskset, TaskLoader):
            _check_none(who, "a TaskLoader", given)
            blocks = taskset.restarted()
            self._describe(taskset)
        else:
            if shots is None:
                raise ArgumentError(
                    f"{who}: shots must be given, unless the tasks come from a TaskLoader or from "
                    "batches, got None; set it, for example shots=5"
                )
            loader = TaskLoader(
                taskset, _BLOCK, shots, queries, ways=ways, imbalanced=imbalanced, seed=seed
            )
            blocks = self._blocks(loader)
        if first_shots is not None:
            self.settings["shots"] = first_shots
            blocks = (first_support(block, first_shots) for block in blocks)
        self.first = next(blocks)
        self._blocks_left: Iterator[TaskBatch] = blocks
        self._digest = hashlib.blake2b(digest_size=16)
        self.settings["tasks"] = self.count

    def _blocks(self, loader: TaskLoader) -> Iterator[TaskBatch]:
        """Return batches of as many tasks as are always drawn at once."""
        self._describe(loader)
        number = loader.taskset.num_tasks
        if number == -1:
            return loader
        self.count = min(self.count, number)
        return self._fixed(loader, number)

    def _fixed(self, loader: TaskLoader, number: int) -> Iterator[TaskBatch]:
        """Yield each task of a task set with a fixed number of tasks once."""
        generator = Generator().manual_seed(loader.seed)
        for first in range(0, number, _BLOCK):
            size = min(_BLOCK, number - first)
            draw = draw_of(
                loader.sizes,
                loader.taskset,
                size,
                (0, size),
                loader.seed,
                at_once=False,
                first=first,
            )
            yield draw(generator)

    def _describe(self, loader: TaskLoader) -> None:
        taskset = loader.taskset
        self.source = taskset.source if isinstance(taskset, SourceTaskset) else None
        self.settings |= {
            "taskset": _name(taskset, self.source),
            **{name: _listed(getattr(loader, name)) for name in ("ways", "shots", "queries")},
            "seed": loader.seed,
        }
        if loader.imbalanced:
            self.settings["imbalanced"] = True

    @property
    def family(self) -> TaskFamily | None:
        """The family of the tasks, or None."""
        return self.source if isinstance(self.source, TaskFamily) else None

    @property
    def fingerprint(self) -> str:
        """Identifies the tasks that were drawn."""
        return self._digest.hexdigest()

    def batches(self, size: int, device: torch.device) -> Iterator[TaskBatch]:
        """Yield all tasks, `size` at a time, on a device. May be called once."""
        held: list[TaskBatch] = []
        for block in self._counted():
            if held and any(
                a.shape[2:] != b.shape[2:] for a, b in zip(held[0], block, strict=True)
            ):
                yield TaskBatch.joined(held).to(device)
                held = []
            held.append(block)
            while sum(map(len, held)) >= size:
                joined = TaskBatch.joined(held)
                yield joined.slice(0, size).to(device)
                held = [joined.slice(size, len(joined))] if len(joined) > size else []
        if held:
            yield TaskBatch.joined(held).to(device)

    def _counted(self) -> Iterator[TaskBatch]:
        left = self.count
        for block in itertools.chain([self.first], self._blocks_left):
            block = block.slice(0, left)
            self._add(block)
            left -= len(block)
            yield block
            if left == 0:
                return

    def _add(self, block: TaskBatch) -> None:
        """Add tasks to the fingerprint, one after the other, so that batch sizes do not matter."""
        masks = block.support_mask, block.query_mask
        for n in range(len(block)):
            for parts, mask in (((0, 1), masks[0]), ((2, 3), masks[1])):
                for part in (list(block)[i][n] for i in parts):
                    rows = part if mask is None else part[mask[n]]
                    self._digest.update(f"{tuple(rows.shape)} {rows.dtype}".encode())
                    self._digest.update(_bytes(rows))


def has_classes(y: Tensor) -> bool:
    """Return whether targets are classes: one integer for each example."""
    return y.ndim == 2 and not (y.is_floating_point() or y.is_complex())


def first_support(batch: TaskBatch, shots: int) -> TaskBatch:
    """Return the tasks with the first support examples of each class.

    Args:
        batch: the tasks.
        shots: support examples per class, or per task if the targets are not classes. A class with
            fewer examples keeps them all.

    Example:
        >>> x, y = torch.arange(6).view(1, 6, 1), torch.tensor([[0, 0, 1, 1, 1, 0]])
        >>> first_support(TaskBatch(x, y, x, y), 2).support_x.flatten()
        tensor([0, 1, 2, 3])
    """
    y, mask = batch.support_y, batch.support_mask
    real = torch.ones(y.shape[:2], dtype=torch.bool, device=y.device) if mask is None else mask
    before = real.unsqueeze(1).expand(-1, y.shape[1], -1).tril(-1)  # (N, B, B)
    if has_classes(y):
        before = before & (y.unsqueeze(2) == y.unsqueeze(1))
    kept = real & (before.sum(-1) < shots)
    counts = kept.sum(1)
    rows = (~kept).long().argsort(dim=1, stable=True)[:, : int(counts.max())]
    task = torch.arange(len(batch), device=y.device).unsqueeze(1)
    places = batch.support_indices
    return replace(
        batch,
        support_x=batch.support_x[task, rows],
        support_y=y[task, rows],
        support_indices=None if places is None else places[task, rows],
        support_mask=None if bool((counts == counts[0]).all()) else kept[task, rows],
    )


def check_tasks(who: str, batch: TaskBatch, classes: bool) -> None:
    """Check that tasks can be evaluated.

    Args:
        who: begins the error message.
        batch: the first tasks.
        classes: whether the targets are classes.

    Raises:
        DataError: a support or query set is empty, or all tasks have a single class.
    """
    for side in ("support", "query"):
        check_filled(who, side, getattr(batch, f"{side}_x"), getattr(batch, f"{side}_mask"))
    if classes:
        labels = batch.query_y
        if batch.query_mask is not None:
            labels = torch.where(batch.query_mask, labels, labels[:, :1])
        if bool((labels == labels[:, :1]).all()):
            raise DataError(
                f"{who}: tasks must have at least 2 classes, got 1, for which every prediction is "
                "right; set ways=2 or more"
            )


def _check_none(who: str, what: str, given: dict[str, Any]) -> None:
    if given:
        raise ArgumentError(
            f"{who}: {', '.join(given)} must be None with {what}, which sets the sizes of the "
            f"tasks, got {', '.join(f'{n}={v!r}' for n, v in given.items())}; leave them out"
        )


def _listed(count: Count | None) -> int | list[int] | None:
    return list(count) if isinstance(count, tuple) else count


def _name(taskset: Taskset, source: TaskSource | None) -> str:
    named = repr(taskset if source is None else source)
    return named if " object at " not in named else type(taskset).__name__


def _bytes(tensor: Tensor) -> bytes:
    whole = tensor.detach().cpu().contiguous()
    return whole.flatten().view(torch.uint8).numpy().tobytes() if whole.numel() else b""
