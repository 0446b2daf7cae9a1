"""Tensors in nested arguments, results and attributes: tuples, lists, dictionaries, dataclasses."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from l2l_rnn.errors import ArgumentTypeError


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Replace every tensor in a nested value; everything else stays the same object.

    Args:
        function: called with each tensor, in a fixed order.
        value: a tensor, or a tuple, named tuple, list, dictionary or dataclass that holds tensors
            at any depth. Other objects are not searched.

    Raises:
        ArgumentTypeError: there is a `PackedSequence`, which cannot have a task axis.

    Example:
        >>> import torch
        >>> map_tensors(len, {"a": [torch.zeros(3), None], "b": 2})
        {'a': [3, None], 'b': 2}
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, PackedSequence):
        raise ArgumentTypeError(
            "clone(tasks=N): a PackedSequence has no task axis; pass the padded (N, B, S, F) "
            "tensor and its lengths"
        )
    if isinstance(value, tuple):
        parts = [map_tensors(function, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, list):
        return [map_tensors(function, part) for part in value]
    if isinstance(value, dict):
        made: Any = copy.copy(value)  # keeps the order and the type, such as OrderedDict
        for key, part in value.items():
            made[key] = map_tensors(function, part)
        return made
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        made = copy.copy(value)
        for field in dataclasses.fields(value):
            if hasattr(value, field.name):
                part = map_tensors(function, getattr(value, field.name))
                object.__setattr__(made, field.name, part)
        return made
    return value


def tensors_in(value: Any) -> list[Tensor]:
    """Return the tensors in a nested value, in the order of `map_tensors`."""
    found: list[Tensor] = []
    map_tensors(found.append, value)
    return found


def with_tensors(value: Any, tensors: list[Tensor]) -> Any:
    """Return a nested value with other tensors, which are taken from the front of a list."""
    return map_tensors(lambda _: tensors.pop(0), value)
