"""Checks of losses, gradients and task counts that the learners share.

In every function, `who` begins the error message, such as `"MAML.adapt"`, and `tasks` is `N`, or
None for a learner without a task axis.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_int, check_number, check_tensor
from l2l_rnn.errors import AdaptationError, ArgumentError, ShapeError

_LARGEST_LR = torch.finfo(torch.float32).max


def check_tasks(who: str, tasks: object, held: int | None) -> int:
    """Check the argument of `clone(tasks=N)` and return it as an int.

    Args:
        who: the learner's `clone`.
        tasks: the value that the caller passed.
        held: the number of tasks that the learner already holds, or None.

    Raises:
        ArgumentError: `tasks` is not a positive integer, or the learner already holds tasks.
    """
    count = check_int(who, "tasks", tasks)
    if held is not None:
        raise ArgumentError(
            f"{who}: this learner already holds {held} tasks; call clone(tasks=…) on the learner "
            "that holds the initialization"
        )
    return count


def check_lr(who: str, lr: Any, *, positive: bool = False, number: bool = False) -> Any:
    """Check a learning rate and return it, a number as a float.

    Args:
        who: the learner or the transform.
        lr: a number or, unless `number`, a tensor of learning rates.
        positive: whether it must be above 0.
        number: whether tensors are not allowed.

    Raises:
        ArgumentError: a learning rate is not a finite real number, is not positive, or does not fit
            into float32.
    """
    fix = None
    if not (positive or number):
        fix = "to learn it, pass a GradientTransform such as PerTensorLR"
    if number or not isinstance(lr, Tensor):
        lr = check_number(who, "lr", lr, above=0 if positive else None, fix=fix)
        if abs(lr) > _LARGEST_LR:
            raise ArgumentError(
                f"{who}: lr must fit into float32, up to {_LARGEST_LR:.2g}, got {lr!r}; lower it"
            )
        return lr
    values = None if lr.is_meta else readable_values(lr)
    fits = lr.dtype != torch.bool and not lr.is_complex()
    if not fits or (values is not None and not (values.abs() <= _LARGEST_LR).all()):
        raise ArgumentError(
            f"{who}: lr must be finite numbers that fit into float32, got {lr!r}; lower it"
        )
    return lr


def check_loss(who: str, loss: Tensor, tasks: int | None) -> None:
    """Check that the gradient of a loss can be taken.

    Raises:
        ArgumentTypeError: the loss is not a tensor.
        ShapeError: the loss is neither a scalar nor `(N,)`.
        AdaptationError: gradients are disabled, or the loss has no graph or is not finite.
    """
    check_tensor(who, "loss", loss, fix="pass the loss itself, not loss.item()")
    if loss.dim() and loss.numel() != 1 and loss.shape != (tasks,):
        expected = "a scalar" if tasks is None else f"a scalar or ({tasks},)"
        raise ShapeError(
            f"{who}: loss must be {expected}, got shape {tuple(loss.shape)}; average it within "
            "each task"
        )
    if not torch.is_grad_enabled():
        raise unchanged_error(
            who,
            "gradients are disabled; call the learner and adapt outside torch.no_grad() and "
            "torch.inference_mode()",
        )
    if not loss.requires_grad:
        raise unchanged_error(
            who, "the loss has no graph; compute it from the learner's outputs with gradients on"
        )
    values = readable_values(loss)
    if values is not None and not values.isfinite().all():
        raise unchanged_error(
            who, f"the loss is {values.tolist()}; look for NaN in the inputs, or lower lr"
        )


def check_finite_loss(who: str, loss: Tensor, outputs: Tensor, tasks: int | None) -> None:
    """Check that a loss is finite, and name the tasks where it is not.

    `check_loss` makes all other checks.

    Args:
        loss: scalar or `(N,)`.
        outputs: the outputs that the loss was computed from.

    Raises:
        AdaptationError: the loss is not finite.
    """
    values = readable_values(loss) if isinstance(loss, Tensor) and loss.requires_grad else None
    if values is None or values.isfinite().all():
        return
    evidence: Tensor | None = loss
    if loss.shape != (tasks,):  # one loss for all tasks; its gradient tells them apart
        (evidence,) = torch.autograd.grad(loss.sum(), outputs, retain_graph=True, allow_unused=True)
    where = "" if evidence is None else non_finite_tasks([evidence], tasks) or ""
    raise unchanged_error(who, f"the loss{where} is NaN or infinite; check the inputs")


def check_gradients(who: str, gradients: dict[str, Tensor], tasks: int | None) -> None:
    """Check that gradients are finite, and name the tasks where they are not.

    Raises:
        AdaptationError: a gradient is not finite.
    """
    where = non_finite_tasks(gradients.values(), tasks)
    if where is not None:
        raise unchanged_error(
            who,
            f"the gradient{where} is NaN or infinite although its loss is finite; lower lr, or set "
            "max_grad_norm",
        )


def non_finite_tasks(tensors: Iterable[Tensor], tasks: int | None) -> str | None:
    """Name the tasks with a non-finite value, like `" of task 1, 3"`, or `""` without a task axis.

    Returns None if all values are finite.
    """
    # Without torch.no_grad(), which an interrupt could leave on.
    sums = [values_per_task(tensor.detach(), tasks).sum(-1) for tensor in tensors]
    values = readable_values(torch.stack(sums).sum(0)) if sums else None
    if values is None or values.isfinite().all():
        return None
    which = (~values.isfinite()).nonzero().flatten().tolist()
    return "" if tasks is None else f" of task {listed(which)}"


def values_per_task(tensor: Tensor, tasks: int | None) -> Tensor:
    """Flatten `(N, …)` to `(N, values)`, or without a task axis `(…)` to `(values,)`."""
    return tensor.flatten() if tasks is None else tensor.reshape(tasks, -1)


def listed(names: list[Any]) -> str:
    """Join the first three names for a message, and count the others."""
    return ", ".join(map(repr, names[:3])) + (f" and {len(names) - 3} more" if names[3:] else "")


def unchanged_error(who: str, what: str) -> AdaptationError:
    """Return the error of a failed step, which ends in "the learner is unchanged"."""
    return AdaptationError(f"{who}: {what}; the learner is unchanged")


def no_outputs_error(who: str) -> AdaptationError:
    """Return the error of a step without a preceding call of the learner."""
    return unchanged_error(
        who,
        "no outputs to learn from; call the learner on the support set first, with gradients on",
    )


def unrelated_loss_error(who: str) -> AdaptationError:
    """Return the error of a loss that does not depend on the last outputs."""
    return unchanged_error(
        who, "the loss does not depend on the learner's last outputs; compute it from them"
    )
