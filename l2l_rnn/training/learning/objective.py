"""The meta-learning objective: adapt to support sets, then compute the losses of the queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from learn2learn.algorithms import MAML as PlainMAML
from torch import Tensor, nn

from l2l_rnn.algorithms import MAML, MemoryLearner, ProtoNet, Reptile
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional import accuracy, mean_squared_error
from l2l_rnn.training.adaptation import Loss, adapted, default_loss


class PerTask:
    """A loss or score that returns one value per task.

    `function` may take the task axis and return `(N,)`, as the losses of `l2l_rnn.functional` do.
    If it returns a scalar for several tasks, as torch's losses do, it is called for each task.

    Args:
        function: takes outputs and targets.
        who: names the argument in error messages.
    """

    def __init__(self, function: Loss, who: str) -> None:
        self.function, self.who = function, who
        self._takes_tasks: bool | None = None

    def __call__(self, outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        if self._takes_tasks is None:
            self._takes_tasks = self._probe(outputs, targets, mask)
        if self._takes_tasks:
            masks: dict[str, Any] = {} if mask is None else {"mask": mask}
            return self.function(outputs, targets, **masks)
        values = []
        for n in range(len(outputs)):
            rows = slice(None) if mask is None else mask[n]
            value: Any = self.function(outputs[n][rows], targets[n][rows])
            values.append(torch.as_tensor(value, device=outputs.device).reshape(()))
        return torch.stack(values)

    def _probe(self, outputs: Tensor, targets: Tensor, mask: Tensor | None) -> bool:
        """Tell whether the function returns `(2,)` for two copies of the first task."""
        with torch.no_grad():
            parts = {"mask": mask} if mask is not None else {}
            twice = {name: torch.stack([part[0], part[0]]) for name, part in parts.items()}
            both = [torch.stack([part[0], part[0]]) for part in (outputs, targets)]
            try:
                values: Any = self.function(*both, **twice)
            except (RuntimeError, ValueError, IndexError, TypeError):
                values = None  # it does not know the task axis, such as torch's
            if isinstance(values, Tensor) and values.shape == (2,):
                return True
            rows = slice(None) if mask is None else mask[0]
            one = torch.as_tensor(self.function(outputs[0][rows], targets[0][rows]))
        if one.numel() != 1:
            raise ShapeError(
                f"MetaLearning: {self.who} must return one value per task, got shape "
                f"{tuple(one.shape)} for a single task; average it over the examples"
            )
        return False


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
    loss = default_loss(y) if loss is None else loss
    score = default_score(y) if score is None else score
    mask: dict[str, Any] = {} if batch.query_mask is None else {"mask": batch.query_mask}
    options: dict[str, Any] = {}
    if isinstance(learner, PlainMAML):
        first_order = first_order if training else True
        options = {} if first_order is None else {"first_order": first_order}
    weighted: list[Tensor] = []

    def after_step(step: int, copy: Any) -> None:
        if step_weights is not None and step < len(step_weights) and step_weights[step - 1]:
            weighted.append(step_weights[step - 1].to(x.device) * loss(copy(x), y, **mask))

    # Without a task axis, `adapted` calls the loss with one task at a time.
    each = isinstance(loss, PerTask) and not isinstance(learner, MAML | ProtoNet | MemoryLearner)
    copy = adapted(
        learner,
        batch.support_x,
        batch.support_y,
        tasks=len(batch),
        steps=steps,
        loss=loss.function if each else loss,  # type: ignore[attr-defined]
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
