"""Ready-made task sets by name, as `learn2learn.vision.benchmarks` has them for images."""

from __future__ import annotations

import inspect
import operator
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from l2l_rnn.data import SourceTaskset, TaskCard, TaskSource
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.registry import Registry, hint
from l2l_rnn.tasksets.task_family import TaskFamily


class BenchmarkTasksets(NamedTuple):
    """The three task sets of a benchmark, which share no class, person, language or body.

    Attributes:
        train, validation, test: a learn2learn `Taskset` each.
    """

    train: SourceTaskset
    validation: SourceTaskset
    test: SourceTaskset

    @property
    def vocab_size(self) -> int | None:
        """`V`, the token ids there are, for a model of these tasks; None for real-valued steps."""
        vocabulary = getattr(self.train.source, "vocabulary", None)
        return None if vocabulary is None else len(vocabulary)

    @property
    def input_size(self) -> int | None:
        """`F`, features of a step, for a model of these tasks; None for tokens."""
        source: Any = self.train.source
        found = getattr(source, "input_size", None)  # of a family
        if found is None:
            x = source.sequences if hasattr(source, "sequences") else source.inputs
            found = x.shape[-1] if x.is_floating_point() else None
        return found


Sources = tuple[TaskSource, TaskSource, TaskSource]
Factory = Callable[..., Sources]


class _Entry(NamedTuple):
    factory: Factory
    card: TaskCard | None


# Another package's entry point names its factory, which may carry its card as an attribute.
_TASKSETS: Registry[_Entry | Factory] = Registry("task set", "l2l_rnn.tasksets")


def list_tasksets() -> dict[str, TaskCard | None]:
    """Return the names that `get_tasksets` knows, each with its card where it has one.

    Example:
        >>> "languages" in list_tasksets()
        True
        >>> list_tasksets()["languages"].classes
        (103, 13, 28)
    """
    return {name: _entry(name).card for name in _TASKSETS}


def register_taskset(name: str, card: TaskCard | None = None) -> Callable[[Factory], Factory]:
    """Return a decorator that makes a factory of task sources known to `get_tasksets`.

    Args:
        name: the name of the task set. A factory takes `root` and its options by keyword, and
            returns a `TaskSource` each for train, validation and test. Another package announces
            its factories as entry points of the group `l2l_rnn.tasksets`; such a factory gives
            its card as an attribute `card`.
        card: what `list_tasksets` says of it.

    Raises:
        ArgumentError: the name is taken.
    """

    def add(factory: Factory) -> Factory:
        _TASKSETS.register(name)(_Entry(factory, card))
        return factory

    return add


def _entry(name: str) -> _Entry:
    member = _TASKSETS[name]
    return member if isinstance(member, _Entry) else _Entry(member, getattr(member, "card", None))


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

    A task is a pair of sequences and labels, grouped by class, or of inputs and answers where
    there are no classes; tasks are drawn by Python's `random`, so that `random.seed` fixes them.

    Args:
        name: a name of `list_tasksets()`.
        train_ways: classes in a training task; not looked at where tasks have no classes.
        train_samples: samples of each class in a training task, support and query together; of the
            task where it has no classes.
        test_ways: classes in a validation or test task.
        test_samples: samples of each class in a validation or test task.
        num_tasks: how many tasks each set holds; -1 draws new ones for ever.
        root: where the data is stored.
        device: where the tensors live; None leaves them on the CPU.
        **options: what the task set itself takes, such as `scripts="all"` for `"languages"`.

    Shapes:
        sequences of a task: (B, S) or (B, S, F), B = ways * samples.
        labels of a task: (B,), 0 .. C-1, C = ways.
        answers of a task without classes: (B, …), B = samples.

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
    factory = _entry(name).factory
    _check_options(name, factory, options)
    counts = _counts("get_tasksets", train_ways, train_samples, test_ways, test_samples, num_tasks)
    sources = factory(root=os.path.expanduser(root), **options)
    return _tasksets("get_tasksets", f" of {name!r}", sources, counts, device)


def tasksets_of(
    sources: Sources,
    train_ways: int = 5,
    train_samples: int = 10,
    test_ways: int = 5,
    test_samples: int = 10,
    num_tasks: int = -1,
    device: torch.device | str | None = None,
) -> BenchmarkTasksets:
    """Return the task sets over three sources of your own, as `get_tasksets` does by a name.

    Args:
        sources: what train, validation and test tasks are drawn from, in this order.
        train_ways, train_samples, test_ways, test_samples, num_tasks, device: as `get_tasksets`.

    Raises:
        ArgumentError: a count is not a positive integer, or there are not three sources.
        DataError: more ways than a split has classes, or more samples than a class has.

    Example:
        >>> from l2l_rnn.data import SequenceDataset
        >>> labels = torch.arange(3).repeat_interleave(4)
        >>> sources = [SequenceDataset(torch.ones(12, 7).long(), labels) for _ in range(3)]
        >>> tasksets = tasksets_of(sources, 3, 4, 2, 4)
        >>> tasksets.test.sample()[0].shape
        torch.Size([8, 7])
    """
    sources = tuple(sources)  # type: ignore[assignment] # its length is what is checked
    if len(sources) != 3 or not all(isinstance(source, TaskSource) for source in sources):
        raise ArgumentError(
            "tasksets_of: sources must be three task sources, for train, validation and test, got "
            f"{[type(source).__name__ for source in sources]}; give one for each"
        )
    counts = _counts("tasksets_of", train_ways, train_samples, test_ways, test_samples, num_tasks)
    return _tasksets("tasksets_of", "", sources, counts, device)


def _tasksets(
    who: str,
    whose: str,
    sources: Sources,
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
                f"{who}: {prefix}_ways={ways} and {prefix}_samples={samples} are too many "
                f"for the {split} split{whose}: {error}"
            ) from error
    return BenchmarkTasksets(*tasksets)


def _counts(who: str, *values: int) -> dict[str, int]:
    names = ("train_ways", "train_samples", "test_ways", "test_samples", "num_tasks")
    return {
        name: _count(who, name, value, or_endless=name == "num_tasks")
        for name, value in zip(names, values, strict=True)
    }


def _count(who: str, what: str, value: object, or_endless: bool = False) -> int:
    try:
        count = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        count = 0
    if isinstance(value, bool) or count < (-1 if or_endless else 1) or count == 0:
        expected = "a positive integer, or -1 for no end" if or_endless else "a positive integer"
        raise ArgumentError(
            f"{who}: {what} must be {expected}, got {value!r}; set {what} to such a number"
        )
    return count


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
