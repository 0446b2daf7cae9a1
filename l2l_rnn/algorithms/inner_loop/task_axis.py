"""Calls of a model that has the task axis on its parameters."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._pytree import tree_map

from l2l_rnn.axes import knows_tasks


def call_per_task(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a module with parameters `(N, …)` on inputs `(N, …)`.

    A module that declares the task axis runs directly. Any other module runs under
    `torch.func.vmap`, with different random numbers for each task.

    Args:
        module: the module, after `axes.expand_parameters`.
        args, kwargs: its arguments. Tensors have the task axis; all tasks share other values.

    Shapes:
        each tensor `(N, …)`, in and out.
    """
    if knows_tasks(module):
        return module(*args, **kwargs)

    def one_task(parameters: dict[str, Tensor], args: Any, kwargs: Any) -> Any:
        return functional_call(module, parameters, args, kwargs)

    axes = tree_map(lambda given: 0 if isinstance(given, Tensor) else None, (args, kwargs))
    mapped = vmap(one_task, in_dims=(0, *axes), randomness="different")
    return mapped(dict(module.named_parameters()), args, kwargs)
