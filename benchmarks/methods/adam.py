"""Ordinary training on the support sets of many tasks at once."""

from __future__ import annotations

import torch
from learn2learn.utils import detach_module
from torch import Tensor

from l2l_rnn.algorithms import MAML
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier


def adam_on_support(
    model: SequenceClassifier,
    batch: TaskBatch,
    steps: int,
    lr: float,
    heads: list[tuple[Tensor, Tensor]] | None = None,
) -> Tensor:
    """Train a copy of a model on each support set with Adam and score the query: `(N, B, C)`.

    Args:
        model: where every task starts.
        batch: the tasks.
        steps: Adam steps, full batch.
        lr: their step size.
        heads: a head for each task to start from, weight `(C, E)` and bias `(C,)`.
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
        cross_entropy(learner(batch.support_x), batch.support_y).sum().backward()
        optimizer.step()
    learner.eval()
    with torch.no_grad():
        return learner(batch.query_x)
