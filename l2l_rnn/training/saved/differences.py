"""Differences of a learner and a saved one: in their arguments and in their tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from l2l_rnn.configuration import CONFIGURABLE, differences
from l2l_rnn.errors import ArgumentError

_MOST = 30  # differences in a message


def tensor_differences(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> list[str]:
    """List where the names, shapes and kinds of tensors differ, as `name: saved, own`."""
    found = []
    for name in [*own, *sorted(set(saved) - set(own))]:
        one, other = saved.get(name), own.get(name)
        texts = [_described(one), _described(other)]
        if texts[0] != texts[1]:
            found.append(f"{name}: {texts[0]}, {texts[1]}")
    return found


def _described(tensor: Tensor | None) -> str:
    if tensor is None:
        return "nothing"
    kind = "" if tensor.is_floating_point() else f" {str(tensor.dtype).removeprefix('torch.')}"
    return f"{tuple(tensor.shape)}{kind}"


def refuse(who: str, found: list[str]) -> None:
    """Raise an error that lists all differences.

    Raises:
        ArgumentError: there are some.
    """
    if found:
        more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
        raise ArgumentError(
            f"{who}: the learner must have the saved architecture, but these differ (saved, own): "
            f"{'; '.join(found[:_MOST])}{more}; nothing was loaded: construct it likewise, or omit "
            "model="
        )


def configuration_differences(saved: Any, own: Any) -> list[str]:
    """List the differences of two configurations, as `path: saved, own`.

    An argument that is not given has its default. Unknown classes are compared by their names,
    wherever they are defined.

    Example:
        >>> from l2l_rnn.configuration import configuration_of
        >>> from l2l_rnn.models import SequenceEncoder
        >>> one = configuration_of(SequenceEncoder(input_size=3, pooling="max"))
        >>> other = configuration_of(SequenceEncoder(input_size=3, cell="lstm"))
        >>> configuration_differences(one, other)
        ["pooling: 'max', 'last'"]
    """
    return _listed(saved, own, "")


def _listed(saved: Any, own: Any, path: str) -> list[str]:
    """List differences; of different classes only the names."""
    one, other = _complete(saved), _complete(own)
    if not all(isinstance(side, dict) and "class" in side for side in (one, other)):
        return differences(one, other, path)
    begin = f"{path}." if path else ""
    if one["class"] != other["class"]:
        return [f"{begin}class: {one['class']!r}, {other['class']!r}"]
    found = []
    sides = one["arguments"], other["arguments"]
    for name in dict.fromkeys([*sides[0], *sides[1]]):
        if all(name in side for side in sides):
            found += _listed(sides[0][name], sides[1][name], f"{begin}{name}")
        else:
            held = [{name: side[name]} if name in side else {} for side in sides]
            found += differences(held[0], held[1], path)
    return found


def _complete(value: Any) -> Any:
    """Add the defaults to the arguments, and leave out where unknown classes are defined."""
    if not isinstance(value, dict):
        return value
    if set(value) == {"unknown"}:
        return {"unknown": str(value["unknown"]).rpartition(".")[2]}
    if set(value) == {"class", "arguments"} and isinstance(value["arguments"], dict):
        return {**value, "arguments": {**_defaults(value["class"]), **value["arguments"]}}
    return value


def _defaults(name: Any) -> dict[str, Any]:
    """Return the default arguments of a configurable class that are JSON."""
    cls = CONFIGURABLE.get(name) if isinstance(name, str) else None
    found: dict[str, Any] = {}
    todo = [cls] if cls is not None else []
    while todo:
        parameters = inspect.signature(todo[0]).parameters.values()
        for one in parameters:
            if one.default is None or isinstance(one.default, (bool, int, float, str)):
                found.setdefault(one.name, one.default)
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
        todo = [*todo[0].__mro__[1:2]]  # the parent class takes the other arguments
    return found
