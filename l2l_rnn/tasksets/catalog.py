"""Catalog of task sets by name, with the interface of `learn2learn.vision.benchmarks`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch

from l2l_rnn.checks import check_int
from l2l_rnn.data import SourceTaskset, TaskCard, TaskSource
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.registry import Registry, hint
from l2l_rnn.tasksets.task_family import TaskFamily


class BenchmarkTasksets(NamedTuple):
    """The three task sets of a benchmark, without common classes, persons, languages or series.

    Attributes:
        train, validation, test: one learn2learn `Taskset` for each split.
    """

    train: SourceTaskset
    validation: SourceTaskset
    test: SourceTaskset

    @property
    def vocab_size(self) -> int | None:
        """Number of token ids, a model's `vocab_size`; None for real-valued steps."""
        vocabulary = self.train.source.vocabulary
        return None if vocabulary is None else len(vocabulary)

    @property
    def input_size(self) -> int | None:
        """Features of a step, `F`, a model's `input_size`; None for token ids."""
        return self.train.source.input_size


Sources = tuple[TaskSource, TaskSource, TaskSource]
Factory = Callable[..., Sources]

# A factory may have a card, as its attribute `card`.
_TASKSETS: Registry[Factory] = Registry("task set", "l2l_rnn.tasksets")


def list_tasksets() -> dict[str, TaskCard | None]:
    """Return the names accepted by `get_tasksets`, each with its card, or None if it has no card.

    Example:
        >>> "languages" in list_tasksets()
        True
        >>> list_tasksets()["languages"].classes
        (103, 13, 28)
    """
    return {name: getattr(factory, "card", None) for name, factory in _TASKSETS.items()}


