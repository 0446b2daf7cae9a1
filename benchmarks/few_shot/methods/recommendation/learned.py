"""Recommenders that are trained on windows of training users' ratings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.recommendation.factorization import item_factors
from benchmarks.few_shot.methods.recommendation.recommendation_method import (
    KNOWN,
    RecommendationMethod,
)
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem, Windows
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.models import Recommender

RANK = 16  # factors that embeddings start from
FACTORS = {False: (6.0, None), True: (25.0, 2.0)}  # their ridge penalty and weight, by `ranks`
REST = 0.3  # scale of the other features of an embedding


class LearnedRecommender(RecommendationMethod):
    """Trains a learner to predict the ratings, or the item, that follow a user's first ratings.

    The embeddings of items start from the factorization of the training ratings, which is also
    the strongest baseline. With few training users, this is what makes the learners better than it.

    Args:
        model: options of `Recommender`.
        training: settings of the training; `tasks` is the number of users per step.

    Attributes:
        model: the network; its baselines are fitted to the training users.
        learner: what is trained, set by a subclass; by default the network.
    """

    learner: Any

    def __init__(
        self,
        problem: RecommendationProblem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
    ) -> None:
        super().__init__(problem, label)
        self.training = training
        source = problem.train
        self.model = Recommender(len(source.vocabulary), scale=source.scale, **model)
        self.model.fit_baselines(source.inputs, source.targets)
        self._start_embeddings()
        self.model.to(problem.device)
        self.learner = nn.ModuleList([self.model])

    def _start_embeddings(self) -> None:
        """Start the embeddings from factors of the items, scaled to a mean squared norm of 1."""
        weight = self.model.encoder.embedding.weight
        strength, confidence = FACTORS[self.problem.spec.ranks]
        rank = min(RANK, weight.shape[1])
        factors = item_factors(self.problem, rank, strength, confidence)
        with torch.no_grad():
            weight.mul_(REST)
            weight[:, :rank] = factors / factors[KNOWN:].square().sum(-1).mean().sqrt()

    @abstractmethod
    def adapted_ratings(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets, and predict the ratings of the queries, `(N, B)`.

        Gradients reach the learner.
        """

    def scorer(self, states: Tensor, items: Tensor) -> Callable[[Tensor], Tensor]:
        """Adapt to support sets, and return what scores all ids from states of the recurrence.

        The default adapts nothing.

        Args:
            states: the states before each item of the support sets.
            items: the ids of these items.

        Shapes:
            states `(N, K, H)`, items `(N, K)`; the result maps `(N, S, H)` to `(N, S, items)`.
        """
        return self.model.scores

    def adapted_outputs(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets, and predict ratings or score all ids."""
        if not self.problem.spec.ranks:
            return self.adapted_ratings(batch)
        states = self.model.read(batch.support_x, batch.support_y)
        scores = self.scorer(states[:, :-1], batch.support_x.squeeze(-1))
        return scores(states[:, -1:]).squeeze(1)

    def predict(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            return self.adapted_outputs(batch)

    def vectors(self, batch: TaskBatch, *, recurrent: bool) -> tuple[Tensor, Tensor]:
        """Return vectors of the support set and of the queries, `(N, K, E)` and `(N, B, E)`.

        Those of the recurrence depend on the state before each rating of the support set, and on
        the last state.
        """
        model = self.model
        if not recurrent:
            return model.encoder(batch.support_x), model.encoder(batch.query_x)
        states = model.read(batch.support_x, batch.support_y)
        support = model.features(batch.support_x, states[:, :-1])
        return support, model.features(batch.query_x, states[:, -1:])

    def loss(self, windows: Windows, step: int) -> Tensor:
        """Return the loss of a training step, with one of the numbers of ratings after another.

        In rankings, it is that of every item of the windows: the items of the support set are
        predicted by the network, and later ones by what is adapted to them.
        """
        shots = self.problem.shots[step % len(self.problem.shots)]
        if not self.problem.spec.ranks:
            batch = windows.tasks(shots, self.problem.spec.queries)
            outputs = self.adapted_ratings(batch).unsqueeze(-1)
            return mean_squared_error(outputs, batch.query_y, batch.query_mask).mean()
        items = windows.x.squeeze(-1)
        states = self.model.read(windows.x[:, :-1], windows.y[:, :-1])
        scores = self.scorer(states[:, :shots], items[:, :shots])
        both = [self.model.scores(states[:, :shots]), scores(states[:, shots:])]
        return next_item_losses(torch.cat(both, 1), items, windows.mask)

    def train(self) -> History:
        windows = self.problem.training_tasks(self.training, self.problem.seed)

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            loss = self.loss(windows.batch(step, progress), step)
            return loss, loss.detach()

        return run_training(
            self.learner,
            self.training,
            loss_of_step,
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
            lower_is_better=self.problem.spec.lower_is_better,
        )


class RecurrentRecommender(LearnedRecommender):
    """Reads the support set with the recurrence, and adapts nothing.

    In each step, ratings are predicted after every number of ratings.

    Args:
        model, training: as in `LearnedRecommender`.
    """

    def adapted_ratings(self, batch: TaskBatch) -> Tensor:
        state = self.model.read(batch.support_x, batch.support_y)[:, -1:]
        return self.model(batch.query_x, state).squeeze(-1)

    def loss(self, windows: Windows, step: int) -> Tensor:
        if self.problem.spec.ranks:
            return super().loss(windows, step)
        most = self.problem.most
        states = self.model.read(windows.x[:, :most], windows.y[:, :most])
        losses = []
        for shots in (0, *self.problem.shots):
            batch = windows.tasks(shots, self.problem.spec.queries)
            outputs = self.model(batch.query_x, states[:, shots : shots + 1])
            losses.append(mean_squared_error(outputs, batch.query_y, batch.query_mask).mean())
        return torch.stack(losses).mean()


def next_item_losses(scores: Tensor, items: Tensor, mask: Tensor) -> Tensor:
    """Return the mean cross-entropy of each item of windows, among those not seen before it.

    Shapes:
        scores `(N, W, items)`, items and mask `(N, W)`.
    """
    steps = torch.arange(items.shape[1], device=items.device)
    first = torch.full_like(scores[:, 0], len(steps), dtype=torch.int64)  # where an item occurs
    first.scatter_reduce_(-1, items, steps.expand_as(items), "amin")
    seen = first.unsqueeze(1) < steps.unsqueeze(-1)
    return cross_entropy(scores.masked_fill(seen, -torch.inf), items, mask).mean()
