"""Ready-made task sets by name, as `learn2learn.vision.benchmarks` has them for images."""

from __future__ import annotations

import difflib
import inspect
import operator
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from learn2learn.data import MetaDataset, Taskset
from learn2learn.data.transforms import ConsecutiveLabels, FusedNWaysKShots, LoadData, RemapLabels
from torch.utils.data import default_collate

from l2l_rnn.data.datasets import SequenceDataset
from l2l_rnn.data.text import CharacterVocabulary
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.registry import Registry
from l2l_rnn.tasksets.languages import Languages


class BenchmarkTasksets(NamedTuple):
    """The three task sets of a benchmark, which share no class.

    Attributes:
        train, validation, test: a learn2learn `Taskset` each.
    """

    train: Taskset
    validation: Taskset
    test: Taskset

    @property
    def vocab_size(self) -> int | None:
        """`V`, the token ids there are, for a model of these tasks; None for real-valued steps."""
        vocabulary = getattr(self.train.dataset.dataset, "vocabulary", None)
        return None if vocabulary is None else len(vocabulary)


Datasets = tuple[SequenceDataset, SequenceDataset, SequenceDataset]

_TASKSETS: Registry[Callable[..., Datasets]] = Registry("task set", "l2l_rnn.tasksets")


def list_tasksets() -> list[str]:
    """Return the names that `get_tasksets` knows.

    Example:
        >>> "languages" in list_tasksets()
        True
    """
    return list(_TASKSETS)


def register_taskset(name: str) -> Callable[[Callable[..., Datasets]], Callable[..., Datasets]]:
    """Return a decorator that makes a factory of datasets known to `get_tasksets`.

    Args:
        name: the name of the task set. A factory takes `root` and its options by keyword, and
            returns a `SequenceDataset` each for train, validation and test. Another package
            announces its factories as entry points of the group `l2l_rnn.tasksets`.

    Raises:
        ArgumentError: the name is taken.
    """
    return _TASKSETS.register(name)