def register_taskset(name: str, card: TaskCard | None = None) -> Callable[[Factory], Factory]:
    """Return a decorator that registers a factory of task sources for `get_tasksets`.

    The factory takes `root` and its options as keyword arguments, and returns three `TaskSource`s,
    for train, validation and test. To register a dataset class without a factory, use
    `register_dataset`.

    Other packages can provide a factory as an entry point in the group `l2l_rnn.tasksets`; its
    optional attribute `card` is the card.

    Args:
        name: name of the task set.
        card: description of the task set, shown by `list_tasksets`.

    Raises:
        ArgumentError: the name is already registered.
    """

    def add(factory: Factory) -> Factory:
        _TASKSETS.register(name)(factory)
        if card is not None:
            vars(factory)["card"] = card
        return factory

    return add


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
    """Return the meta-train, meta-validation and meta-test task sets of a benchmark.

    A task is a pair of sequences and labels, sorted by label. If there are no classes, it is a pair
    of inputs and targets. Tasks are drawn with Python's `random`, so `random.seed` makes them
    reproducible.

    Args:
        name: a name listed by `list_tasksets()`.
        train_ways: classes per training task; ignored if there are no classes.
        train_samples: samples per class in a training task, support and query together; samples
            per task if there are no classes.
        test_ways: classes per validation or test task.
        test_samples: samples per class in a validation or test task.
        num_tasks: number of tasks in each set; -1 draws new tasks endlessly.
        root: folder where the data is stored.
        device: device of the tensors; None is the CPU.
        **options: options of the task set, such as `scripts="all"` for `"languages"`.

    Shapes:
        sequences of a task: (B, S) or (B, S, F), B = ways * samples.
        labels of a task: (B,), 0 .. C-1, C = ways.
        targets of a task without classes: (B, …), B = samples.

    Raises:
        UnknownNameError: the task set, or one of its options, is unknown.
        ArgumentError: a count is not a positive integer.
        DataError: a split has too few classes, or a class has too few samples.

    Example:
        >>> tasksets = get_tasksets("languages", test_ways=3, test_samples=4)
        >>> sequences, labels = tasksets.test.sample()
        >>> sequences.shape, labels.unique()
        (torch.Size([12, 32]), tensor([0, 1, 2]))

    Source: S. Arnold et al., 2020, learn2learn, `learn2learn.vision.benchmarks.get_tasksets`, with
    learn2learn's own task transforms. Here `device` also moves the labels, which learn2learn leaves
    on the CPU.
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(
            f"get_tasksets: name must be a str, got {type(name).__name__}; "
            f"choose one of {', '.join(list_tasksets())}"
        )
    factory = _TASKSETS[name]
    _check_options(name, factory, options)
    counts = _check_counts(
        "get_tasksets", train_ways, train_samples, test_ways, test_samples, num_tasks
    )
    sources = factory(root=os.path.expanduser(root), **options)
    return _tasksets("get_tasksets", f" of {name!r}", sources, counts, device)


def tasksets_of(
    sources: Sequence[TaskSource],
    train_ways: int = 5,
    train_samples: int = 10,
    test_ways: int = 5,
    test_samples: int = 10,
    num_tasks: int = -1,
    device: torch.device | str | None = None,
) -> BenchmarkTasksets:
    """Return the task sets of your own sources.

    Args:
        sources: sources of the train, validation and test tasks, in this order.
        train_ways, train_samples, test_ways, test_samples, num_tasks, device: as in `get_tasksets`.

    Raises:
        ArgumentError: a count is not a positive integer, or `sources` are not three sources.
        DataError: a split has too few classes, or a class has too few samples.

    Example:
        >>> from l2l_rnn.data import SequenceDataset
        >>> labels = torch.arange(3).repeat_interleave(4)
        >>> sources = [SequenceDataset(torch.ones(12, 7).long(), labels) for _ in range(3)]
        >>> tasksets = tasksets_of(sources, 3, 4, 2, 4)
        >>> tasksets.test.sample()[0].shape
        torch.Size([8, 7])
    """
    several = isinstance(sources, Iterable) and not isinstance(sources, TaskSource)
    given = tuple(sources) if several else (sources,)
    if len(given) != 3 or not all(isinstance(source, TaskSource) for source in given):
        came = ", ".join(type(source).__name__ for source in given[:10])
        raise ArgumentError(
            "tasksets_of: sources must be three task sources, for train, validation and test, got "
            f"{came or 'none'}; pass one for each, such as the result of from_hf(..., splits=...) "
            "or from_arrays(..., splits=...)"
        )
    counts = _check_counts(
        "tasksets_of", train_ways, train_samples, test_ways, test_samples, num_tasks
    )
    return _tasksets("tasksets_of", "", given, counts, device)


def _tasksets(
    who: str,
    of_name: str,
    sources: Sequence[TaskSource],
    counts: dict[str, int],
    device: torch.device | str | None,
) -> BenchmarkTasksets:
    tasksets = []
    for split, source in zip(BenchmarkTasksets._fields, sources, strict=True):
        prefix = "train" if split == "train" else "test"
        ways, samples = counts[f"{prefix}_ways"], counts[f"{prefix}_samples"]
        if isinstance(source, TaskFamily):
            source = source.for_split(split)
        placed = source if device is None else source.to(device)
        try:
            tasksets.append(SourceTaskset(placed, ways, samples, counts["num_tasks"], device))
        except DataError as error:
            raise DataError(
                f"{who}: {prefix}_ways={ways} or {prefix}_samples={samples} is too large for the "
                f"{split} split{of_name}: {error}{_splits_hint(who, source, ways)}"
            ) from error
    return BenchmarkTasksets(*tasksets)


def _splits_hint(who: str, source: TaskSource, ways: int) -> str:
    """Return the end of the error about a split with too few classes, if the user chose it."""
    classes = source.classes
    if who != "tasksets_of" or not isinstance(classes, Sequence) or len(classes) >= ways:
        return ""
    return ", or give this split more classes with the argument splits= of from_hf or from_arrays"


def _check_counts(
    who: str,
    train_ways: int,
    train_samples: int,
    test_ways: int,
    test_samples: int,
    num_tasks: int,
) -> dict[str, int]:
    ways_and_samples = {
        "train_ways": train_ways,
        "train_samples": train_samples,
        "test_ways": test_ways,
        "test_samples": test_samples,
    }
    counts = {name: check_int(who, name, count) for name, count in ways_and_samples.items()}
    fix = "pass -1 to draw new tasks endlessly"
    if check_int(who, "num_tasks", num_tasks, least=-1, fix=fix) == 0:
        raise ArgumentError(f"{who}: num_tasks must be a positive integer or -1, got 0; {fix}")
    return {**counts, "num_tasks": int(num_tasks)}


def _check_options(name: str, factory: Factory, options: dict[str, Any]) -> None:
    parameters = inspect.signature(factory).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return
    known = [option for option in parameters if option != "root"]
    for option in options:
        if option not in known:
            raise UnknownNameError(
                f"get_tasksets: unknown option {option!r} of the task set {name!r}"
                f"{hint(option, known)} "
                f"Known: {', '.join(known) or 'none'}"
            )
