"""Dataset of labeled sequences. A task consists of examples from some of its classes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from learn2learn.data import MetaDataset
from learn2learn.data.task_dataset import DataDescription
from learn2learn.data.transforms import ConsecutiveLabels, FusedNWaysKShots, LoadData, RemapLabels
from torch import Generator, Tensor
from torch.utils.data import Dataset

from l2l_rnn.data.group_sampling import GroupedClasses
from l2l_rnn.data.padding import check_values
from l2l_rnn.data.sampling import Grouping, draw_distinct
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, TaskSource, check_counts, described
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError

_TOKENS = (torch.int64, torch.int32, torch.int16)


class SequenceDataset(Dataset[tuple[Any, Any]], TaskSource):
    """Dataset of labeled sequences of variable length, in one padded tensor.

    A task has C of the classes, renumbered 0 .. C-1, with the same number of items of each.

    Args:
        sequences: the items: token ids padded with 0, or real-valued steps padded with NaN.
        labels: the class of each item, an index into `classes`.
        classes: the names of the classes; None uses their numbers as names.
        transform: function applied to each sequence on access; None leaves it unchanged.
        target_transform: function applied to each label on access; None leaves it unchanged. It
            affects `dataset[i]`, but not the labels of tasks.
        groups: the group of each item, such as a speaker, a session or an article. The support and
            query set of a task then have no group in common. Tasks drawn one by one, by a
            learn2learn `Taskset`, must be split in the middle: the first `samples // 2` samples of
            each class are the support set. None puts no constraint on the tasks.

    Attributes:
        sequences, labels, classes, transform, target_transform, groups: as given.
        grouping: the items by class.

    Shapes:
        sequences: (items, S) int64, int32 or int16, or (items, S, F) floating point. Token ids keep
            their type and are converted to int64 on access.
        labels, groups: (items,) int64.

    Raises:
        ArgumentTypeError: `sequences`, `labels` or `groups` is not a tensor of one of these types.
        ShapeError: their shapes are not those above.
        DataError: there are no items, or an item contains an infinite value or a NaN before its
            end, or is all padding.
        ArgumentError: a token id is negative, or a label is not an index into `classes`.

    Example:
        >>> sequences = torch.tensor([[3, 4, 0], [5, 0, 0], [4, 4, 3]])
        >>> dataset = SequenceDataset(sequences, torch.tensor([0, 1, 0]), classes=("fi", "et"))
        >>> dataset[1]
        (tensor([5, 0, 0]), 1)
        >>> dataset.meta().labels_to_indices
        {0: [0, 2], 1: [1]}
    """

    classes: tuple[str, ...]

    def __init__(
        self,
        sequences: Tensor,
        labels: Tensor,
        classes: Sequence[str] | None = None,
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        groups: Tensor | None = None,
    ) -> None:
        who = type(self).__name__
        _check_sequences(who, sequences)
        _check_labels(who, "label", labels, len(sequences))
        self._targets: list[int] = labels.tolist()
        count = max(self._targets) + 1
        self.classes = tuple(map(str, range(count))) if classes is None else tuple(classes)
        if min(self._targets) < 0 or count > len(self.classes):
            raise ArgumentError(
                f"{who}: labels must lie in 0 .. {len(self.classes) - 1}, got "
                f"{min(self._targets)} .. {count - 1}; name every class in classes"
            )
        self.sequences = sequences
        self.labels = labels
        self.input_size = sequences.shape[-1] if sequences.is_floating_point() else None
        self.grouping = Grouping(labels, len(self.classes))
        self.transform = transform
        self.target_transform = target_transform
        self.groups = groups
        self.support_is_half = groups is not None
        if groups is not None:
            _check_labels(who, "group", groups, len(sequences))
            self._grouped = GroupedClasses(who, labels, groups, self.classes)

    def __repr__(self) -> str:
        sizes = {"items": len(self), "steps": self.sequences.shape[1], "features": self.input_size}
        sizes |= {"classes": len(self.classes)}
        sizes |= {"groups": None if self.groups is None else self._grouped.count}
        return described(self, sizes)

    def __len__(self) -> int:
        return len(self._targets)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        sequence: Any = _widened(self.sequences[index])
        label: Any = self._targets[index]
        if self.transform is not None:
            sequence = self.transform(sequence)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return sequence, label

    @property
    def deterministic(self) -> bool:
        """Whether the generator passed to `draw` is the only source of randomness.

        A `transform` may use other sources.
        """
        return self.transform is None

    def to(self, device: torch.device | str) -> SequenceDataset:
        """Return a copy of this dataset with its tensors on `device`."""
        moved = copy.copy(self)
        moved.sequences = self.sequences.to(device)
        moved.labels = self.labels.to(device)
        moved.groups = None if self.groups is None else self.groups.to(device)
        return moved

    def meta(self) -> MetaDataset:
        """Return a learn2learn `MetaDataset` over the items, without iterating over them."""
        return MetaDataset(self, labels_to_indices=self.labels_to_indices())

    def recipe(self, ways: int, samples: int) -> Recipe:
        self._check_size(ways, samples)
        dataset = self
        if self.target_transform is not None:  # tasks have their own labels
            dataset = copy.copy(self)
            dataset.target_transform = None
        meta = dataset.meta()
        sampling = FusedNWaysKShots(meta, n=ways, k=samples)
        if self.groups is not None:
            self._grouped.check(1, 1)
            sampling = _AcrossGroups(self._grouped, ways, samples)
        return meta, [
            sampling,
            LoadData(meta),
            RemapLabels(meta),
            ConsecutiveLabels(meta),
        ]

    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        present = self.grouping.present
        tasks, shots, queries, ways = check_counts(
            f"{type(self).__name__}.draw", tasks, shots, queries, ways
        )
        ways = len(present) if ways is None else ways
        self._check_size(ways, shots + queries)
        if self.groups is not None:
            return self._batch(self._grouped.draw(tasks, ways, shots, queries, generator), shots)
        columns = draw_distinct(torch.tensor([len(present)] * tasks), ways, generator)
        items = self.grouping.draw(present[columns], shots + queries, generator)  # (N, C, samples)
        return self._batch(items, shots)

    def _batch(self, items: Tensor, shots: int) -> TaskBatch:
        """Load items `(N, C, samples)`, with labels by position, sorted by class."""
        tasks = len(items)
        parts, indices = [], []
        for chosen in (items[..., :shots], items[..., shots:]):
            rows = chosen.reshape(tasks, -1).to(self.sequences.device)
            labels = torch.arange(rows.shape[1], device=rows.device) // chosen.shape[-1]
            parts += [self._load(rows), labels.expand(tasks, -1)]
            indices.append(rows)
        return TaskBatch(*parts, *indices)

    def _load(self, rows: Tensor) -> Tensor:
        if self.transform is None:
            found = self.sequences.index_select(0, rows.flatten())
            return _widened(found).view(*rows.shape, *found.shape[1:])
        loaded = [
            torch.as_tensor(self.transform(_widened(self.sequences[i]))) for i in rows.flatten()
        ]
        return torch.stack(loaded).unflatten(0, rows.shape)

    def _check_size(self, ways: int, samples: int) -> None:
        counts, present = self.grouping.counts, self.grouping.present
        if ways > len(present):
            raise DataError(
                f"{type(self).__name__}: ways must be at most {len(present)}, the number of "
                f"classes with items, got {ways}; ask for fewer ways"
            )
        fewest = int(counts[self.grouping.smallest])
        if samples > fewest:
            raise DataError(
                f"{type(self).__name__}: samples must be at most {fewest}, the size of class "
                f"{self.classes[self.grouping.smallest]!r}, got {samples}; ask for fewer samples"
            )

    def labels_to_indices(self) -> dict[int, list[int]]:
        """Return the indices of the items of each non-empty class, in ascending order."""
        labels = np.asarray(self._targets)
        order = np.argsort(labels, kind="stable")
        found, starts = np.unique(labels[order], return_index=True)
        groups = np.split(order, starts[1:])
        return {int(label): group.tolist() for label, group in zip(found, groups, strict=True)}


class _AcrossGroups:
    """Task transform for learn2learn: half of each class's samples from groups of their own."""

    def __init__(self, grouped: GroupedClasses, ways: int, samples: int) -> None:
        self.grouped, self.ways = grouped, ways
        self.halves = samples // 2, samples - samples // 2

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task as `draw` does, with a seed from Python's `random`."""
        generator = Generator().manual_seed(random.getrandbits(32))
        items = self.grouped.draw(1, self.ways, *self.halves, generator)
        return [DataDescription(item) for item in items.flatten().tolist()]


