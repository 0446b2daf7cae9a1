"""What a model keeps between calls: hidden states, caches and buffers, with a task axis."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.nested_values import (
    contents,
    map_leaves,
    map_tensors,
    tensors_in,
    with_tensors,
)
from l2l_rnn.axes import mark_task_axis, names_with_task_axis
from l2l_rnn.errors import ArgumentTypeError, ShapeError

# Attributes of every module, which are not the model's own.
_INTERNAL = frozenset([*vars(nn.Module()), "_names_with_task_axis"])
_LONGEST = 1024  # longer lists and dictionaries, such as vocabularies, are not searched for tensors

Place = tuple[nn.Module, dict[str, Any], str]  # a module, one of its dictionaries, a name
Changes = list[tuple[Place, Any]]


def places_with_task_axis(module: nn.Module) -> list[Place]:
    """Return the places of all values with a task axis in a tree of modules."""
    return [
        (child, own, name)
        for child in module.modules()
        for own in (child._parameters, child._buffers, vars(child))
        for name in names_with_task_axis(child)
        if own.get(name) is not None
    ]


def check_task_axis(who: str, places: list[Place], tasks: int) -> None:
    """Check that the values in the places begin with the task axis.

    Raises:
        ShapeError: one does not, because it was replaced between two calls.
    """
    for child, own, name in places:
        for tensor in tensors_in(own[name]):
            if tensor.shape[:1] != (tasks,):
                raise ShapeError(
                    f"{who}: {type(child).__name__}.{name} must be (N, …) with N={tasks} tasks "
                    f"first, got shape {tuple(tensor.shape)}; add the axis with "
                    f".expand({tasks}, …)"
                )


class Recorder:
    """Records what one call changes in a tree of modules, and undoes it.

    Lists and dictionaries are copied first, so that the call does not change those of other tasks.

    Args:
        module: the root of the tree.
    """

    def __init__(self, module: nn.Module) -> None:
        self._before: list[tuple[nn.Module, dict[str, Any], dict[str, Any]]] = []
        self._copies: dict[int, tuple[Any, list[Any]]] = {}  # by the id of a copied container
        memo: dict[int, Any] = {}  # modules may share a container
        for child in module.modules():
            for own in (child._parameters, child._buffers, vars(child)):
                self._before.append((child, own, dict(own)))
            for name, value in list(vars(child).items()):
                if name not in _INTERNAL and _is_searched(value):
                    if id(value) not in memo:
                        memo[id(value)] = map_tensors(lambda tensor: tensor, value)
                    copied = vars(child)[name] = memo[id(value)]
                    self._copies[id(copied)] = copied, contents(copied)

    def undo(self) -> None:
        """Restore every attribute, parameter and buffer."""
        for _, own, before in self._before:
            own.clear()
            own.update(before)

    def changes(self) -> Changes:
        """Return the attributes and buffers that have changed, with their values."""
        found: Changes = []
        for child, own, before in self._before:
            if own is child._parameters:
                continue
            internal = _INTERNAL if own is vars(child) else frozenset[str]()
            for name in [*own, *(name for name in before if name not in own)]:
                value = own.get(name, DELETED)
                if name in internal or value is before.get(name, DELETED):
                    continue
                copied, content = self._copies.get(id(value), (DELETED, []))
                if value is not copied or not _are_same(contents(value), content):
                    found.append(((child, own, name), value))
        return found


DELETED = object()
"""Stands for the value of an attribute that a call has deleted."""


def _is_searched(value: Any) -> bool:
    """Return whether an attribute may hold tensors that a call changes in place."""
    if not isinstance(value, (list, dict)):
        return False
    if len(value) <= _LONGEST:
        return True
    first = next(iter(value.values() if isinstance(value, dict) else value))
    return isinstance(first, (Tensor, tuple, list, dict))


def _are_same(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(
        a is b or (type(a) is type(b) and not isinstance(a, Tensor) and a == b)
        for a, b in zip(some, others, strict=True)
    )


def keep(changes: Changes, tensors: list[Tensor]) -> None:
    """Store changed values, with other tensors `(N, …)`, in a tree of modules."""
    made: dict[int, Any] = {}
    for (child, own, name), value in changes:
        if value is DELETED:
            own.pop(name, None)
            continue
        # Tensors that are the same for all tasks must not share their memory either.
        new = with_tensors(value, tensors)
        new = map_tensors(lambda t: t.clone() if t.numel() and 0 in t.stride() else t, new)
        own[name] = made.setdefault(id(value), new) if isinstance(value, (list, dict)) else new
        if tensors_in(value):
            mark_task_axis(child, {name})


def stack_values(who: str, values: list[Any]) -> Any:
    """Stack the tensors of one nested value per task: `(…)` -> `(N, …)`.

    Numbers that differ between tasks become a tensor `(N,)`, and numpy arrays are stacked.

    Raises:
        ShapeError: the values of the tasks differ in their structure or in a shape.
        ArgumentTypeError: the tasks have different texts.
    """

    def stack(*leaves: Any) -> Any:
        if len({type(leaf) for leaf in leaves}) > 1 and not all(map(_is_number, leaves)):
            kinds = sorted({type(leaf).__name__ for leaf in leaves})
            raise ValueError(f"the results are {' and '.join(kinds)}")
        if all(isinstance(leaf, Tensor) for leaf in leaves):
            return torch.stack(leaves)
        if all(map(_is_number, leaves)) and len(set(leaves)) > 1:
            return torch.tensor(leaves)
        if all(isinstance(leaf, np.ndarray) for leaf in leaves):
            return np.stack(leaves)
        if isinstance(leaves[0], (str, bytes)) and any(leaf != leaves[0] for leaf in leaves):
            raise ArgumentTypeError(
                f"{who}: a result that is text must be the same for all tasks, got {leaves[0]!r} "
                "and others; return tensors, or clone() one task at a time"
            )
        return leaves[0]

    try:
        return map_leaves(stack, *values)
    except (KeyError, RuntimeError, ValueError, AttributeError) as error:
        raise ShapeError(
            f"{who}: all tasks must give results of the same shapes, got different ones ({error}); "
            "pad them, or clone() one task at a time"
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def stack_changes(who: str, changes: list[Changes]) -> tuple[Changes, list[Tensor]]:
    """Stack what the tasks changed, for `keep`.

    Raises:
        ShapeError: as in `stack_values`; or the tasks changed different attributes.
    """
    places = [place for place, _ in changes[0]]
    keys = [[(id(own), name) for (_, own, name), _ in changed] for changed in changes]
    if any(key != keys[0] for key in keys):
        names = sorted({name for changed in changes for (*_, name), _ in changed})
        raise ShapeError(
            f"{who}: all tasks must set the same attributes, got different ones of "
            f"{', '.join(names)}; set them in every call, or clone() one task at a time"
        )
    columns = zip(*([value for _, value in changed] for changed in changes), strict=True)
    values = [stack_values(who, list(column)) for column in columns]
    return list(zip(places, values, strict=True)), tensors_in(values)
