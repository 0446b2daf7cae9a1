"""Item neighbors: similar items, by how the same training users rated or chose them."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from benchmarks.few_shot.methods.recommendation.popularity import best_deviations
from benchmarks.few_shot.methods.recommendation.recommendation_method import Tuned
from l2l_rnn.data import TaskBatch

NEIGHBORS = (5, 10, 20)  # most rated items that a prediction uses
SHRINKAGE = (10.0, 50.0, 200.0)
DAMPING = (0.0, 1.0, 4.0)


class ItemNeighbors(Tuned):
    """Predicts ratings, or ranks items, from the items of the support set that are most similar.

    For ratings, the similarity of two items is the cosine of their ratings less the means of items
    and users, over users who rated both, shrunk by `n / (n + shrinkage)` (adjusted cosine). The
    prediction is `m + b_i + b_u + sum_j s_ij r_j / (damping + sum_j |s_ij|)`, over the nearest
    rated items j. For rankings, the similarity is the cosine of the sets of users, and the score is
    the sum over all items of the support set.

    Source: B. Sarwar, G. Karypis, J. Konstan and J. Riedl, 2001, Item-based Collaborative Filtering
    Recommendation Algorithms; R. Bell and Y. Koren, 2007, for the shrinkage.
    """

    def train(self) -> None:
        source = self.problem.train
        shape = (len(source.group_names), len(source.vocabulary))
        rated = torch.zeros(shape, dtype=torch.float32)
        rated[source.groups, source.inputs.flatten()] = 1
        self.both = rated.T @ rated  # users who rated both items
        if self.problem.spec.ranks:
            size = self.both.diagonal().sqrt()
            self.cosine = self.both / (size.unsqueeze(-1) * size).clamp(min=1e-9)
            self.choose([{"shrinkage": strength} for strength in (0.0, *SHRINKAGE)])
            return
        self.deviations = best_deviations(self.problem)
        rest = torch.zeros(shape, dtype=torch.float32)
        rest[source.groups, source.inputs.flatten()] = self.deviations.residuals.float()
        squares = rest.square().T @ rated  # of item i, over users who rated j too
        self.cosine = rest.T @ rest / (squares * squares.T).sqrt().clamp(min=1e-9)
        self.choose(
            [
                {"neighbors": k, "shrinkage": s, "damping": d}
                for k, s, d in itertools.product(NEIGHBORS, SHRINKAGE, DAMPING)
            ]
        )

    @property
    def similarities(self) -> Tensor:
        """The shrunk similarities, without those of items to themselves."""
        found = self.cosine * self.both / (self.both + self.settings["shrinkage"]).clamp(min=1e-9)
        return found.fill_diagonal_(0)

    def predict(self, batch: TaskBatch) -> Tensor:
        rated = batch.support_x.squeeze(-1)
        similar = self.similarities
        if self.problem.spec.ranks:
            return similar[rated].sum(1).double()
        offset, rest = self.deviations.support(batch)
        close = similar[batch.query_x, rated.unsqueeze(1)].double()  # (N, B, K)
        count = min(self.settings["neighbors"], close.shape[-1])
        weights, places = close.topk(count, -1)
        weights = weights.clamp(min=0)
        values = rest.unsqueeze(1).expand_as(close).gather(-1, places)
        found = (weights * values).sum(-1) / (self.settings["damping"] + weights.sum(-1)).clamp(
            min=1e-9
        )
        return self.deviations.queries(batch, offset) + found
