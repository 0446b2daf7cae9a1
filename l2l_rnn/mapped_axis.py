"""Methods that receive the axis of `torch.func.vmap` as their task axis.

A model that does not know the task axis runs under `torch.func.vmap`, where torch would split each
layer into single operations. A method with the decorator `takes_mapped_axis` instead runs once for
all mapped slices, with parameters `(N, …)` and inputs `(N, …)`, outside of the transform. Ordinary
autograd records what it does, so first and second derivatives are those of the layer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from torch import Tensor, nn
from torch._C import _functorch
from torch.autograd import Function
from torch.compiler import is_compiling
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten, tree_unflatten

from l2l_rnn.axes import knows_tasks, transforms_are_active

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
            if is_compiling() or not transforms_are_active() or not _is_single_vmap():
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
            alone = shares is not None and not shares(*given, **kwargs)
            return _MappedCall(method, module, given, kwargs, alone).run()

        return wrapper

    return decorator


def _is_single_vmap() -> bool:
    stack = _functorch.get_interpreter_stack()
    return stack is not None and len(stack) == 1 and stack[0].key() == _functorch.TransformType.Vmap


def _maps(module: nn.Module) -> bool:
    """Return whether the module can run outside of the transform."""
    if not knows_tasks(module):
        return False
    interpreter = _functorch.CVmapInterpreterPtr(_functorch.get_interpreter_stack()[0])
    return interpreter.randomness() == _functorch.RandomnessType.Different or not _draws(module)


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


class _MappedCall:
    """One call of a method outside of the transform.

    Args:
        method: the method, without its decorator.
        module, args, kwargs: its arguments.
        alone: whether parameters that are not mapped get the task axis all the same.
    """

    def __init__(
        self,
        method: Callable[..., Any],
        module: nn.Module,
        args: list[Any],
        kwargs: dict[str, Any],
        alone: bool,
    ) -> None:
        self.method, self.module, self.args, self.kwargs = method, module, args, kwargs
        self.alone = alone

    def run(self) -> Any:
        leaves, self.spec = tree_flatten((self.args, self.kwargs))
        self.leaves: list[Any] = leaves
        self.layers = [(layer, dict(_own_tensors(layer))) for layer in self.module.modules()]
        tensors = [tensor for _, own in self.layers for tensor in own.values()]
        tensors += [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        if not any(map(_functorch.is_batchedtensor, tensors)):
            return self.method(self.module, *self.args, **self.kwargs)
        outputs = iter(_Lowered.apply(self, *tensors))
        return tree_unflatten(
            [next(outputs) if kept is None else kept[0] for kept in self.kept], self.result_spec
        )

    def lowered(self, tasks: int, axes: tuple[int | None, ...], tensors: Any) -> tuple[Any, ...]:
        """Run the method on plain tensors and return the tensors of its result."""
        given = list(zip(tensors, axes, strict=True))
        twins: dict[nn.Module, nn.Module] = {}
        for layer, own in self.layers:
            mine, given = given[: len(own)], given[len(own) :]
            expands = self.alone or any(axis is not None for _, axis in mine)
            twins[layer] = _twin(
                layer,
                {
                    name: _first(*pair, tasks if expands and name not in layer._buffers else None)
                    for name, pair in zip(own, mine, strict=True)
                },
            )
        for twin in twins.values():
            twin._modules = {
                name: None if child is None else twins[child]
                for name, child in twin._modules.items()
            }
        arguments = iter(given)
        leaves = [
            _first(*next(arguments), tasks) if isinstance(leaf, Tensor) else leaf
            for leaf in self.leaves
        ]
        args, kwargs = tree_unflatten(leaves, self.spec)
        result, self.result_spec = tree_flatten(self.method(twins[self.module], *args, **kwargs))
        self.kept = [None if isinstance(leaf, Tensor) else (leaf,) for leaf in result]
        return tuple(leaf for leaf in result if isinstance(leaf, Tensor))


class _Lowered(Function):
    """Leaves the transform: torch calls `vmap` with plain tensors, below the transform."""

    @staticmethod
    def forward(call: _MappedCall, *tensors: Tensor) -> Any:
        raise AssertionError("only called under vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(info: Any, in_dims: Any, call: _MappedCall, *tensors: Tensor) -> Any:
        outputs = call.lowered(info.batch_size, in_dims[1:], tensors)
        return outputs, (0,) * len(outputs)


def _own_tensors(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors that a layer's methods read from it, by name."""
    for own in (layer._parameters, layer._buffers, vars(layer)):
        yield from ((name, value) for name, value in own.items() if isinstance(value, Tensor))


def _twin(layer: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """Return a shallow copy of a layer with other tensors."""
    twin: nn.Module = object.__new__(type(layer))
    twin.__dict__.update(vars(layer))
    buffers = {name: tensors.pop(name, None) for name in layer._buffers}
    twin.__dict__.update(
        _buffers=buffers, _parameters={**layer._parameters, **tensors}, _modules=layer._modules
    )
    for name in tensors:
        twin.__dict__.pop(name, None)
    return twin


def _first(tensor: Tensor, axis: int | None, expand: int | None) -> Tensor:
    """Move the mapped axis to the front, or insert one of `expand` slices if there is none."""
    if axis is not None:
        return tensor.movedim(axis, 0)
    return tensor if expand is None else tensor.expand(expand, *tensor.shape)
