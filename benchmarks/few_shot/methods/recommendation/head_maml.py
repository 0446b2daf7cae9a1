"""MAML on the head, as in MeLU: gradient steps on what a user's ratings say about the head."""

from __future__ import annotations

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

    def adapted_outputs(self, batch: TaskBatch) -> Tensor:
        learner = self.learner.clone(tasks=len(batch))
        states = self.model.read(batch.support_x, batch.support_y)
        if not self.recurrent:
            states = torch.zeros_like(states)
        for _ in range(self.steps):
            if self.problem.spec.ranks:
                loss = self._ranking_loss(learner, states, batch)
            else:
                outputs = learner(batch.support_x, states[:, :-1])
                loss = mean_squared_error(outputs, batch.support_y)
            learner.adapt(loss)
        if self.problem.spec.ranks:
            return learner.scores(states[:, -1:]).squeeze(1)
        return learner(batch.query_x, states[:, -1:]).squeeze(-1)

    @staticmethod
    def _ranking_loss(learner: Any, states: Tensor, batch: TaskBatch) -> Tensor:
        """Return the cross-entropy of each task's support items, `(N,)`."""
        return cross_entropy(learner.scores(states[:, :-1]), batch.support_x.squeeze(-1))
