"""What a model keeps between calls: hidden states, caches and buffers, with a task axis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.nested_values import (
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
        self._containers: dict[tuple[int, str], tuple[Any, list[Tensor]]] = {}
        for child in module.modules():
            for own in (child._parameters, child._buffers, vars(child)):
                self._before.append((child, own, dict(own)))
            for name, value in _own_attributes(child):
                if isinstance(value, (list, dict)) and len(value) <= _LONGEST:
                    copied = map_tensors(lambda tensor: tensor, value)
                    self._containers[id(vars(child)), name] = copied, tensors_in(copied)
                    vars(child)[name] = copied

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
            for name, value in own.items():
                if own is vars(child) and name in _INTERNAL:
                    continue
                container, tensors = self._containers.get((id(own), name), (_ABSENT, []))
                if value is before.get(name, _ABSENT):
                    continue
                if value is not container or not _are_same(tensors_in(value), tensors):
                    found.append(((child, own, name), value))
        return found


_ABSENT = object()


def _own_attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in list(vars(module).items()) if name not in _INTERNAL)


def _are_same(some: list[Tensor], others: list[Tensor]) -> bool:
    return len(some) == len(others) and all(a is b for a, b in zip(some, others, strict=True))


def keep(changes: Changes, tensors: list[Tensor]) -> None:
    """Store changed values, with other tensors `(N, …)`, in a tree of modules."""
    for (child, own, name), value in changes:
        own[name] = with_tensors(value, tensors)
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
        if all(isinstance(leaf, Tensor) for leaf in leaves):
            return torch.stack(leaves)
        if all(isinstance(leaf, (int, float)) for leaf in leaves) and len(set(leaves)) > 1:
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
