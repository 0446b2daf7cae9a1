"""The meta-learning objective: adapt to support sets, then compute the losses of the queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from learn2learn.algorithms import MAML as PlainMAML
from torch import Tensor, nn

from l2l_rnn.algorithms import Reptile
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.functional import accuracy, mean_squared_error
from l2l_rnn.training.adaptation import adapted, default_loss
from l2l_rnn.training.per_task import Loss, per_task
from l2l_rnn.training.support import check_filled, check_padding


def query_losses(
    learner: nn.Module,
    batch: TaskBatch,
    *,
    loss: Loss | None = None,
    score: Loss | None = None,
    steps: int | None = None,
    first_order: bool | None = None,
    step_weights: Tensor | None = None,
    training: bool = True,
) -> tuple[Tensor, Tensor]:
    """Adapt a learner to each support set, and compute the loss and score of each query set.

    In training, `Reptile` has its `distance()` in place of the loss of the queries.

    Args:
        learner: any learner that `adapted` takes.
        batch: N tasks.
        loss: a loss per task; None uses the cross-entropy for integer targets, and the mean squared
            error for others.
        score: a score per task; None uses the accuracy for integer targets, and the mean squared
            error for others.
        steps: gradient steps or writes; None uses the learner's own number.
        first_order: overrides the learner's own; None keeps it. Learners without gradient steps
            ignore it.
        step_weights: weights of the query losses after each step, as `MAMLPlusPlus.step_weights`
            returns them; None uses the loss after the last step alone.
        training: whether gradients of the losses are wanted. If not, second derivatives are left
            out.

    Returns:
        Losses and scores, both `(N,)`. Scores have no graph.
    """
    x, y = batch.query_x, batch.query_y
    loss = per_task(default_loss(y) if loss is None else loss, "MetaLearning", "loss")
    score = per_task(default_score(y) if score is None else score, "MetaLearning", "score")
    check_padding("MetaLearning", learner, batch.query_mask)
    mask: dict[str, Any] = {} if batch.query_mask is None else {"mask": batch.query_mask}
    options: dict[str, Any] = {}
    if isinstance(learner, PlainMAML):
        first_order = first_order if training else True
        options = {} if first_order is None else {"first_order": first_order}
    weighted: list[Tensor] = []

    def after_step(step: int, copy: Any) -> None:
        if step_weights is not None and step < len(step_weights) and step_weights[step - 1]:
            weighted.append(step_weights[step - 1].to(x.device) * loss(copy(x), y, **mask))

    copy = adapted(
        learner,
        batch.support_x,
        batch.support_y,
        tasks=len(batch),
        steps=steps,
        loss=loss,
        mask=batch.support_mask,
        after_step=None if step_weights is None else after_step,
        **options,
    )
    if training and isinstance(learner, Reptile):
        distances = copy.distance()
        with torch.no_grad():
            return distances, score(copy(x), y, **mask)
    with torch.set_grad_enabled(training):
        outputs = copy(x)
        losses = loss(outputs, y, **mask)
        if step_weights is not None:
            losses = sum(weighted, step_weights[-1].to(x.device) * losses)
    with torch.no_grad():
        return losses, score(outputs, y, **mask)


def default_score(y: Tensor) -> Callable[..., Tensor]:
    """Return the accuracy for integer targets, and the mean squared error for others."""
    return mean_squared_error if y.is_floating_point() else accuracy


def as_batch(batch: Any) -> TaskBatch:
    """Return a batch as a `TaskBatch` whose tasks all have support and query sets.

    Raises:
        ArgumentTypeError: it is neither a TaskBatch nor its four parts.
        DataError: a support or query set is empty.
    """
    if not isinstance(batch, TaskBatch):
        if not (isinstance(batch, tuple | list) and len(batch) == 4):
            raise ArgumentTypeError(
                f"MetaLearning: a batch must be a TaskBatch, got {type(batch).__name__}; load "
                "tasks with TaskData or data.TaskLoader"
            )
        batch = TaskBatch(*batch)
    check_filled("MetaLearning", "support", batch.support_x, batch.support_mask)
    check_filled("MetaLearning", "query", batch.query_x, batch.query_mask)
    return batch
