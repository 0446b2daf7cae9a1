"""Changes of a learner that are made all at once, so that an interrupt never leaves half a step."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

Change = tuple[dict[str, Any], str, Any]  # a namespace of a module, a name in it, the new value


def make_changes(changes: Iterable[Change]) -> None:
    """Make changes such that an interrupt leaves all of them made, or none.

    Call this function last: a step computes everything before it changes anything.
    """
    namespaces, names, values = zip(*changes, strict=True)
    # Python raises KeyboardInterrupt between the instructions of its bytecode. `any` calls the C
    # function `setitem`, which returns None, for every change within one instruction.
    any(map(operator.setitem, namespaces, names, values))


def attribute_changes(owner: nn.Module, **values: Any) -> list[Change]:
    """Return the changes that set existing attributes of a module, buffers included."""
    spaces = owner._parameters, owner._buffers, owner._modules
    return [
        (next((s for s in spaces if name in s), owner.__dict__), name, value)
        for name, value in values.items()
    ]


def parameter_changes(module: nn.Module, new: Mapping[Tensor, Tensor]) -> list[Change]:
    """Return the changes that replace parameters of a module, tied ones under every name.

    Args:
        module: the module.
        new: the new tensor for each parameter to replace.
    """
    return [
        (child._parameters, name, new[parameter])
        for child in module.modules()
        for name, parameter in child._parameters.items()
        if parameter is not None and parameter in new
    ]


def step_changes(
    module: nn.Module, lr: float | Tensor, gradients: Mapping[str, Tensor]
) -> list[Change]:
    """Return the changes of a gradient step, `theta <- theta - alpha g`.

    Args:
        module: the module.
        lr: `alpha`, the learning rate.
        gradients: `g`, by parameter name. Parameters without a gradient stay unchanged.
    """
    new: dict[Tensor, Tensor] = {
        parameter: parameter + -lr * gradients[name]
        for name, parameter in module.named_parameters()
        if name in gradients
    }
    return parameter_changes(module, new)
