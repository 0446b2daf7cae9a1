"""Matrix factorization by alternating least squares, with a new user folded in by ridge."""

from __future__ import annotations

import itertools

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.methods.recommendation.popularity import Deviations, best_deviations
from benchmarks.few_shot.methods.recommendation.recommendation_method import KNOWN, Tuned
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem
from l2l_rnn.data import TaskBatch

RANKS = (4, 8, 16)
STRENGTHS = {False: (3.0, 6.0, 12.0), True: (6.0, 25.0, 100.0)}  # ridge penalties, by `ranks`
FOLD_IN = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)  # penalties of a new user
DISCOUNTS = (1.0, 0.97, 0.94, 0.9)  # weight of a new user's rating relative to the next one
WEIGHTS = (2.0, 4.0, 16.0)  # of chosen items, in rankings
ROUNDS = 12


class Factorization(Tuned):
    """Factorizes what item means and user offsets leave of the ratings.

    `r_ui = m + b_i + b_u + p_u q_i`. The factors minimize the squared error plus ridge penalties,
    by alternating least squares. The factors and the offset of a new user minimize the same for its
    ratings, with the items' factors fixed. Rankings use implicit feedback: chosen items have the
    value 1 and a higher weight than all others, which have the value 0. Later ratings
    of a new user may weigh more. Rank, penalties and weights are chosen on validation users.

    Source: Y. Koren, R. Bell and C. Volinsky, 2009, Matrix Factorization Techniques for Recommender
    Systems; Y. Hu, Y. Koren and C. Volinsky, 2008, Collaborative Filtering for Implicit Feedback
    Datasets.
    """

    def train(self) -> None:
        ranks = self.problem.spec.ranks
        weights = WEIGHTS if ranks else (None,)
        trained = [
            {"rank": r, "strength": s, "weight": w}
            for r, s, w in itertools.product(RANKS, STRENGTHS[ranks], weights)
        ]
        usual = {"discount": 1.0}
        self.choose([{**usual, **one, "fold_in": one["strength"]} for one in trained])
        for name, values in {"fold_in": FOLD_IN, "discount": DISCOUNTS}.items():
            self.choose([{**self.settings, name: value} for value in values])

    @property
    def item_factors(self) -> Tensor:
        """The items' factors with the chosen settings, `(items, rank)`."""
        return item_factors(
            self.problem, *(self.settings[name] for name in ("rank", "strength", "weight"))
        )

    @property
    def deviations(self) -> Deviations:
        """The shrunk means whose residuals are factorized."""
        return best_deviations(self.problem)

    def predict(self, batch: TaskBatch) -> Tensor:
        items, ids = self.item_factors, batch.support_x.squeeze(-1)
        strength, weight = self.settings["fold_in"], self.settings["weight"]
        age = torch.arange(ids.shape[1] - 1, -1, -1)
        recency = self.settings["discount"] ** age
        if self.problem.spec.ranks:
            rated = torch.zeros(len(batch), len(items)).scatter(-1, ids, recency.expand(ids.shape))
            values = (rated + (1 - rated) / weight) * (rated > 0)  # 1 times the confidence
            users = solved(items, rated, values, strength, weight)
            return (users @ items.T).double()
        # The offset is one more factor, whose penalty is the strength of the shrunk mean.
        vectors = torch.cat([items[ids].double(), torch.ones(*ids.shape, 1).double()], -1)
        offset, rest = self.deviations.support(batch)
        penalty = torch.tensor([strength] * items.shape[1] + [self.deviations.strength]).double()
        weighted = (recency.unsqueeze(-1) * vectors).mT
        system = weighted @ vectors + penalty.diag()
        users = torch.linalg.solve(system, weighted @ (rest + offset).unsqueeze(-1))
        query = items[batch.query_x.squeeze(-1)].double()
        found = (query @ users[:, :-1]).squeeze(-1)
        return self.deviations.queries(batch, users[:, -1]) + found


def item_factors(
    problem: RecommendationProblem, rank: int, strength: float, weight: float | None
) -> Tensor:
    """Return the factors of items, from the ratings of the training users, computed once.

    Args:
        problem: the problem; rankings factorize what was chosen, others what is left of ratings.
        rank: number of factors.
        strength: ridge penalty.
        weight: as in `solved`.

    Shapes:
        (items, rank); zeros for padding and unknown items.
    """
    key = ("factors", rank, strength, weight)
    if key not in problem.memo:
        source = problem.train
        ids = source.inputs.flatten()
        rated = torch.zeros(len(source.group_names), len(source.vocabulary))
        rated[source.groups, ids] = 1
        values = rated.clone()
        if not problem.spec.ranks:
            values[source.groups, ids] = best_deviations(problem).residuals.float()
        generator = Generator().manual_seed(0)
        items = torch.randn(rated.shape[1], rank, generator=generator) / rank**0.5
        items[:KNOWN] = 0
        for _ in range(ROUNDS):
            users = solved(items, rated, values, strength, weight)
            items = solved(users, rated.T, values.T, strength, weight)
        problem.memo[key] = items
    return problem.memo[key]


def solved(
    fixed: Tensor, rated: Tensor, values: Tensor, strength: float, weight: float | None
) -> Tensor:
    """Solve one side of a factorization, with the factors of the other side fixed.

    Args:
        fixed: factors of the other side.
        rated: weight of each rating, 1 if nothing else is said; 0 where there is none.
        values: the ratings, 0 elsewhere.
        strength: ridge penalty.
        weight: weight of what was rated, where all else has the value 0 and the weight 1; None
            leaves all else out.

    Shapes:
        fixed (m, rank), rated and values (n, m) -> (n, rank).
    """
    outer = (fixed.unsqueeze(-1) * fixed.unsqueeze(-2)).flatten(1)  # (m, rank * rank)
    rank = fixed.shape[1]
    if weight is None:
        system, right = rated @ outer, values @ fixed
    else:
        system = (weight - 1) * (rated @ outer) + outer.sum(0)
        right = weight * (values @ fixed)
    system = system.unflatten(1, (rank, rank)) + strength * torch.eye(rank)
    return torch.linalg.solve(system, right.unsqueeze(-1)).squeeze(-1)
