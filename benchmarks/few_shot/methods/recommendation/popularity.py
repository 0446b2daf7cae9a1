"""Baselines without similarities: item means with the user's offset, and popularity."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from benchmarks.few_shot.methods.recommendation.recommendation_method import (
    RecommendationMethod,
    Tuned,
)
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem
from l2l_rnn.data import TaskBatch, UserRatings

STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class Deviations:
    """Shrunk means of training ratings: `m + b_i`, and the offset `b_u` of a user.

    `b_i = sum(r - m - b_u) / (n_i + s_i)` and `b_u = sum(r - m - b_i) / (n_u + s_u)`, alternately.

    Args:
        source: the training users.
        item_strength, user_strength: `s_i` and `s_u`.

    Attributes:
        mean: `m`.
        item: `b_i` of each id; 0 for unknown items.
        user: `b_u` of each training user.
        residuals: what is left of each training rating.
    """

    def __init__(self, source: UserRatings, item_strength: float, user_strength: float) -> None:
        ids, ratings = source.inputs.flatten(), source.targets.flatten().double()
        self.mean, self.strength = ratings.mean(), user_strength
        self.user = torch.zeros(len(source.group_names), dtype=torch.float64)
        sizes = (len(source.vocabulary), len(self.user))
        counts = [torch.bincount(k, minlength=n) for k, n in zip((ids, source.groups), sizes)]  # noqa: B905
        for _ in range(10):
            rest = ratings - self.mean - self.user[source.groups]
            sums = torch.zeros(sizes[0], dtype=torch.float64).index_add(0, ids, rest)
            self.item = sums / (counts[0] + item_strength)
            rest = ratings - self.mean - self.item[ids]
            sums = torch.zeros_like(self.user).index_add(0, source.groups, rest)
            self.user = sums / (counts[1] + user_strength)
        self.residuals = ratings - self.mean - self.item[ids] - self.user[source.groups]

    def support(self, batch: TaskBatch) -> tuple[Tensor, Tensor]:
        """Return the offset of each user, `(N, 1)`, and what is left of its ratings, `(N, K)`."""
        ids, ratings = batch.support_x.squeeze(-1), batch.support_y.squeeze(-1)
        rest = ratings.double() - self.mean - self.item[ids]
        offset = rest.sum(-1, keepdim=True) / (rest.shape[-1] + self.strength)
        return offset, rest - offset

    def queries(self, batch: TaskBatch, offset: Tensor) -> Tensor:
        """Return `m + b_i + b_u` of the queries, `(N, B)`."""
        return self.mean + self.item[batch.query_x.squeeze(-1)] + offset


def best_deviations(problem: RecommendationProblem) -> Deviations:
    """Return the shrunk means that are best on validation users, computed once."""
    if "deviations" not in problem.memo:
        method = ItemMeans(problem, "item means")
        method.train()
        problem.memo["deviations"] = method.deviations
    return problem.memo["deviations"]


class ItemMeans(Tuned):
    """Predicts the item's mean plus the user's mean deviation from it, both shrunk."""

    def train(self) -> None:
        self.found: dict[tuple[float, float], Deviations] = {}
        pairs = itertools.product(STRENGTHS, repeat=2)
        self.choose([{"item_strength": i, "user_strength": u} for i, u in pairs])
        self.problem.memo["deviations"] = self.deviations

    @property
    def deviations(self) -> Deviations:
        """The means with the chosen strengths."""
        key = (self.settings["item_strength"], self.settings["user_strength"])
        if key not in self.found:
            self.found[key] = Deviations(self.problem.train, *key)
        return self.found[key]

    def predict(self, batch: TaskBatch) -> Tensor:
        offset, _ = self.deviations.support(batch)
        return self.deviations.queries(batch, offset)


class Popularity(RecommendationMethod):
    """Ranks items by their number of ratings."""

    def predict(self, batch: TaskBatch) -> Tensor:
        source = self.problem.train
        counts = torch.bincount(source.inputs.flatten(), minlength=len(source.vocabulary))
        return counts.double().expand(len(batch), -1)
