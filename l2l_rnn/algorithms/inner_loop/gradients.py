"""Gradients of the inner loop: computing, adding, clipping and stepping along them.

In every function, `who` begins the error message, such as `"MAML.adapt"`, and `tasks` is `N`, or
None for a learner without a task axis. Gradients are dictionaries by parameter name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.changes import Change, step_changes
from l2l_rnn.algorithms.inner_loop.checks import (
    check_gradients,
    listed,
    unchanged_error,
    values_per_task,
)


def inner_gradients(
    who: str,
    loss: Tensor,
    parameters: dict[str, Tensor],
    *,
    second_order: bool,
    allow_unused: bool | None,
    allow_nograd: bool,
) -> dict[str, Tensor]:
    """Differentiate a loss, summed over tasks, with respect to named parameters.

    Args:
        loss: scalar or `(N,)`.
        parameters: parameters by name.
        second_order: whether to keep the graph of the gradients.
        allow_unused: whether the loss may be independent of a parameter.
        allow_nograd: whether a parameter may have `requires_grad=False`.

    Returns:
        Gradients by name. Unused and frozen parameters have none.

    Raises:
        AdaptationError: a parameter is frozen or unused, and that is not allowed.
    """
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    if frozen and not allow_nograd:
        raise unchanged_error(
            who,
            f"parameter {listed(frozen)} has requires_grad=False; pass allow_nograd=True to leave "
            "it unchanged",
        )
    moving = {name: p for name, p in parameters.items() if p.requires_grad}
    found = torch.autograd.grad(
        loss.sum(),
        list(moving.values()),
        create_graph=second_order,
        retain_graph=second_order,
        allow_unused=True,
    )
    unused = [name for name, g in zip(moving, found, strict=True) if g is None]
    if unused and not allow_unused:
        raise unchanged_error(
            who,
            f"the loss does not depend on parameter {listed(unused)}; compute the loss from this "
            "learner's own outputs, or pass allow_unused=True to leave it unchanged",
        )
    return {name: g for name, g in zip(moving, found, strict=True) if g is not None}


def add_gradients(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add gradients by name. A missing gradient counts as 0."""
    both = {name: g + other[name] for name, g in one.items() if name in other}
    return {**one, **other, **both}


def clip_gradients(
    gradients: dict[str, Tensor], max_norm: float, tasks: int | None
) -> dict[str, Tensor]:
    """Scale down the gradients of each task to a total norm of at most `max_norm`."""
    if not gradients:
        return gradients
    square = squared_norm(gradients.values(), tasks)
    scale = (max_norm / square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()).clamp_max(1)
    return {
        name: g * (scale if tasks is None else scale.reshape(-1, *[1] * (g.dim() - 1)))
        for name, g in gradients.items()
    }


def squared_norm(tensors: Iterable[Tensor], tasks: int | None) -> Tensor:
    """Sum the squares of all values: `(N,)`, or a scalar without a task axis."""
    return torch.stack([values_per_task(t, tasks).square().sum(-1) for t in tensors]).sum(0)


def gradient_step(
    who: str,
    module: nn.Module,
    loss: Tensor,
    adapted: Collection[str],
    lr: float,
    first_order: bool,
    tasks: int | None,
) -> list[Change]:
    """Compute one gradient step on named parameters and keep the graph of the loss.

    Returns:
        The changes of the parameters, for `make_changes`.

    Raises:
        AdaptationError: a parameter is frozen, or a gradient is not finite.
    """
    parameters = dict(module.named_parameters())
    moving: dict[str, Tensor] = {name: p for name, p in parameters.items() if name in adapted}
    gradients = inner_gradients(
        who, loss, moving, second_order=True, allow_unused=True, allow_nograd=False
    )
    check_gradients(who, gradients, tasks)
    if first_order:
        gradients = {name: gradient.detach() for name, gradient in gradients.items()}
    return step_changes(module, lr, gradients)
