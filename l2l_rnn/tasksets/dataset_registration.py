"""Registration of a dataset class as a task set, with the class's own options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.data.task_source import TaskSource
from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets.catalog import Sources, register_taskset

Source = TypeVar("Source", bound=TaskSource)


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
                    f"got the arguments {', '.join(arguments) or 'none'}; add it, or register a "
                    "function with register_taskset"
                )

        def factory(root: str = "~/data", **options: Any) -> Sources:
            make: Callable[..., Source] = dataset
            train, validation, test = (make(root=root, split=split, **options) for split in SPLITS)
            return train, validation, test

        # `get_tasksets` reads the names of the options off the factory's signature.
        options = [a for a in arguments.values() if a.kind is inspect.Parameter.KEYWORD_ONLY]
        root = inspect.signature(factory).parameters["root"]
        factory.__signature__ = inspect.Signature([root, *options])  # type: ignore[attr-defined]
        register_taskset(name, card)(factory)
        return dataset

    return register
