"""Dataset of examples in groups, such as persons or languages. Each group is a task."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from learn2learn.data import MetaDataset
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor
from torch.utils.data import Dataset

from l2l_rnn.data.padding import check_values
from l2l_rnn.data.sampling import Grouping, draw_distinct
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, TaskSource, check_counts, described
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError


class GroupedDataset(Dataset[tuple[Tensor, Tensor]], TaskSource):
    """Dataset of examples in groups. A task consists of examples from one group.

    If the targets are classes, a task has C of the group's classes, with the same number of
    examples of each. The classes are renumbered 0 .. C-1 in ascending order, so a task with all
    classes keeps their numbers. If the targets are not classes, a task is a random sample of the
    group's examples.

    Args:
        inputs: token ids padded with 0, real-valued features, or steps padded with NaN.
        targets: the classes, or other targets, such as numbers or sequences.
        groups: the group of each example, an index into `group_names`.
        classes: the names of the classes; None if the targets are not classes.
        group_names: the names of the groups; None uses their numbers as names.

    Attributes:
        inputs, targets, groups, classes, group_names: as given.
        grouping: the items by group, and by class if the targets are classes.

    Shapes:
        inputs (items, S) int64, or (items, F) or (items, S, F) floating point; targets (items,)
        int64 if they are classes, else (items, …); groups (items,) int64.

    Raises:
        ArgumentTypeError: an argument is not a tensor of one of these types.
        ShapeError: the numbers of inputs, targets and groups differ.
        ArgumentError: a class or a group is not an index into its names, or a token id is negative.
        DataError: there are no items, or an item contains an infinite value or a NaN before its
            end, or is all padding.

    Example:
        >>> x = torch.randn(8, 3, 2)  # 8 examples of 3 steps with 2 features
        >>> y, person = torch.tensor([0, 0, 1, 1] * 2), torch.arange(2).repeat_interleave(4)
        >>> dataset = GroupedDataset(x, y, person, ("walk", "run"), ("Ada", "Alan"))
        >>> dataset.draw(tasks=5, shots=1, queries=1).support_x.shape
        torch.Size([5, 2, 3, 2])
    """

    classes: tuple[str, ...] | None

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        groups: Tensor,
        classes: Sequence[str] | None = None,
        group_names: Sequence[str] | None = None,
    ) -> None:
        who = type(self).__name__
        _check_items(who, inputs, targets, groups, classes is not None)
        count = int(groups.max()) + 1
        names = tuple(map(str, range(count))) if group_names is None else tuple(group_names)
        _check_range(who, "groups", groups, names)
        self.inputs, self.targets, self.groups = inputs, targets, groups
        self.input_size = inputs.shape[-1] if inputs.is_floating_point() else None
        self.group_names = names
        self.classes = None if classes is None else tuple(classes)
        if self.classes is not None:
            _check_range(who, "targets", targets, self.classes)
        # A cell holds the items of one class in one group. Without classes, all items of a group
        # have the same "kind", so both cases share the drawing code.
        kinds = 1 if self.classes is None else len(self.classes)
        cells = groups * kinds if self.classes is None else groups * kinds + targets
        self.grouping = Grouping(cells, len(names) * kinds)
        self._counts = self.grouping.counts.unflatten(0, (len(names), kinds))  # (G, kinds)

    def __repr__(self) -> str:
        steps = self.inputs.shape[1] if self.inputs.ndim == 3 or self.input_size is None else None
        sizes = {"items": len(self), "steps": steps, "features": self.input_size}
        sizes |= {"classes": None if self.classes is None else len(self.classes)}
        return described(self, {**sizes, "groups": len(self.group_names)})

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]

    def to(self, device: torch.device | str) -> GroupedDataset:
        moved = copy.copy(self)
        moved.inputs, moved.targets = self.inputs.to(device), self.targets.to(device)
        return moved

    def meta(self) -> MetaDataset:
        """Return a learn2learn `MetaDataset` with the groups as its labels."""
        groups = self.groups.cpu().numpy()
        order = np.argsort(groups, kind="stable")
        found, starts = np.unique(groups[order], return_index=True)
        members = np.split(order, starts[1:])
        return MetaDataset(
            self,
            labels_to_indices={
                int(g): items.tolist() for g, items in zip(found, members, strict=True)
            },
        )

    def recipe(self, ways: int, samples: int) -> Recipe:
        return self.meta(), [_OneGroup(self, self._ways(ways), samples)]

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
        ways = self._ways(ways)
        eligible = self._eligible(ways, shots + queries)  # (G, kinds)
        candidates = (eligible.sum(-1) >= ways).nonzero().squeeze(-1)
        groups = candidates[torch.randint(len(candidates), (tasks,), generator=generator)]
        kinds = self._draw_kinds(eligible[groups], ways, generator)  # (N, C)
        cells = groups.unsqueeze(-1) * eligible.shape[1] + kinds
        items = self.grouping.draw(cells, shots + queries, generator)  # (N, C, samples)
        return self._batch(items[..., :shots], items[..., shots:])

    def _batch(self, support: Tensor, query: Tensor) -> TaskBatch:
        """Load items `(N, C, shots)` and `(N, C, queries)`, sorted by class."""
        parts, indices = [], []
        for items in (support, query):
            tasks, ways, each = items.shape
            rows = items.flatten().to(self.inputs.device)
            lead = (tasks, ways * each)
            if self.classes is None:
                targets = self.targets.index_select(0, rows).unflatten(0, lead)
            else:
                targets = torch.arange(ways).repeat_interleave(each).expand(tasks, -1)
            inputs = self.inputs.index_select(0, rows).unflatten(0, lead)
            parts += [inputs, targets.to(self.targets.device)]
            indices.append(rows.unflatten(0, lead))
        return TaskBatch(*parts, *indices)

    @staticmethod
    def _draw_kinds(eligible: Tensor, ways: int, generator: Generator | None) -> Tensor:
        """Draw C of the eligible classes of each task, in ascending order."""
        ranks = draw_distinct(eligible.sum(-1), ways, generator).sort(-1).values
        return eligible.long().argsort(dim=-1, descending=True, stable=True).gather(-1, ranks)

    def _ways(self, ways: int | None) -> int:
        if self.classes is None:
            return 1
        return len(self.classes) if ways is None else ways

    def _eligible(self, ways: int, samples: int) -> Tensor:
        """Return whether each class of each group has `samples` examples or more, `(G, kinds)`."""
        eligible = self._counts >= samples
        most = int(eligible.sum(-1).max())
        if most < ways:
            what, fix = "examples", "ask for fewer samples"
            if self.classes is not None:
                what += f" of each of {ways} classes"
                fix += f", or for at most {most} ways" if most else ""
            raise DataError(
                f"{type(self).__name__}: a group must have at least {samples} {what}, got no such "
                f"group; {fix}"
            )
        return eligible


class _OneGroup:
    """Task transform for learn2learn: examples of one group, balanced by class."""

    def __init__(self, dataset: GroupedDataset, ways: int, samples: int) -> None:
        self.dataset, self.ways, self.samples = dataset, ways, samples
        self.eligible = dataset._eligible(ways, samples)
        self.candidates = (self.eligible.sum(-1) >= ways).nonzero().squeeze(-1).tolist()

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task with Python's `random`, as learn2learn's transforms do."""
        dataset, kinds = self.dataset, self.eligible.shape[1]
        group = random.choice(self.candidates)
        chosen = sorted(random.sample(self.eligible[group].nonzero().flatten().tolist(), self.ways))
        description = []
        for label, kind in enumerate(chosen):
            cell = group * kinds + kind
            start, count = dataset.grouping.starts[cell], int(dataset.grouping.counts[cell])
            for offset in random.sample(range(count), self.samples):
                item = DataDescription(int(dataset.grouping.order[start + offset]))
                item.transforms.append(_Load(dataset, None if dataset.classes is None else label))
                description.append(item)
        return description


