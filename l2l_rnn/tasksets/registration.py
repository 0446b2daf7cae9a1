"""Registration of dataset classes and task families as task sets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.data.task_source import TaskSource
from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets.catalog import Factory, Sources, register_taskset
from l2l_rnn.tasksets.task_family import TaskFamily

Source = TypeVar("Source", bound=TaskSource)
Family = TypeVar("Family", bound=TaskFamily)


def register_dataset(
    name: str, card: TaskCard | None = None
) -> Callable[[type[Source]], type[Source]]:
    """Return a class decorator that registers a dataset for `get_tasksets`.

    The class is called once per split, with the arguments `root` and `split`. Its keyword-only
    arguments are the options of the task set.

    Args:
        name: name of the task set.
        card: description of the task set, shown by `list_tasksets`.

    Raises:
        ArgumentError: the name is already registered, or the class lacks the argument `root` or
            `split`.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets  # "languages" is registered this way
        >>> get_tasksets("languages", held_out=("fi",), test_ways=1).test.source.classes
        ('fi',)
    """

    def register(dataset: type[Source]) -> type[Source]:
        arguments = inspect.signature(dataset).parameters
        for argument in ("root", "split"):
            if argument not in arguments:
                raise ArgumentError(
                    f"register_dataset: {dataset.__name__} must take the argument {argument!r}, "
                    f"got {', '.join(arguments) or 'none'}; add it, or register a function with "
                    "register_taskset"
                )
        make: Callable[..., Source] = dataset

        def factory(root: str = "~/data", **options: Any) -> Sources:
            train, validation, test = (make(root=root, split=split, **options) for split in SPLITS)
            return train, validation, test

        options = [a for a in arguments.values() if a.kind is inspect.Parameter.KEYWORD_ONLY]
        register_taskset(name, card)(_as_if_of(dataset, factory, options))
        return dataset

    return register


def register_family(
    name: str, card: TaskCard | None = None
) -> Callable[[type[Family]], type[Family]]:
    """Return a class decorator that registers a task family for `get_tasksets`.

    The constructor's arguments become the options of the task set, except for `split`. If the
    constructor takes `split`, each split gets its own family.

    Args:
        name: name of the task set.
        card: description of the task set, shown by `list_tasksets`.

    Raises:
        ArgumentError: the name is already registered.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets  # "harmonics" is registered this way
        >>> get_tasksets("harmonics", noise=0.3).train.source
        Harmonics(noise=0.3)
    """

    def register(family: type[Family]) -> type[Family]:
        arguments = inspect.signature(family).parameters
        make: Callable[..., TaskFamily] = family

        def factory(root: str = "~/data", **options: Any) -> Sources:
            if "split" in arguments:
                train, validation, test = (make(**options, split=split) for split in SPLITS)
                return train, validation, test
            shared = make(**options)
            return shared, shared, shared

        options = [a for a in arguments.values() if a.name != "split"]
        register_taskset(name, card)(_as_if_of(family, factory, options))
        return family

    return register


def _as_if_of(source: type, factory: Factory, options: Iterable[inspect.Parameter]) -> Factory:
    """Give a factory the module and name of its class, and the options in its signature.

    `get_tasksets` reads the options off the signature. The registry replaces a factory of the same
    module and name.
    """
    root = inspect.signature(factory).parameters["root"]
    keywords = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in options]
    factory.__signature__ = inspect.Signature([root, *keywords])  # type: ignore[attr-defined]
    factory.__module__, factory.__qualname__ = source.__module__, source.__qualname__
    return factory
