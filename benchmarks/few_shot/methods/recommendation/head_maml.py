"""MAML on the head, as in MeLU: gradient steps on what a user's ratings say about the head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.recommendation.learned import LearnedRecommender
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem
from l2l_rnn.algorithms import ANIL, PerTensorLR
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import cross_entropy, mean_squared_error


class HeadMAML(LearnedRecommender):
    """Adapts the head by gradient steps on the support set; the embeddings are shared.

    The learning rate of each tensor and step is learned. With a recurrence, each rating of the
    support set is predicted from the state before it, and the queries from the last state.

    Args:
        recurrent: whether the recurrence reads the support set; without it, it is MeLU.
        lr: initial learning rate of the inner loop.
        steps: number of inner steps.
        options: arguments of `LearnedRecommender`.
    """

    def __init__(
        self,
        problem: RecommendationProblem,
        label: str,
        *,
        recurrent: bool,
        lr: float,
        steps: int,
        **options: Any,
    ) -> None:
        super().__init__(problem, label, **options)
        self.recurrent, self.steps = recurrent, steps
        head = "ranking" if problem.spec.ranks else "head"
        self.learner = ANIL(self.model, PerTensorLR(self.model, lr, steps), head=head)

    def predict(self, batch: TaskBatch) -> Tensor:
        return self.adapted_outputs(batch).detach()

    def adapted_ratings(self, batch: TaskBatch) -> Tensor:
        learner = self.learner.clone(tasks=len(batch))
        states = self.model.read(batch.support_x, batch.support_y)
        if not self.recurrent:
            states = torch.zeros_like(states)
        for _ in range(self.steps):
            outputs = learner(batch.support_x, states[:, :-1])
            learner.adapt(mean_squared_error(outputs, batch.support_y))
        return learner(batch.query_x, states[:, -1:]).squeeze(-1)

    def scorer(self, states: Tensor, items: Tensor) -> Callable[[Tensor], Tensor]:
        learner = self.learner.clone(tasks=len(states))
        for _ in range(self.steps):
            learner.adapt(cross_entropy(learner.scores(states), items))
        return learner.scores
