"""Copies of a model that share its tensors and have other layers in place of some of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrize import is_parametrized
from torch.overrides import TorchFunctionMode

from l2l_rnn.errors import ArgumentTypeError

Finish = Callable[[nn.Module, nn.Module], None]


def held_by(model: nn.Module) -> Iterator[tuple[str, object]]:
    """Yield the paths and values of everything that a model holds, itself and its modules first.

    Lists, tuples, dicts, sets and partial functions are opened, because a model may keep layers and
    tensors in them that are not registered. Each object is yielded once.

    Args:
        model: any module.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3))
        >>> model.others = [nn.Linear(3, 4)]
        >>> [path for path, value in held_by(model) if isinstance(value, nn.Linear)]
        ['0', 'others[0]']
    """
    seen: set[int] = set()
    modules = list(model.named_modules())
    for path, module in modules:
        seen.add(id(module))
        yield path, module
    todo: list[tuple[str, object]] = list(reversed(modules))
    while todo:
        path, value = todo.pop()
        parts = list(_parts(path, value))
        for inner_path, part in parts:
            if id(part) not in seen:
                seen.add(id(part))
                yield inner_path, part
                todo.append((inner_path, part))


def copy_with(
    who: str,
    model: nn.Module,
    classes: Mapping[nn.Module, type[nn.Module]],
    finish: Finish,
    *,
    detach: bool = False,
) -> tuple[nn.Module, list[Any]]:
    """Copy a model in which some layers get another class.

    The copy shares every tensor with the model: parameters, buffers, and tensors with a graph,
    which cannot be copied. All other attributes are copied, hooks included. Every reference to a
    layer, in a list or a bound method too, becomes a reference to its copy.

    Args:
        who: the caller, which begins error messages.
        model: any module.
        classes: the class of the copy, for each layer that gets another one.
        finish: called as `finish(layer, copy)` for each of them; it adapts the copy's attributes.
        detach: whether parameters that are not leaves, as in an adapted model, become leaves with
            the same values.

    Returns:
        The copy, and everything that was copied for it.

    Raises:
        ArgumentTypeError: an attribute of the model cannot be copied.
    """
    memo: dict[int, Any] = {}
    twins = {layer: kind.__new__(kind) for layer, kind in classes.items()}
    memo.update({id(layer): twin for layer, twin in twins.items()})
    if detach:
        for module in model.modules():
            for p in module._parameters.values():
                if p is not None and not p.is_leaf:
                    memo[id(p)] = nn.Parameter(p.detach(), p.requires_grad)
    for _, value in held_by(model):
        if isinstance(value, (Tensor, torch.jit.ScriptModule)):
            memo.setdefault(id(value), value)
        elif isinstance(value, MethodType) and value.__self__ in twins:
            memo[id(value)] = getattr(twins[value.__self__], value.__name__)
    try:
        with _SharedTensors():
            for layer, twin in twins.items():
                # Not through vars(), which would copy a compiled call as well.
                own = {k: v for k, v in vars(layer).items() if k != "_compiled_call_impl"}
                twin.__dict__.update(copy.deepcopy(own, memo))
            result: nn.Module = copy.deepcopy(model, memo)
    except TypeError as error:
        raise ArgumentTypeError(
            f"{who}: model has an attribute that cannot be copied ({error}); remove it, or define "
            "__deepcopy__ on its class"
        ) from error
    for layer, twin in twins.items():
        if is_parametrized(layer):
            parametrize._inject_new_class(twin)
            for name in twin.parametrizations:
                parametrize._inject_property(twin, name)
        finish(layer, twin)
    return result, list(memo.values())


class _SharedTensors(TorchFunctionMode):
    """While it is active, a deep copy of a tensor is the tensor itself."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.__deepcopy__:
            return args[0]
        return func(*args, **(kwargs or {}))


def _parts(path: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield what one object holds."""
    if isinstance(value, torch.jit.ScriptModule):
        return
    if isinstance(value, nn.Module):
        prefix = f"{path}." if path else ""
        for name, part in vars(value).items():
            if name in ("_parameters", "_buffers", "_modules"):
                yield from ((prefix + inner, own) for inner, own in part.items())
            else:
                yield prefix + name, part
    elif isinstance(value, (list, tuple)):
        yield from ((f"{path}[{i}]", part) for i, part in enumerate(value))
    elif isinstance(value, dict):
        yield from ((f"{path}[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, (set, frozenset)):
        yield from ((path, part) for part in value)
    elif isinstance(value, partial):
        yield from _parts(path, (value.func, *value.args, *value.keywords.values()))
    elif isinstance(value, MethodType):
        yield path, value.__self__
