"""The learner of one task, from a learner of many."""

from __future__ import annotations

from typing import Any

from learn2learn.utils import clone_module
from torch import Tensor

from l2l_rnn.algorithms.inner_loop.kept_state import places_with_task_axis
from l2l_rnn.algorithms.inner_loop.nested_values import map_tensors
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.axes import unmark_task_axis
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError, ArgumentTypeError


def select_task(learner: MAML, task: int) -> Any:
    """Return the learner of one of the N tasks of a learner, without the task axis.

    Use it to evaluate, save or deploy what one task has learned. Gradients flow back to `learner`.
    State that the model keeps between calls is that of the task.

    Args:
        learner: a learner from `clone(tasks=N)`.
        task: the index of the task, from 0 to N - 1.

    Returns:
        A learner of the same class.

    Raises:
        ArgumentTypeError: `learner` is not a `MAML`.
        ArgumentError: the learner has no task axis, or `task` is out of range.

    Example:
        >>> from torch import nn
        >>> learner = MAML(nn.Linear(4, 2), lr=0.1).clone(tasks=3)
        >>> select_task(learner, 2).module.weight.shape
        torch.Size([2, 4])
    """
    if not isinstance(learner, MAML):
        raise ArgumentTypeError(
            f"select_task: learner must be a MAML learner, got {type(learner).__name__}; pass the "
            "learner, not its module"
        )
    if learner.tasks is None:
        raise ArgumentError("select_task: the learner has no task axis; use it as it is")
    task = check_int("select_task", "task", task, least=0, most=learner.tasks - 1)
    one: MAML = clone_module(learner)
    selected: dict[Tensor, Tensor] = {}  # tied parameters stay tied

    def select(tensor: Tensor) -> Tensor:
        return selected.setdefault(tensor, tensor[task])

    for _, own, name in places_with_task_axis(one.module):
        own[name] = map_tensors(select, own[name])
    for child in one.module.modules():
        unmark_task_axis(child)
    one.tasks = None
    one._select(task)
    return one
