"""The inner loop's parts: what it adapts, the loss that it takes, and the gradients of one step.

`who` is the method that a message names; `tasks` is `N`, or None without a task axis.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import torch
from learn2learn.algorithms.maml import maml_update
from torch import Tensor, nn

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError


def adapted_names(who: str, model: nn.Module, adapts: str | Iterable[str] | None) -> frozenset[str]:
    """Name the parameters that the inner loop adapts.

    A module whose class says `inner_loop = False` leaves its parameters, and those of its children,
    to the outer loop: they adapt only by a name of their own or of a module in it.

    Args:
        who: the learner, for messages.
        model: the module that is adapted.
        adapts: names of parameters, or of modules that hold them; None for all of the model.

    Returns:
        Names as of `model.named_parameters()`.

    Raises:
        ArgumentError: there is no parameter under a name.
    """
    every = list(model.named_parameters(remove_duplicate=False))  # tied ones by each name
    outer = [
        path
        for path, module in model.named_modules(remove_duplicate=False)
        if not getattr(type(module), "inner_loop", True)
    ]
    if adapts is None:
        chosen = _under("", every, outer)
    else:
        chosen = set()
        for each in [adapts] if isinstance(adapts, str) else adapts:
            deeper = [path for path in outer if path != each and _stands_under(path, each)]
            found = _under(each, every, deeper)
            if not found:
                names = {name for name, _ in every}
                known = sorted({*names, *(name.rpartition(".")[0] for name in names)} - {""})
                raise ArgumentError(
                    f"{who}: the model has no parameter {each!r}, nor any under it that adapts; it "
                    f"has {', '.join(known)}"
                )
            chosen |= found
    return frozenset(name for name, p in model.named_parameters() if p in chosen)


def _under(path: str, every: list[tuple[str, nn.Parameter]], but: list[str]) -> set[Tensor]:
    """The parameters of all names under one path, but those under others."""
    return {
        parameter
        for name, parameter in every
        if _stands_under(name, path) and not any(_stands_under(name, other) for other in but)
    }


def _stands_under(name: str, path: str) -> bool:
    return not path or name == path or name.startswith(f"{path}.")


def check_loss(who: str, loss: Tensor, tasks: int | None) -> None:
    """Tell a loss that has no gradients to step along.

    Raises:
        ArgumentTypeError: the loss is not a tensor.
        ShapeError: it is neither a scalar nor `(N,)`.
        AdaptationError: gradients are off, or the loss has no graph or is not finite.
    """
    if not isinstance(loss, Tensor):
        raise ArgumentTypeError(f"{who}: loss must be a tensor, got {type(loss).__name__}")
    if loss.dim() and loss.numel() != 1 and loss.shape != (tasks,):
        expected = "a scalar" if tasks is None else f"a scalar or ({tasks},)"
        raise ShapeError(
            f"{who}: loss must be {expected}, got shape {tuple(loss.shape)}; average it within "
            "each task"
        )
    if not torch.is_grad_enabled():
        raise unchanged(
            who,
            "gradients are off here; call the learner and adapt outside of torch.no_grad() and "
            "torch.inference_mode()",
        )
    if not loss.requires_grad:
        raise unchanged(
            who, "the loss has no graph; compute it from the learner's outputs with gradients on"
        )
    values = readable_values(loss)
    if values is not None and not values.isfinite().all():
        raise unchanged(
            who, f"the loss is {values.tolist()}; look for NaN in the inputs, or lower lr"
        )


def check_finite_loss(who: str, loss: Tensor, outputs: Tensor, tasks: int | None) -> None:
    """Tell a loss that is not finite, and of which tasks; any other fault is left to `check_loss`.

    Raises:
        AdaptationError: it is not.
    """
    values = readable_values(loss) if isinstance(loss, Tensor) and loss.requires_grad else None
    if values is None or values.isfinite().all():
        return
    told: Tensor | None = loss
    if loss.shape != (tasks,):  # one number for all: the gradient tells them apart
        (told,) = torch.autograd.grad(loss.sum(), outputs, retain_graph=True, allow_unused=True)
    of = "" if told is None else not_finite([told], tasks) or ""
    raise unchanged(who, f"the loss{of} is NaN or infinite; look at the inputs")


def gradients_of(
    who: str,
    loss: Tensor,
    parameters: dict[str, Tensor],
    *,
    second_order: bool,
    allow_unused: bool | None,
    allow_nograd: bool,
) -> dict[str, Tensor]:
    """Differentiate a loss, summed over tasks, by named parameters; those that stay have none.

    Raises:
        AdaptationError: a parameter is frozen, or plays no part in the loss, without leave.
    """
    frozen = [name for name, p in parameters.items() if not p.requires_grad]
    if frozen and not allow_nograd:
        raise unchanged(
            who,
            f"parameter {_listed(frozen)} has requires_grad=False; pass allow_nograd=True to leave "
            "it as it is",
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
        raise unchanged(
            who,
            f"parameter {_listed(unused)} plays no part in the loss; pass allow_unused=True to "
            "leave it as it is, and compute the loss from this learner's own outputs",
        )
    return {name: g for name, g in zip(moving, found, strict=True) if g is not None}


def added(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add gradients by name; what one of the two lacks counts as 0."""
    both = {name: g + other[name] for name, g in one.items() if name in other}
    return {**one, **other, **both}


