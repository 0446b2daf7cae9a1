"""Adaptation of any learner to support sets, with one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms import MAML, MAMLPlusPlus, MemoryLearner, ProtoMAML
from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.memory_learner import WRITES
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.functional.losses import check_mask
from l2l_rnn.training.per_task import Loss, per_task
from l2l_rnn.training.support import check_filled, check_padding


def adapted(
    learner: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    tasks: int | None = None,
    steps: int | None = None,
    loss: Loss | None = None,
    mask: Tensor | None = None,
    after_step: Callable[[int, Any], None] | None = None,
    **clone: Any,
) -> Any:
    """Return a clone of a learner, adapted to support sets with the learner's own method.

    `MAML` and its variants take gradient steps, `ProtoNet` computes class means, `ProtoMAML` does
    both, `R2D2` and `LRD2` solve for a linear head, and `MemoryLearner` writes to its memory.
    `backward()` of a loss of the clone's outputs reaches the learner's parameters. Learners of
    learn2learn work too; for N tasks they adapt one after the other.

    Args:
        learner: the meta-learner. It stays unchanged.
        x: the support sequences.
        y: their classes or other targets.
        tasks: `N`, the length of the leading axis of x and y; None for a single task without it.
        steps: gradient steps, or writes of a `MemoryLearner`. None takes the learner's own number:
            the steps of `MAMLPlusPlus` or of learned learning rates, 3 writes, or 1. `ProtoNet`,
            `R2D2` and `LRD2` ignore it.
        loss: the loss of outputs and targets, `(N,)`, or a scalar for one task as torch's losses;
            None uses the cross-entropy for integer targets and the mean squared error for others.
            Rows of padding do not enter it, whether or not it takes a `mask`.
        mask: True where a row of x is an example, and False where it is padding; None if all are.
        after_step: called with the number of the step, from 1, and the learner, after each one.
        clone: options of the learner's `clone`, such as `first_order`.

    Shapes:
        x `(B, …)` and y `(B,)` or `(B, …)`; with `tasks` `(N, B, …)`. mask as `(B,)` or `(N, B)`.

    Raises:
        ArgumentTypeError: the learner has neither `adapt` nor `write`.
        ArgumentError: `steps` is not a positive integer; or rows of padding would change the
            statistics of a `BatchNorm` layer.
        DataError: a support set is empty.
        AdaptationError, ShapeError: as in the learner's `adapt` and `write`.

    Example:
        >>> maml = MAML(nn.Linear(3, 2), lr=0.1)
        >>> x, y = torch.randn(4, 6, 3), torch.tensor([0, 1] * 3).expand(4, 6)
        >>> adapted(maml, x, y, tasks=4, steps=2)(x).shape
        torch.Size([4, 6, 2])
    """
    if not (hasattr(learner, "adapt") and hasattr(learner, "clone")):
        raise ArgumentTypeError(
            "adapted: learner must have clone() and adapt(), got "
            f"{type(learner).__name__}; wrap the model in one, such as algorithms.MAML"
        )
    steps = own_steps(learner) if steps is None else check_int("adapted", "steps", steps)
    if tasks is None:
        if mask is not None:
            check_mask("adapted", mask, y.shape[:1])
            x, y, mask = x[mask], y[mask], None
        check_filled("adapted", "support", x.unsqueeze(0), None)
    else:
        check_filled("adapted", "support", x, mask)
    each = per_task(default_loss(y) if loss is None else loss, "adapted", "loss")
    if tasks is not None and not isinstance(learner, MAML | SupportHolder | MemoryLearner):
        copies = [
            adapted(learner, x[n], y[n], steps=steps, loss=each, mask=_nth(mask, n), **clone)
            for n in range(tasks)
        ]
        return EachTask(copies)
    check_padding("adapted", learner, mask)
    compute: Loss = each.alone if tasks is None else each
    masks: dict[str, Any] = {} if mask is None else {"mask": mask}
    if isinstance(learner, (SupportHolder, MemoryLearner)):
        copy: Any = learner.clone(tasks=tasks, **clone)
        if isinstance(learner, SupportHolder):
            copy.write(x, y, **masks)
            _report(after_step, 1, copy)
        elif learner.lr is None and after_step is None:
            copy.write(x, y, steps, **masks)
        else:
            encoded = copy.encode(x) if learner.lr is None else x
            for step in range(1, steps + 1):
                if learner.lr is None:
                    copy.write(encoded, y, 1, **masks)
                else:
                    copy.adapt(compute(copy(x), y, **masks), **masks)
                _report(after_step, step, copy)
        return copy
    copy = learner.clone(**({} if tasks is None else {"tasks": tasks}), **clone)
    if isinstance(learner, ProtoMAML):
        copy.write(x, y, **masks)
    for step in range(1, steps + 1):
        copy.adapt(compute(copy(x), y, **masks))
        _report(after_step, step, copy)
    return copy


class EachTask:
    """Adapted learners without a task axis, called together.

    Args:
        learners: one learner for each task.

    Shapes:
        call: x `(N, B, …)` -> `(N, B, …)`.
    """

    def __init__(self, learners: list[Any]) -> None:
        self.learners = learners

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([one(part) for one, part in zip(self.learners, x, strict=True)])


def own_steps(learner: nn.Module) -> int:
    """Return the number of steps that a learner adapts with by default."""
    if isinstance(learner, MemoryLearner):
        return WRITES
    if isinstance(learner, MAMLPlusPlus):
        return learner.steps
    steps = getattr(getattr(learner, "lr", None), "steps", 1)
    return steps if isinstance(steps, int) else 1


def default_loss(y: Tensor) -> Loss:
    """Return the cross-entropy for integer targets, and the mean squared error for others."""
    return mean_squared_error if y.is_floating_point() else cross_entropy


def _nth(mask: Tensor | None, n: int) -> Tensor | None:
    return None if mask is None else mask[n]


def _report(after_step: Callable[[int, Any], None] | None, step: int, learner: Any) -> None:
    if after_step is not None:
        after_step(step, learner)