class _Load:
    """Loads an example, labeled by its class in the task if there are classes."""

    def __init__(self, dataset: GroupedDataset, label: int | None) -> None:
        self.dataset, self.label = dataset, label

    def __call__(self, index: int) -> tuple[Tensor, Any]:
        x, target = self.dataset[index]
        return x, target if self.label is None else self.label


def _check_items(
    who: str, inputs: Tensor, targets: Tensor, groups: Tensor, classified: bool
) -> None:
    for name, given in {"inputs": inputs, "targets": targets, "groups": groups}.items():
        if not isinstance(given, Tensor):
            raise ArgumentTypeError(
                f"{who}: {name} must be a tensor, got {type(given).__name__}; "
                "use torch.as_tensor, and pad sequences to one length"
            )
    tokens = inputs.ndim == 2 and inputs.dtype == torch.int64
    if not (tokens or (inputs.ndim in (2, 3) and inputs.is_floating_point())):
        raise ShapeError(
            f"{who}: inputs must be (items, S) int64, or (items, F) or (items, S, F) floating "
            f"point, got {tuple(inputs.shape)} {inputs.dtype}; reshape or convert them"
        )
    if len(inputs) == 0:
        raise DataError(f"{who}: expected at least one item, got none; pass some inputs")
    check_values(who, inputs)
    if groups.dtype != torch.int64 or (classified and targets.dtype != torch.int64):
        raise ArgumentTypeError(
            f"{who}: groups and classes must be int64, got {groups.dtype} and {targets.dtype}; "
            "use .long()"
        )
    one_each = groups.shape == inputs.shape[:1] == targets.shape[:1]
    if not one_each or (classified and targets.ndim != 1):
        raise ShapeError(
            f"{who}: expected one group and one target for each of {len(inputs)} inputs, got "
            f"groups {tuple(groups.shape)} and targets {tuple(targets.shape)}; make them match"
        )


def _check_range(who: str, what: str, numbers: Tensor, names: Sequence[str]) -> None:
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or high >= len(names):
        raise ArgumentError(
            f"{who}: {what} must lie in 0 .. {len(names) - 1}, got {low} .. {high}; add the "
            "missing names"
        )
