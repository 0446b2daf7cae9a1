"""Methods that receive the axis of `torch.func.vmap` as their task axis.

A model that does not know the task axis runs under `torch.func.vmap`, where torch would split each
layer into single operations. A method with the decorator `takes_mapped_axis` instead runs once for
all mapped slices, with parameters `(N, …)` and inputs `(N, …)`, outside of the transform. Ordinary
autograd records what it does, so first and second derivatives are those of the layer.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

from l2l_rnn.axes import knows_tasks

_functorch: Any = torch._C._functorch
_transforms_are_active = torch._C._are_functorch_transforms_active  # the call must be cheap
P = ParamSpec("P")
R = TypeVar("R")


def takes_mapped_axis(
    *, applies: Callable[..., bool] | None = None, shares: Callable[..., bool] | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for methods of a module that knows the task axis.

    Under one level of `torch.func.vmap`, the method runs outside of the transform, and the mapped
    axis is the task axis of its module and arguments. Under other transforms, nested ones, or if
    every slice would need the same random numbers, it runs as it is.

    Args:
        applies: called with the arguments of the method; where it returns False, the method runs as
            it is.
        shares: called with the arguments of the method if no parameter is mapped; where it returns
            False, the parameters get the task axis all the same. None if an input `(N, …)` without
            a task axis on the parameters is always right.

    Example:
        >>> import torch
        >>> class Scale(nn.Module):
        ...     task_axis = True
        ...
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.factor = nn.Parameter(torch.ones(()))
        ...
        ...     @takes_mapped_axis()
        ...     def forward(self, x):
        ...         print(tuple(x.shape))
        ...         return x * self.factor
        >>> torch.func.vmap(Scale())(torch.zeros(4, 2)).shape
        (4, 2)
        torch.Size([4, 2])
    """

    def decorator(method: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(method)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            if is_compiling() or not _transforms_are_active() or not _is_single_vmap():
                return method(*args, **kwargs)
            module, *given = args
            if not isinstance(module, nn.Module) or not _maps(module):
                return method(*args, **kwargs)
            if any(isinstance(each, PackedSequence) for each in given):
                raise RuntimeError(
                    f"{type(module).__name__}: a PackedSequence has no axis to map over; pass the "
                    "padded batch and lengths="
                )
            if applies is not None and not applies(*given, **kwargs):
                return method(*args, **kwargs)
            expands = shares is not None and not shares(*given, **kwargs)
            return _run_outside(method, module, given, kwargs, expands)

        return wrapper

    return decorator


def _is_single_vmap() -> bool:
    stack = _functorch.get_interpreter_stack()
    return stack is not None and len(stack) == 1 and stack[0].key() == _functorch.TransformType.Vmap


def _maps(module: nn.Module) -> bool:
    """Return whether the module can run outside of the transform."""
    if not knows_tasks(module):
        return False
    (interpreter,) = _functorch.get_interpreter_stack()  # the pointer to it does not keep it alive
    transform = _functorch.CVmapInterpreterPtr(interpreter)
    return transform.randomness() == _functorch.RandomnessType.Different or not _draws(module)


def _draws(module: nn.Module) -> bool:
    """Return whether a module may draw random numbers: in training, with dropout of any kind."""
    return any(
        child.training
        and (
            getattr(type(child), "draws", False)
            or (isinstance(child, nn.modules.dropout._DropoutNd) and child.p > 0)
            or getattr(child, "dropout", 0.0) not in (0.0, *child.children())
        )
        for child in module.modules()
    )


def _run_outside(
    method: Callable[..., Any],
    module: nn.Module,
    args: list[Any],
    kwargs: dict[str, Any],
    expands: bool,
) -> Any:
    """Call a method outside of the transform.

    Args:
        method: the method, without its decorator.
        module, args, kwargs: its arguments.
        expands: whether parameters that are not mapped get the task axis all the same.
    """
    leaves, structure = tree_flatten((args, kwargs))
    own = (tensor for layer in module.modules() for _, tensor in _own_tensors(layer))
    given = (leaf for leaf in leaves if isinstance(leaf, Tensor))
    if not any(map(_functorch.is_batchedtensor, itertools.chain(given, own))):
        return method(module, *args, **kwargs)
    (interpreter,) = _functorch.get_interpreter_stack()
    transform = _functorch.CVmapInterpreterPtr(interpreter)
    slices = _Slices(transform.level(), transform.batchSize(), expands)
    suspended = _functorch.pop_dynamic_layer_stack()
    try:
        leaves = [
            slices.plain(leaf, expands=True) if isinstance(leaf, Tensor) else leaf
            for leaf in leaves
        ]
        args, kwargs = tree_unflatten(leaves, structure)
        result = method(slices.twin(module), *args, **kwargs)
    finally:
        _functorch.push_dynamic_layer_stack(suspended)
    return tree_map_only(
        Tensor, lambda tensor: _functorch._add_batch_dim(tensor, 0, slices.level), result
    )


class _Slices:
    """Gives access to the slices of mapped tensors, as plain tensors.

    Args:
        level: the level of the transform.
        count: `N`, the number of slices.
        expands: whether every parameter gets the axis.
    """

    def __init__(self, level: int, count: int, expands: bool) -> None:
        self.level, self.count, self.expands = level, count, expands
        self._twins: dict[nn.Module, nn.Module] = {}

    def plain(self, tensor: Tensor, expands: bool) -> Tensor:
        """Return all slices, on the first axis; one that is not mapped gets it if asked for."""
        value: Tensor
        value, axis = _functorch._unwrap_batched(_functorch.unwrap_if_dead(tensor), self.level)
        if axis is not None:
            return value.movedim(axis, 0) if axis else value
        return value.expand(self.count, *value.shape) if expands else value

    def twin(self, layer: nn.Module) -> nn.Module:
        """Return a shallow copy of a module and its children, with plain tensors.

        If one parameter of a layer is mapped, its other parameters get the axis too.
        """
        if layer not in self._twins:
            own = dict(_own_tensors(layer))
            expands = self.expands or any(map(_functorch.is_batchedtensor, own.values()))
            buffers = {
                name: None if buffer is None else self.plain(buffer, expands=False)
                for name, buffer in layer._buffers.items()
            }
            parameters = {
                name: self.plain(tensor, expands)
                for name, tensor in own.items()
                if name not in buffers
            }
            children = {
                name: None if child is None else self.twin(child)
                for name, child in layer._modules.items()
            }
            twin: nn.Module = object.__new__(type(layer))
            attributes = {k: v for k, v in vars(layer).items() if k not in parameters}
            twin.__dict__ = {
                **attributes,
                "_buffers": buffers,
                "_parameters": {**layer._parameters, **parameters},
                "_modules": children,
            }
            self._twins[layer] = twin
        return self._twins[layer]


def _own_tensors(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that a layer's methods read from it, by name."""
    for own in (layer._parameters, layer._buffers, vars(layer)):
        yield from ((name, value) for name, value in own.items() if isinstance(value, Tensor))
