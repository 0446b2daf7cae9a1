"""Registration of a task family as a task set, with the options of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.task_family import TaskFamily

Family = TypeVar("Family", bound=TaskFamily)


def register_family(
    name: str, card: TaskCard | None = None
) -> Callable[[type[Family]], type[Family]]:
    """Return a class decorator that registers a task family for `get_tasksets`.

    The constructor's arguments become the options of the task set. The argument `split` is not an
    option: if the constructor has one, each split gets a family of its own.

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
        options = inspect.signature(family).parameters
        build: Callable[..., TaskFamily] = family

        def factory(root: str = "~/data", **chosen: Any) -> Sources:
            if "split" in options:
                train, validation, test = (build(**chosen, split=split) for split in SPLITS)
                return train, validation, test
            shared = build(**chosen)
            return shared, shared, shared

        root = inspect.signature(factory).parameters["root"]
        keywords = [
            option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for option in options.values()
            if option.name != "split"
        ]
        # `get_tasksets` reads the names of the options off the factory's signature.
        factory.__signature__ = inspect.Signature([root, *keywords])  # type: ignore[attr-defined]
        register_taskset(name, card)(factory)
        return family

    return register