def check_finite(who: str, gradients: dict[str, Tensor], tasks: int | None) -> None:
    """Tell the tasks whose gradient is not finite.

    Raises:
        AdaptationError: there is one.
    """
    of = not_finite(gradients.values(), tasks)
    if of is not None:
        raise unchanged(
            who,
            f"the gradient{of} is NaN or infinite though its loss is finite; lower lr, or set "
            "max_grad_norm",
        )


def not_finite(tensors: Iterable[Tensor], tasks: int | None) -> str | None:
    """Say which tasks have a value that is not finite, as `" of task 1, 3"`; None if none has.

    Without a task axis it is said as `""`.
    """
    with torch.no_grad():
        sums = [_per_task(tensor, tasks).sum(-1) for tensor in tensors]
        values = readable_values(torch.stack(sums).sum(0)) if sums else None
    if values is None or values.isfinite().all():
        return None
    which = (~values.isfinite()).nonzero().flatten().tolist()
    return "" if tasks is None else f" of task {_listed(which)}"


def clipped(gradients: dict[str, Tensor], bound: float, tasks: int | None) -> dict[str, Tensor]:
    """Scale each task's gradient down to the bound, if it is longer."""
    if not gradients:
        return gradients
    square = squared_length(gradients.values(), tasks)
    scale = (bound / square.clamp_min(torch.finfo(square.dtype).tiny).sqrt()).clamp_max(1)
    return {
        name: g * (scale if tasks is None else scale.reshape(-1, *[1] * (g.dim() - 1)))
        for name, g in gradients.items()
    }


def squared_length(tensors: Iterable[Tensor], tasks: int | None) -> Tensor:
    """Sum the squares of all values of tensors: `(N,)`, or a scalar without a task axis."""
    return torch.stack([_per_task(t, tasks).square().sum(-1) for t in tensors]).sum(0)


def stepped(
    who: str,
    module: nn.Module,
    loss: Tensor,
    adapted: Collection[str],
    lr: float,
    first_order: bool,
    tasks: int | None,
) -> Any:
    """Take a gradient step on named parameters, and return the module; the loss's graph is kept.

    Raises:
        AdaptationError: a parameter is frozen, or a gradient is not finite.
    """
    parameters = dict(module.named_parameters())
    moving: dict[str, Tensor] = {n: p for n, p in parameters.items() if n in adapted}
    gradients = gradients_of(
        who, loss, moving, second_order=True, allow_unused=True, allow_nograd=False
    )
    check_finite(who, gradients, tasks)
    if first_order:
        gradients = {name: gradient.detach() for name, gradient in gradients.items()}
    return maml_update(module, lr, [gradients.get(name) for name in parameters])


def unchanged(who: str, what: str) -> AdaptationError:
    """The error of a step that was not taken."""
    return AdaptationError(f"{who}: {what}; the learner is unchanged")


def _per_task(tensor: Tensor, tasks: int | None) -> Tensor:
    """`(N, …)` -> `(N, values)`; without a task axis `(values,)`."""
    return tensor.flatten() if tasks is None else tensor.reshape(tasks, -1)


def _listed(names: list[Any]) -> str:
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if names[3:] else "")
