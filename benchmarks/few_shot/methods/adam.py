"""Standard training with Adam on the support sets of many tasks at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from learn2learn.utils import detach_module
from torch import Tensor, nn

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import cross_entropy


def adam_on_support(
    model: nn.Module,
    batch: TaskBatch,
    steps: int,
    lr: float,
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    heads: list[tuple[Tensor, Tensor]] | None = None,
) -> Tensor:
    """Train a copy of a model on each support set and return its outputs on the queries.

    Args:
        model: initial model of every task.
        batch: the tasks.
        steps: full-batch Adam steps.
        lr: Adam's learning rate.
        loss: function that computes the loss of each task from outputs and targets.
        heads: initial head of each task, weight `(C, E)` and bias `(C,)`; None uses the model's
            head.

    Shapes:
        returns (N, B, C).
    """
    learner = MAML(model, lr).clone(tasks=len(batch)).module
    detach_module(learner, keep_requires_grad=True)
    if heads is not None:
        with torch.no_grad():
            learner.head.weight.copy_(torch.stack([weight for weight, _ in heads]))
            learner.head.bias.copy_(torch.stack([bias for _, bias in heads]))
    optimizer = torch.optim.Adam(list(learner.parameters()), lr)
    learner.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(learner(batch.support_x), batch.support_y).sum().backward()
        optimizer.step()
    learner.eval()
    with torch.no_grad():
        return learner(batch.query_x)
