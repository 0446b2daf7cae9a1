"""Task sets over the datasets and lists that a TaskLoader accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any

import numpy as np
import torch
from learn2learn.data import MetaDataset, Taskset
from learn2learn.data.transforms import ConsecutiveLabels, FusedNWaysKShots, LoadData, RemapLabels
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset

from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.loading.sizes import Sizes, as_range, most
from l2l_rnn.data.loading.varied import draws_items
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.task_source import SourceTaskset, TaskSource
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def as_taskset(given: Any, sizes: Sizes) -> Taskset:
    """Return `given` if it is a Taskset, or a Taskset over it if it is a dataset.

    Args:
        given: a Taskset, a `TaskSource`, a learn2learn `MetaDataset`, a torch `Dataset` or a list
            of pairs of a sequence and its class.
        sizes: the sizes of the tasks; with ways None, a task has all classes. A Taskset has its own
            ways.

    Raises:
        ArgumentTypeError: `given` is something else, or contains something other than pairs.
        ArgumentError: `ways` is invalid, or a dataset is given without `queries`.
        DataError: there are too few classes or examples, or the sequences of a `Dataset` differ in
            shape.
    """
    ways = sizes.ways
    if isinstance(given, Taskset):
        if sizes.imbalanced:
            raise ArgumentError(
                "TaskLoader: imbalanced must be False with a task set, which has a fixed number of "
                "samples per class, got True; pass its dataset, such as taskset.source, with ways "
                "and queries"
            )
        own = given.ways if isinstance(given, SourceTaskset) else "its own"
        if ways is not None and ways != own:
            raise ArgumentError(
                f"TaskLoader: ways is set by the task set, which has {own} ways, got {ways!r}; "
                "leave it out, or pass a dataset"
            )
        return given
    source = _source(given)
    if sizes.queries is None:
        raise ArgumentError(
            "TaskLoader: queries must be given with a dataset, which has no number of samples per "
            "class, got None; set it, for example queries=15"
        )
    samples = most(sizes.shots) + most(sizes.queries)
    if isinstance(source, TaskSource):
        return _over_source(source, sizes, samples)
    if sizes.imbalanced:
        raise _unbalanced_error(given)
    count = None if ways is None else most(ways)
    items = {label: len(items) for label, items in source.labels_to_indices.items()}
    count = len(items) if count is None else count
    smallest = min(items, key=items.__getitem__)
    if count > len(items) or samples > items[smallest]:
        raise DataError(
            f"TaskLoader: ways={count} and shots + queries = {samples} must be at most the "
            f"{len(items)} classes and the {items[smallest]} items of the smallest one, "
            f"{smallest!r}; ask for fewer"
        )
    return Taskset(
        source,
        [
            FusedNWaysKShots(source, n=count, k=samples),
            LoadData(source),
            RemapLabels(source),
            ConsecutiveLabels(source),
        ],
    )


def _over_source(source: TaskSource, sizes: Sizes, samples: int) -> SourceTaskset:
    """Return a task set over a source, with the largest tasks of the sizes."""
    ways = sizes.ways
    if isinstance(ways, tuple) and not isinstance(source, SequenceDataset | GroupedDataset):
        raise ArgumentError(
            f"TaskLoader: ways must be a number with {type(source).__name__}, whose tasks have a "
            f"fixed number of classes, got {ways}; leave it out"
        )
    if not sizes.imbalanced or not isinstance(source, SequenceDataset | GroupedDataset):
        count = _all_ways(source) if ways is None else most(ways)
        if draws_items(source) and isinstance(source, GroupedDataset) and ways is not None:
            count = as_range(ways)[0]  # a group takes part with the classes that it has
        return SourceTaskset(source, count, samples)
    if not draws_items(source):
        raise _unbalanced_error(source)
    if isinstance(source, GroupedDataset):
        return SourceTaskset(source, _all_ways(source) if ways is None else as_range(ways)[0], 2)
    usable = int((source.grouping.counts > 1).sum())
    count = usable if ways is None else most(ways)
    if count > usable or not usable:
        raise DataError(
            f"TaskLoader: ways must be at most {usable}, the number of classes with at least 2 "
            f"items, got {count}; ask for fewer ways"
        )
    return SourceTaskset(source, count, 1)


def _unbalanced_error(given: object) -> ArgumentError:
    return ArgumentError(
        "TaskLoader: imbalanced must be False, or the dataset a SequenceDataset without groups, a "
        f"GroupedDataset or a list of pairs, got {type(given).__name__}; ask for fewer shots and "
        "queries instead"
    )


def _source(given: Any) -> TaskSource | MetaDataset:
    if isinstance(given, TaskSource | MetaDataset):
        return given
    if isinstance(given, list | tuple) and given and all(map(_is_pair, given)):
        given = _Pairs(given)
        padded = given.padded()
        if padded is not None:
            return padded
    if isinstance(given, Dataset) and not isinstance(given, IterableDataset):
        return MetaDataset(given, labels_to_indices=_labels_to_indices(given))
    raise ArgumentTypeError(
        "TaskLoader: taskset must be a learn2learn Taskset, a dataset or a list of (x, y), got "
        f"{_described(given)}; {_fix(given)}"
    )


class _Pairs(Dataset[tuple[Any, Any]]):
    """Pairs of a sequence and its class, in memory."""

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self.x = [_tensor(i, x) for i, (x, _) in enumerate(pairs)]
        self.y = [_label(i, y) for i, (_, y) in enumerate(pairs)]

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.x[index], self.y[index]

    def padded(self) -> SequenceDataset | None:
        """Return the pairs as one padded tensor if all are token ids, or steps of F features."""
        tokens = all(x.ndim == 1 and x.dtype in _INTEGERS and (x >= 0).all() for x in self.x)
        steps = all(x.ndim == 2 and x.is_floating_point() for x in self.x)
        sizes = {x.shape[1:] for x in self.x}
        if not (tokens or steps) or len(sizes) > 1 or not all(map(len, self.x)):
            return None
        found = pad_sequence(self.x, batch_first=True, padding_value=0 if tokens else torch.nan)
        names = sorted(set(self.y), key=lambda y: (isinstance(y, str), y))
        numbers = {name: number for number, name in enumerate(names)}
        labels = torch.tensor([numbers[y] for y in self.y])
        return SequenceDataset(found.long() if tokens else found, labels, list(map(str, names)))


def _tensor(number: int, x: Any) -> Tensor:
    try:
        return torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ArgumentTypeError(
            f"TaskLoader: x of item {number} must be numbers, got {type(x).__name__} "
            f"({error}); encode texts with from_hf or a vocabulary"
        ) from error


def _labels_to_indices(dataset: Any) -> dict[Any, list[int]]:
    """Read a map-style dataset once, and return the items of each class.

    Raises:
        ArgumentTypeError: an item is not a pair, or its class is not an integer or a name.
        DataError: there are no items, or they differ in shape.
    """
    found: dict[Any, list[int]] = {}
    first = None
    try:
        size = len(dataset)
    except TypeError as error:
        raise ArgumentTypeError(
            f"TaskLoader: a dataset must have a length, got {type(dataset).__name__} without one "
            f"({error}); add __len__"
        ) from error
    for number in range(size):
        item = dataset[number]
        if not _is_pair(item):
            raise ArgumentTypeError(
                f"TaskLoader: item {number} of the dataset must be a pair (x, y), got "
                f"{type(item).__name__}; wrap it in a dataset that returns pairs"
            )
        x, y = item
        shape = tuple(_tensor(number, x).shape)
        first = shape if first is None else first
        if shape != first:
            raise DataError(
                f"TaskLoader: all x of a dataset must have one shape, got {first} for item 0 and "
                f"{shape} for item {number}; pad them, or pass list(dataset), whose token ids and "
                "steps are padded"
            )
        found.setdefault(_label(number, y), []).append(number)
    if not found:
        raise DataError("TaskLoader: dataset must have items, got none; add some")
    return found


def _label(number: int, y: Any) -> int | str:
    """Return a class as an int or str."""
    if isinstance(y, np.generic | np.ndarray | Tensor) and len(y.reshape(-1)) == 1:
        y = y.item()
    if isinstance(y, int | str):  # bool is an int
        return y
    came = f"shape {tuple(y.shape)}" if isinstance(y, np.ndarray | Tensor) else type(y).__name__
    raise ArgumentTypeError(
        f"TaskLoader: y of item {number} must be a class, an int or a str, got {came}; for other "
        "targets, use a GroupedDataset"
    )


def _all_ways(source: TaskSource) -> int:
    if isinstance(source, SequenceDataset):
        return len(source.grouping.present)
    classes = 1 if source.classes is None else source.classes
    return len(classes) if isinstance(classes, Sized) else classes


def _is_pair(item: object) -> bool:
    return isinstance(item, list | tuple) and len(item) == 2


def _described(given: object) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}"
    if isinstance(given, list | tuple):
        kinds = dict.fromkeys(type(part).__name__ for part in given)
        return f"a {type(given).__name__} of {' and '.join(kinds) or 'nothing'}"
    return type(given).__name__


def _fix(given: Any) -> str:
    """Return how to pass something else that people have."""
    frames = ("pandas", "polars", "datasets", "pyarrow")
    if isinstance(given, type):
        return "pass an instance"
    if isinstance(given, DataLoader):
        return "pass the dataset that it loads, its attribute dataset"
    if isinstance(given, IterableDataset):
        return "pass list(dataset), if it is finite"
    if type(given).__name__ == "TaskLoader":
        return "pass its attribute taskset"
    if isinstance(given, str):
        return f"pass get_tasksets({given!r}).train"
    if isinstance(given, list | tuple):
        if any(isinstance(part, Taskset | Dataset | TaskSource) for part in given):
            return "pass one of them, such as .train"
        if len(given) == 2 and all(isinstance(part, np.ndarray | Tensor) for part in given):
            return "pass from_arrays(X, y), SequenceDataset(X, y) or list(zip(X, y))"
    if type(given).__module__.partition(".")[0] in frames or isinstance(given, Mapping):
        return "make sources of texts with from_hf, or a dataset of series with from_arrays"
    if isinstance(given, np.ndarray | Tensor):
        return "pass from_arrays(X, y) or SequenceDataset(X, y)"
    return "pass one of get_tasksets(...), such as .train, or a SequenceDataset"