def _widened(sequences: Tensor) -> Tensor:
    return sequences if sequences.is_floating_point() else sequences.long()


def _check_sequences(who: str, sequences: Tensor) -> None:
    if not isinstance(sequences, Tensor):
        raise ArgumentTypeError(
            f"{who}: sequences must be one padded tensor, got {type(sequences).__name__}; "
            "pad them to one length first"
        )
    tokens = sequences.ndim == 2 and sequences.dtype in _TOKENS
    steps = sequences.ndim == 3 and sequences.is_floating_point()
    if not (tokens or steps):
        raise ShapeError(
            f"{who}: sequences must be (items, S) int64, int32 or int16, or (items, S, F) floating "
            f"point, got {tuple(sequences.shape)} {sequences.dtype}; reshape or convert them"
        )
    if len(sequences) == 0:
        raise DataError(f"{who}: expected at least one item, got none; pass some sequences")
    check_values(who, sequences)


def _check_labels(who: str, what: str, labels: Tensor, items: int) -> None:
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        came = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise ArgumentTypeError(
            f"{who}: {what}s must be an int64 tensor, got {came}; use "
            f"torch.as_tensor({what}s).long()"
        )
    if labels.shape != (items,):
        raise ShapeError(
            f"{who}: {what}s must have shape ({items},), one for each sequence, got "
            f"{tuple(labels.shape)}; pass one {what} per item"
        )
