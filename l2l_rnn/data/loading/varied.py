"""Batches of tasks that differ in ways, shots and queries, padded with masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from learn2learn.data import Taskset
from torch import Generator, Tensor
from torch.nn import functional as F

from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.loading.sizes import Sizes, as_range, most
from l2l_rnn.data.loading.streams import (
    AtOnce,
    Draw,
    OneByOne,
    seed_all,
    unchanged_generators,
)
from l2l_rnn.data.sampling import Grouping, draw_distinct
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import SourceTaskset


def draws_items(source: object) -> bool:
    """Return whether items are drawn from the classes of a source with nothing else to consider."""
    if isinstance(source, SequenceDataset):
        return type(source).draw is SequenceDataset.draw and source.groups is None
    if isinstance(source, GroupedDataset):
        return type(source).draw is GroupedDataset.draw and type(source.grouping) is Grouping
    return False


class VariedItems(Draw):
    """Draws tasks of several sizes from a `SequenceDataset` or a `GroupedDataset`."""

    def __init__(self, sizes: Sizes, *given: Any) -> None:
        super().__init__(*given)
        self.sizes = sizes

    def __call__(self, generator: Generator) -> TaskBatch:
        source: Any = self.taskset.source
        ways, shots, queries = self.sizes.draw(self.tasks, generator, self.taskset.ways)
        cells, taking_part, labels = self._classes(ways, generator)
        samples = most(self.sizes.shots) + most(self.sizes.queries or 1)
        items, found = source.grouping.draw_up_to(cells, samples, generator)  # (N, C, samples)
        shots, queries = divide(found, shots.unsqueeze(1), queries.unsqueeze(1))  # (N, C)
        shots, queries = shots * taking_part, queries * taking_part
        places = torch.arange(samples)
        after = places >= shots.unsqueeze(-1)
        sides = {"support": ~after, "query": after & (places < (shots + queries).unsqueeze(-1))}
        parts: dict[str, Any] = {}
        part = slice(*self.part)
        labels = labels.repeat_interleave(samples, 1)  # (N, C * samples)
        items = items.flatten(1)
        seed = str(int(torch.randint(2**63 - 1, (), generator=generator)))
        with unchanged_generators():
            if not source.deterministic:
                seed_all(seed)
            for side, wanted in sides.items():
                order, mask = packed(wanted.flatten(1), int(wanted.sum((1, 2)).max()))
                rows, own = (table.gather(1, order)[part] for table in (items, labels))
                x, y = _load(source, rows, own)
                parts |= {
                    f"{side}_x": x,
                    f"{side}_y": y,
                    f"{side}_indices": rows.to(x.device),
                    f"{side}_mask": None if bool(mask.all()) else mask[part].to(x.device),
                }
        return TaskBatch(**parts)

    def _classes(self, ways: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the classes of each task: their cells, whether they take part, and their labels."""
        source: Any = self.taskset.source
        counts: Tensor = source.grouping.counts
        least, width = as_range(self.sizes.ways or self.taskset.ways)
        wanted = 2  # at least one example for either side
        if not self.sizes.imbalanced:
            wanted = most(self.sizes.shots) + most(self.sizes.queries or 1)
        columns = torch.arange(width)
        if isinstance(source, SequenceDataset):
            eligible = (counts >= wanted).nonzero().squeeze(-1)
            drawn = draw_distinct(torch.tensor([len(eligible)] * self.tasks), width, generator)
            taking_part = columns < ways.unsqueeze(1)
            return eligible[drawn], taking_part, columns.expand(self.tasks, -1)
        kinds = 1 if source.classes is None else len(source.classes)
        fits = (counts >= wanted).unflatten(0, (-1, kinds))  # (G, kinds)
        candidates = (fits.sum(1) >= least).nonzero().squeeze(-1)
        groups = candidates[torch.randint(len(candidates), (self.tasks,), generator=generator)]
        able = fits[groups]
        ways = ways.minimum(able.sum(1))
        keys = torch.rand(able.shape, generator=generator).masked_fill(~able, 2.0)
        chosen = keys.argsort(1).argsort(1) < ways.unsqueeze(1)
        order = (~chosen).long().sort(dim=1, stable=True).indices[:, :width]
        cells = groups.unsqueeze(1) * kinds + order
        return cells, columns < ways.unsqueeze(1), columns.expand(self.tasks, -1)


