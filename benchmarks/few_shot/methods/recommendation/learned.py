"""Recommenders that are trained on windows of training users' ratings."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.recommendation.recommendation_method import RecommendationMethod
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem, Windows
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import cross_entropy, mean_squared_error
from l2l_rnn.models import Recommender


class LearnedRecommender(RecommendationMethod):
    """Trains a learner to predict the ratings, or the item, that follow a user's first ratings.

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
        self.model.to(problem.device)
        self.learner = nn.ModuleList([self.model])

    @abstractmethod
    def adapted_outputs(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets, and predict `(N, B)` ratings, or score all ids `(N, items)`.

        Gradients reach the learner.
        """

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
        """Return the loss of a training step, with one of the numbers of ratings after another."""
        shots = self.problem.shots[step % len(self.problem.shots)]
        batch = windows.tasks(shots, self.problem.spec.queries)
        outputs = self.adapted_outputs(batch)
        if not self.problem.spec.ranks:
            targets = batch.query_y
            return mean_squared_error(outputs.unsqueeze(-1), targets, batch.query_mask).mean()
        return next_item_loss(outputs, batch)

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

    Every rating of a window is predicted from the state after the ratings before it, as is every
    next item.

    Args:
        model, training: as in `LearnedRecommender`.
    """

    def adapted_outputs(self, batch: TaskBatch) -> Tensor:
        state = self.model.read(batch.support_x, batch.support_y)[:, -1:]
        if self.problem.spec.ranks:
            return self.model.scores(state).squeeze(1)
        return self.model(batch.query_x, state).squeeze(-1)

    def loss(self, windows: Windows, step: int) -> Tensor:
        x, y, mask = windows.x, windows.y, windows.mask
        queries = self.problem.spec.queries
        if self.problem.spec.ranks:
            states = self.model.read(x[:, :-1], y[:, :-1])  # before each rating of the window
            scores = self.model.scores(states)
            return next_item_losses(scores, x.squeeze(-1), mask)
        states = self.model.read(x[:, : self.problem.most], y[:, : self.problem.most])
        losses = []
        for shots in (0, *self.problem.shots):
            batch = windows.tasks(shots, queries)
            outputs = self.model(batch.query_x, states[:, shots : shots + 1])
            losses.append(mean_squared_error(outputs, batch.query_y, batch.query_mask).mean())
        return torch.stack(losses).mean()


def next_item_loss(scores: Tensor, batch: TaskBatch) -> Tensor:
    """Return the cross-entropy of the next item, among those that the user has not seen.

    Shapes:
        scores `(N, items)`.
    """
    seen = torch.zeros_like(scores, dtype=torch.bool)
    seen.scatter_(-1, batch.support_x.squeeze(-1), True)
    logits = scores.masked_fill(seen, -torch.inf).unsqueeze(1)
    return cross_entropy(logits, batch.query_x[:, :1, 0]).mean()


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