def get_tasksets(
    name: str,
    train_ways: int = 5,
    train_samples: int = 10,
    test_ways: int = 5,
    test_samples: int = 10,
    num_tasks: int = -1,
    root: str | os.PathLike[str] = "~/data",
    device: torch.device | str | None = None,
    **options: Any,
) -> BenchmarkTasksets:
    """Return the meta-train, validation and meta-test task sets of a benchmark.

    A task is a pair of sequences and labels, grouped by class; tasks are drawn by Python's
    `random`, so that `random.seed` fixes them.

    Args:
        name: a name of `list_tasksets()`.
        train_ways: classes in a training task.
        train_samples: samples of each class in a training task, support and query together.
        test_ways: classes in a validation or test task.
        test_samples: samples of each class in a validation or test task.
        num_tasks: how many tasks each set holds; -1 draws new ones for ever.
        root: where the data is stored.
        device: where the tensors live; None leaves them on the CPU.
        **options: what the task set itself takes, such as `scripts="all"` for `"languages"`.

    Shapes:
        sequences of a task: (B, S) or (B, S, F), B = ways * samples.
        labels of a task: (B,), 0 .. C-1, C = ways.

    Raises:
        UnknownNameError: the task set, or an option of it, is not known.
        ArgumentError: a count is not a positive integer.
        DataError: more ways than a split has classes, or more samples than a class has.

    Example:
        >>> tasksets = get_tasksets("languages", test_ways=3, test_samples=4)
        >>> sequences, labels = tasksets.test.sample()
        >>> sequences.shape, labels.unique()
        (torch.Size([12, 32]), tensor([0, 1, 2]))

    Source: S. Arnold et al., 2020, learn2learn, `learn2learn.vision.benchmarks.get_tasksets`; the
    transforms are its own. Labels of a task lie on `device` too; learn2learn's stay on the CPU.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(
            f"get_tasksets: name must be a str, got {type(name).__name__}; "
            f"choose one of: {', '.join(list_tasksets())}"
        )
    factory = _TASKSETS[name]
    _check_options(name, factory, options)
    train_ways = _count("train_ways", train_ways)
    train_samples = _count("train_samples", train_samples)
    test_ways = _count("test_ways", test_ways)
    test_samples = _count("test_samples", test_samples)
    num_tasks = _count("num_tasks", num_tasks, or_endless=True)
    datasets = factory(root=os.path.expanduser(root), **options)
    sizes = (
        ("train", train_ways, train_samples),
        ("test", test_ways, test_samples),
        ("test", test_ways, test_samples),
    )
    parts = []
    for split, dataset, (prefix, ways, samples) in zip(
        BenchmarkTasksets._fields, datasets, sizes, strict=True
    ):
        meta = (dataset if device is None else dataset.to(device)).meta()
        _check_size(name, split, meta, dataset.classes, prefix, ways, samples)
        parts.append((meta, ways, samples))
    collate = default_collate if device is None else _CollateTo(device)
    return BenchmarkTasksets(
        *(
            Taskset(meta, _transforms(meta, ways, samples), num_tasks, task_collate=collate)
            for meta, ways, samples in parts
        )
    )


@register_taskset("languages")
def _languages(
    root: str = "~/data",
    *,
    scripts: str = "latin",
    held_out: Sequence[str] | None = None,
    min_names: int = 60,
    max_length: int = 32,
    vocabulary: CharacterVocabulary | None = None,
) -> Datasets:
    train, validation, test = (
        Languages(
            root,
            mode,
            scripts=scripts,
            held_out=held_out,
            min_names=min_names,
            max_length=max_length,
            vocabulary=vocabulary,
        )
        for mode in BenchmarkTasksets._fields
    )
    return train, validation, test


def _transforms(meta: MetaDataset, ways: int, samples: int) -> list[Callable[..., Any]]:
    return [
        FusedNWaysKShots(meta, n=ways, k=samples),
        LoadData(meta),
        RemapLabels(meta),
        ConsecutiveLabels(meta),
    ]


class _CollateTo:
    """Collates samples and puts the tensors on a device; RemapLabels makes labels plain numbers."""

    def __init__(self, device: torch.device | str) -> None:
        self.device = device

    def __call__(self, samples: list[Any]) -> list[Any]:
        return [
            part.to(self.device) if isinstance(part, torch.Tensor) else part
            for part in default_collate(samples)
        ]


def _count(what: str, value: object, or_endless: bool = False) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < (-1 if or_endless else 1) or count == 0:
        expected = "a positive integer, or -1 for no end" if or_endless else "a positive integer"
        raise ArgumentError(
            f"get_tasksets: {what} must be {expected}, got {value!r}; set {what} to such a number"
        )
    return count


def _check_options(name: str, factory: Callable[..., Datasets], options: dict[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    known = [option for option in parameters if option != "root"]
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, known, n=3)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
            raise UnknownNameError(
                f"get_tasksets: unknown option {option!r} of the task set {name!r}{hint} "
                f"Known: {', '.join(known) or 'none'}"
            )


def _check_size(
    name: str,
    split: str,
    meta: MetaDataset,
    classes: Sequence[str],
    prefix: str,
    ways: int,
    samples: int,
) -> None:
    if ways > len(meta.labels):
        raise DataError(
            f"get_tasksets: {prefix}_ways must be at most {len(meta.labels)}, the classes in the "
            f"{split} split of {name!r}, got {ways}; lower {prefix}_ways"
        )
    label, indices = min(meta.labels_to_indices.items(), key=lambda item: len(item[1]))
    if samples > len(indices):
        raise DataError(
            f"get_tasksets: {prefix}_samples must be at most {len(indices)}, the items of class "
            f"{classes[label]!r} in the {split} split of {name!r}, got {samples}; "
            f"lower {prefix}_samples"
        )