class Cut(Draw):
    """Draws tasks of the largest size, and leaves out a part of each."""

    def __init__(self, sizes: Sizes, inner: Draw) -> None:
        given = inner.taskset, inner.tasks, inner.shots, inner.queries, inner.part, inner.seed
        super().__init__(*given)
        self.inner, self.sizes = inner, sizes

    def __call__(self, generator: Generator) -> TaskBatch:
        self.inner.seed = self.seed
        ways, shots, queries = self.sizes.draw(self.tasks, generator, 1)
        numbers = None
        if isinstance(self.sizes.ways, tuple):
            keys = torch.rand(self.tasks, most(self.sizes.ways), generator=generator)
            numbers = _renumbered(keys, ways)[slice(*self.part)]
        batch: TaskBatch = self.inner(generator)
        y = batch.support_y
        by_class = y.ndim == 2 and not (y.is_floating_point() or y.is_complex())
        if isinstance(self.taskset, SourceTaskset):
            by_class = self.taskset.source.classes is not None
        if numbers is None:
            ways = torch.full_like(ways, len(y[0].unique()) if by_class else 1)
        if self.sizes.queries is None:  # all remaining ones
            queries = torch.full_like(queries, batch.query_y.shape[1])
        for side, limit in (("support", shots), ("query", queries)):
            batch = self._cut(batch, side, limit, ways * limit, numbers, by_class)
        return batch

    def _cut(
        self,
        batch: TaskBatch,
        side: str,
        limit: Tensor,
        counts: Tensor,
        numbers: Tensor | None,
        by_class: bool,
    ) -> TaskBatch:
        """Keep the first rows of each class, or of each task without classes.

        Args:
            batch: the tasks of this rank, of the largest size.
            side: the set to cut.
            limit: the number of rows to keep per class, of all tasks.
            counts: the number of examples that remain in each task, of all tasks.
            numbers: the new number of each class, or -1 for a class to leave out; None keeps all.
            by_class: whether the targets are classes.
        """
        y: Tensor = getattr(batch, f"{side}_y")
        kept = torch.ones(y.shape[:2], dtype=torch.bool, device=y.device)
        if by_class:
            members = F.one_hot(y)
            place = (members.cumsum(1) * members).sum(-1)  # from 1, within the class
            if numbers is not None:
                y = numbers.to(y.device).gather(1, y)
                kept = y >= 0
        else:
            place = torch.arange(1, y.shape[1] + 1, device=y.device).expand(len(y), -1)
        kept = kept & (place <= limit[slice(*self.part)].to(y.device).unsqueeze(1))
        # All ranks pad to the largest task of the batch, wherever it is.
        width = min(int(counts.max()), y.shape[1])
        order, mask = packed(kept, width)
        task = torch.arange(len(batch), device=y.device).unsqueeze(1)
        full = bool((counts >= width).all())
        parts: dict[str, Any] = {f"{side}_y": y[task, order]}
        parts[f"{side}_mask"] = None if full else mask
        for name in (f"{side}_x", f"{side}_indices"):
            held = getattr(batch, name)
            parts[name] = None if held is None else held[task, order]
        return replace(batch, **parts)


def draw_of(
    sizes: Sizes,
    taskset: Taskset,
    tasks: int,
    part: tuple[int, int],
    seed: int,
    *,
    at_once: bool,
    first: int | None = None,
) -> Draw:
    """Return what draws the batches of a loader.

    Args:
        sizes: the sizes of the tasks.
        taskset, tasks, part, seed: as in `Draw`.
        at_once: whether the source draws N tasks at once.
        first: the first task to draw, to draw each of a fixed number of tasks once; None draws
            tasks at random.
    """
    queries = None if sizes.queries is None else most(sizes.queries)
    given = taskset, tasks, most(sizes.shots), queries, part, seed
    if not sizes.vary:
        return AtOnce(*given) if at_once else OneByOne(*given, first=first)
    if isinstance(taskset, SourceTaskset) and taskset.endless and draws_items(taskset.source):
        return VariedItems(sizes, *given)
    return Cut(sizes, AtOnce(*given) if at_once else OneByOne(*given, first=first))


def divide(found: Tensor, shots: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """Divide the items of classes into support and query items.

    A class with too few items has both in about the wanted proportion, and at least one of each.

    Args:
        found: the number of items, at least 2 for a class that takes part.
        shots, queries: the wanted numbers.

    Shapes:
        all `(…)`, broadcast against each other.

    Example:
        >>> divide(torch.tensor([20, 9, 2]), torch.tensor(5), torch.tensor(10))
        (tensor([5, 3, 1]), tensor([10,  6,  1]))
    """
    share = (found * shots / (shots + queries)).round().long()
    few = share.clamp_min(1).minimum((found - 1).clamp_min(0)).minimum(shots)
    support = torch.where(found < shots + queries, few, shots)
    return support, queries.minimum(found - support)


def packed(kept: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the order that puts rows to keep first and then repeats the first of them.

    Args:
        kept: the rows to keep.
        width: the number of rows to return.

    Returns:
        The order, and a mask of the rows that are not repeated.

    Shapes:
        kept `(N, B)` -> `(N, width)` each.

    Example:
        >>> packed(torch.tensor([[False, True, True, False]]), 3)
        (tensor([[1, 2, 1]]), tensor([[ True,  True, False]]))
    """
    order = (~kept).long().sort(dim=1, stable=True).indices[:, :width]
    mask = torch.arange(width, device=kept.device) < kept.sum(1, keepdim=True)
    return torch.where(mask, order, order[:, :1]), mask


def _load(source: Any, rows: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if isinstance(source, SequenceDataset):
        device = source.sequences.device
        return source._load(rows.to(device)), labels.to(device)
    rows = rows.to(source.inputs.device)
    x = source.inputs.index_select(0, rows.flatten()).unflatten(0, rows.shape)
    if source.classes is not None:
        return x, labels.to(x.device)
    return x, source.targets.index_select(0, rows.flatten()).unflatten(0, rows.shape)


def _renumbered(keys: Tensor, ways: Tensor) -> Tensor:
    """Choose classes at random, and return the new number of each class, or -1, `(N, C)`."""
    chosen = keys.argsort(1).argsort(1) < ways.unsqueeze(1)
    return torch.where(chosen, chosen.cumsum(1) - 1, -1)
