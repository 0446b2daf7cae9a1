"""The task axis `N`: parameters with a leading axis, one slice for each task.

A layer that declares `task_axis = True` also takes parameters of shape `(N, …)`. Its input is then
`(N, …)` too, and task n uses only the parameters n.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

# Containers and elementwise layers of torch that preserve a leading axis.
_TRANSPARENT = (
    nn.Sequential,
    nn.ModuleList,
    nn.ModuleDict,
    nn.Identity,
    nn.Dropout,
    nn.ReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.ELU,
    nn.SiLU,
)


def knows_tasks(module: nn.Module) -> bool:
    """Return whether a module takes parameters `(N, …)` and inputs `(N, …)` directly.

    True if the class of the module declares `task_axis = True`, or if it is one of torch's
    containers and elementwise layers, and the same holds for all its children. False if a weight is
    computed, by `torch.nn.utils.parametrize` or a hook such as `torch.nn.utils.weight_norm`, which
    would mix the tasks.

    Args:
        module: a module.

    Example:
        >>> knows_tasks(nn.Sequential(nn.ReLU(), nn.Identity())), knows_tasks(nn.Linear(2, 2))
        (True, False)
    """
    if not (getattr(type(module), "task_axis", False) or type(module) in _TRANSPARENT):
        return False
    computed = is_parametrized(module) or any(
        isinstance(hook, (WeightNorm, SpectralNorm)) for hook in module._forward_pre_hooks.values()
    )
    return not computed and all(map(knows_tasks, module.children()))


def names_with_task_axis(module: nn.Module) -> frozenset[str]:
    """Return the names of a module's own parameters, buffers and attributes with a task axis."""
    return vars(module).get("_names_with_task_axis", frozenset())


def mark_task_axis(module: nn.Module, names: Iterable[str]) -> None:
    """Note that parameters, buffers or attributes of a module have a task axis."""
    marked = names_with_task_axis(module).union(names)
    vars(module)["_names_with_task_axis"] = marked  # clones keep it, and copies do


def unmark_task_axis(module: nn.Module) -> None:
    """Note that no parameter, buffer or attribute of a module has a task axis any more."""
    vars(module).pop("_names_with_task_axis", None)


def expand_parameters(module: nn.Module, tasks: int, some: Container[str] | None = None) -> None:
    """Add the leading axis `N` to the parameters of a module, in place.

    Gradients flow back to the original parameters, summed over tasks. Tied parameters stay tied.

    Args:
        module: a module with parameters that may be replaced, such as a clone.
        tasks: `N`, the number of tasks.
        some: names of parameters that need the axis. All other parameters of the same layers, and
            of layers that share a parameter with them, get it too. None for all parameters.

    Shapes:
        each parameter `(…)` -> `(N, …)`.
    """
    before = {child: dict(child._parameters) for child in module.modules()}
    replace_parameters(module, lambda p: p.expand(tasks, *p.shape).clone(), some)
    for child, own in before.items():
        now = child._parameters
        mark_task_axis(child, {name for name in own if now[name] is not own[name]})


def replace_parameters(
    module: nn.Module, make: Callable[[Tensor], Tensor], some: Container[str] | None = None
) -> None:
    """Replace the parameters of a module by `make(parameter)`; tied parameters stay tied.

    `some` is as in `expand_parameters`.
    """
    made: dict[Tensor, Tensor] = {}
    growing = True
    while growing:  # layers that share a parameter with a chosen layer are chosen too
        growing = False
        for path, child in module.named_modules():
            own = {name: p for name, p in child._parameters.items() if p is not None}
            prefix = f"{path}." if path else ""
            chosen = some is None or any(
                prefix + name in some or p in made for name, p in own.items()
            )
            for parameter in own.values() if chosen else ():
                if parameter not in made:
                    made[parameter] = make(parameter)
                    growing = True
    for child in module.modules():
        for name, parameter in child._parameters.items():
            if parameter in made:
                child._parameters[name] = made[parameter]  # type: ignore[assignment]


def readable_values(tensor: Tensor) -> Tensor | None:
    """Return a tensor with values that a check can read, or None.

    Under `torch.func.vmap`, the result has another axis with the values of all mapped slices. It is
    None while a CUDA graph is being captured, because reading values would synchronize the device,
    and while a compiler or an exporter of torch records the call.
    """
    if torch.jit.is_tracing() or torch.compiler.is_compiling():
        return None
    if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    while is_transformed(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor.detach()


def is_transformed(tensor: Tensor) -> bool:
    """Return whether a transform of `torch.func` wraps the tensor."""
    return torch._C._functorch.is_functorch_wrapped_tensor(tensor)


def transforms_are_active() -> bool:
    """Return whether a transform of `torch.func`, of any tensors, or an exporter runs the call.

    Only plain operations can be transformed or exported.
    """
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def align_tasks(parameter: Tensor, own: int, like: Tensor) -> Tensor:
    """Return a parameter with axes inserted after `N`, so that it broadcasts against `like`.

    Args:
        parameter: `(*shape)`, or `(N, *shape)` with a task axis.
        own: number of axes in `shape`.
        like: the tensor that the parameter is combined with, `(N, …, *shape)`.

    Shapes:
        `(*shape)` is returned unchanged; `(N, *shape)` becomes `(N, 1, …, 1, *shape)`.

    Example:
        >>> align_tasks(torch.zeros(4, 1), 1, torch.zeros(4, 7, 5)).shape
        torch.Size([4, 1, 1])
    """
    if parameter.dim() <= own:
        return parameter
    between = [1] * (like.dim() - parameter.dim())
    return parameter.reshape(len(parameter), *between, *parameter.shape[1:])
