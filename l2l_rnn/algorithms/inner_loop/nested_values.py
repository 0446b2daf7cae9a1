"""Tensors in nested arguments, results and attributes: tuples, lists, dictionaries, dataclasses."""

from __future__ import annotations

import copy
import dataclasses
from collections import UserDict
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from l2l_rnn.errors import ArgumentTypeError


def map_leaves(function: Callable[..., Any], value: Any, *others: Any) -> Any:
    """Replace every leaf of a nested value, all that is no container, by `function(leaf)`.

    Args:
        function: called with each leaf, in a fixed order.
        value: tuples, named tuples, lists, dictionaries and dataclasses at any depth.
        others: more values with the same structure; their leaves are further arguments.

    Raises:
        ArgumentTypeError: there is a `PackedSequence`, which cannot have a task axis.
        ValueError: the structures differ.
    """
    if isinstance(value, PackedSequence):
        raise ArgumentTypeError(
            "clone(tasks=N): a PackedSequence has no task axis; pass the padded (N, B, S, F) "
            "tensor and its lengths"
        )

    def mapped(*parts: Any) -> Any:
        return map_leaves(function, *parts)

    if isinstance(value, tuple):
        made: Any = tuple(map(mapped, *_same_length(value, *others)))
        return type(value)(*made) if hasattr(value, "_fields") else made
    if isinstance(value, list):
        made = copy.copy(value)
        made[:] = map(mapped, *_same_length(value, *others))
        return made
    if isinstance(value, (dict, UserDict)):
        made = copy.copy(value)  # keeps the order and the type, such as OrderedDict
        _same_length(value, *others)
        made.update({key: mapped(value[key], *(each[key] for each in others)) for key in value})
        return made
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for name in [f.name for f in dataclasses.fields(value) if hasattr(value, f.name)]:
            part = mapped(getattr(value, name), *(getattr(each, name) for each in others))
            object.__setattr__(made, name, part)
        return made
    return function(value, *others)


def _same_length(*values: Any) -> tuple[Any, ...]:
    if len({len(value) for value in values}) > 1:
        raise ValueError(f"expected values of the same length, got {[len(v) for v in values]}")
    return values


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Replace every tensor in a nested value; every other leaf stays the same object.

    Args:
        function: called with each tensor, in a fixed order.
        value: as in `map_leaves`.

    Example:
        >>> import torch
        >>> map_tensors(len, {"a": [torch.zeros(3), None], "b": 2})
        {'a': [3, None], 'b': 2}
    """
    return map_leaves(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, value)


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in a nested value, in the order of `map_tensors`."""
    found: list[Tensor] = []
    map_tensors(found.append, value)
    return found


def with_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """Return a nested value with other tensors, which are taken from the front of a list."""
    return map_tensors(lambda _: tensors.pop(0), value)


def check_leaves(who: str, value: Any) -> None:
    """Check that no leaf of a nested value is an iterator or an object that holds tensors.

    Raises:
        ArgumentTypeError: there is one, such as a `torch.distributions.Distribution`.
    """

    def check(leaf: Any) -> None:
        if isinstance(leaf, Iterator):
            raise ArgumentTypeError(
                f"{who}: results and kept attributes must not be iterators, got a "
                f"{type(leaf).__name__}; return a list"
            )
        held = () if isinstance(leaf, Tensor) else getattr(leaf, "__dict__", {}).items()
        names = [name for name, part in held if isinstance(part, Tensor)]
        if names:
            raise ArgumentTypeError(
                f"{who}: results and kept attributes must be tensors, or tuples, lists, "
                f"dictionaries and dataclasses of tensors, got a {type(leaf).__name__} that holds "
                f"{', '.join(names)}; return these tensors, or clone() one task at a time"
            )

    map_leaves(check, value)


def contents(value: Any) -> list[Any]:
    """Return the leaves of a nested value, with the keys and the types of its containers."""
    if isinstance(value, (list, tuple)):
        return [type(value), len(value), *(leaf for part in value for leaf in contents(part))]
    if isinstance(value, (dict, UserDict)):
        return [type(value), *value, *(leaf for part in value.values() for leaf in contents(part))]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [value, *(leaf for part in vars(value).values() for leaf in contents(part))]
    return [value]


def check_inputs(who: str, value: Any, tasks: int) -> None:
    """Check that no leaf of the arguments is an object that holds a tensor `(N, …)`.

    Raises:
        ArgumentTypeError: there is one. Its tensors could not be split into those of the tasks.
    """

    def check(leaf: Any) -> None:
        held = () if isinstance(leaf, Tensor) else getattr(leaf, "__dict__", {}).items()
        names = [n for n, part in held if isinstance(part, Tensor) and part.shape[:1] == (tasks,)]
        if names:
            raise ArgumentTypeError(
                f"{who}: inputs must be tensors, or tuples, lists, dictionaries and dataclasses of "
                f"tensors, got a {type(leaf).__name__} that holds {', '.join(names)} of N={tasks} "
                "tasks; pass these tensors"
            )

    map_leaves(check, value)
