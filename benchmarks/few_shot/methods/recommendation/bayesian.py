"""Bayesian linear regression on item features, with a meta-learned prior: ALPaCA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.recommendation.learned import LearnedRecommender
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem, Windows
from l2l_rnn.algorithms import ALPaCA
from l2l_rnn.data import TaskBatch


class BayesianHead(LearnedRecommender):
    """Solves for a user's weights in closed form; features, prior and noise are meta-learned.

    Without a recurrence, it is matrix factorization with biases, where the ridge penalties of a new
    user are a full prior, and factors are trained to serve after few ratings. With a recurrence,
    features also depend on the state before each rating.

    Args:
        recurrent: whether the recurrence reads the support set.
        discount: the weight of a rating relative to the next one.
        noise: initial variance of the noise of ratings.
        options: arguments of `LearnedRecommender`.
    """

    def __init__(
        self,
        problem: RecommendationProblem,
        label: str,
        *,
        recurrent: bool,
        discount: float,
        noise: float,
        **options: Any,
    ) -> None:
        super().__init__(problem, label, **options)
        self.recurrent = recurrent
        weight = self.model.head.weight.detach().squeeze(0)
        size = len(weight) if recurrent else self.model.encoder.output_size
        self.head = ALPaCA(
            nn.Identity(), 1, features=size, regularization=2.0, noise=noise, discount=discount
        ).to(problem.device)
        with torch.no_grad():
            self.head.prior_mean.copy_(weight[:size].unsqueeze(-1))
        self.learner = nn.ModuleList([self.model, self.head])

    def adapted_ratings(self, batch: TaskBatch) -> Tensor:
        head, vectors = self._adapted(batch)
        return (self.model.mean + head(vectors)).squeeze(-1)

    def loss(self, windows: Windows, step: int) -> Tensor:
        """Return the negative log-likelihood of the queries."""
        shots = self.problem.shots[step % len(self.problem.shots)]
        batch = windows.tasks(shots, self.problem.spec.queries)
        head, vectors = self._adapted(batch)
        losses = -head.predictive(vectors).log_prob(batch.query_y - self.model.mean)
        assert batch.query_mask is not None  # noqa: S101
        return losses.squeeze(-1)[batch.query_mask].mean()

    def _adapted(self, batch: TaskBatch) -> tuple[Any, Tensor]:
        """Return the head of each user, and the vectors of the queries."""
        support, query = self.vectors(batch, recurrent=self.recurrent)
        head = self.head.clone(tasks=len(batch))
        head.write(support, batch.support_y - self.model.mean)
        return head, query
