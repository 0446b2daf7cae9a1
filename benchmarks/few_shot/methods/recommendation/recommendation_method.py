"""Base class of the methods for recommendation, and their measures."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Measure
from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.recommendation_problem import RecommendationProblem, Windows
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import ndcg_at, recall_at

KNOWN = 2  # ids below are padding and unknown items
TOP = 10  # length of a ranking
LIKED = 0.75  # a rating this far up the scale, or higher, is that of a liked item


class RecommendationMethod(Method):
    """Predicts the ratings that follow a user's first ones, or ranks items.

    Measures of ratings are computed for each user: RMSE is the root of the mean squared error of
    the user's ratings. Rankings are of all items of the catalogue without those of the support set.
    """

    problem: RecommendationProblem
    chunk = 100

    def __init__(self, problem: RecommendationProblem, label: str) -> None:
        super().__init__(problem, label)
        self._outputs: dict[int, Tensor] = {}  # on the test users, by number of ratings

    @abstractmethod
    def predict(self, batch: TaskBatch) -> Tensor:
        """Predict the ratings of the queries, `(N, B)`, or score all ids, `(N, items)`."""

    def evaluate(self, column: Measure) -> Tensor:
        users = self.problem.evaluation_tasks("test", self.problem.test_tasks)
        if column.ratings not in self._outputs:
            self._outputs[column.ratings] = self.outputs(users, column.ratings)
        tasks = users.tasks(column.ratings, self.problem.spec.queries)
        return self.measure(column.measure, self._outputs[column.ratings], tasks)

    def outputs(self, users: Windows, ratings: int) -> Tensor:
        """Return the predictions for users of whom this many ratings are known."""
        tasks = users.tasks(ratings, self.problem.spec.queries)
        return torch.cat([self.predict(part).detach() for part in tasks.chunks(self.chunk)])

    def measure(self, name: str, outputs: Tensor, tasks: TaskBatch) -> Tensor:
        """Compute a measure of each user, `(N,)`; users without a liked item are left out."""
        if name in ("RMSE", "MAE"):
            return self._error(name, outputs, tasks)
        what, _, kind = name.partition(" of ")
        relevant = self._relevant(kind, outputs, tasks)
        seen = torch.zeros_like(relevant)
        seen.scatter_(-1, tasks.support_x.squeeze(-1), True)
        seen[:, :KNOWN] = True
        relevant &= ~seen
        found = relevant.any(-1)
        chosen = found if kind == "liked items" else torch.ones_like(found)
        function = {f"NDCG@{TOP}": ndcg_at, f"recall@{TOP}": recall_at}[what]
        scores = outputs.new_zeros(len(outputs), dtype=torch.float64)  # 0 for an unknown item
        scores[found] = function(outputs[found].double(), relevant[found], TOP, seen=seen[found])
        return scores[chosen].cpu()

    def validation_score(self, tasks: int) -> float:
        """Return the mean of the measure that is validated, over users and numbers of ratings."""
        users = self.problem.evaluation_tasks("validation", tasks)
        total = 0.0
        for ratings in self.problem.shots:
            batch = users.tasks(ratings, self.problem.spec.queries)
            outputs = self.outputs(users, ratings)
            total += self.measure(self.problem.spec.validated, outputs, batch).mean().item()
        return total / len(self.problem.shots)

    def _error(self, name: str, outputs: Tensor, tasks: TaskBatch) -> Tensor:
        mask = tasks.query_mask
        assert mask is not None  # noqa: S101
        errors = (outputs.clamp(*self.problem.train.scale) - tasks.query_y.squeeze(-1)).double()
        losses = errors.abs() if name == "MAE" else errors.square()
        means = torch.where(mask, losses, 0.0).sum(-1) / mask.sum(-1)
        return (means if name == "MAE" else means.sqrt()).cpu()

    def _relevant(self, kind: str, outputs: Tensor, tasks: TaskBatch) -> Tensor:
        """Return the relevant items: the next one, or those of the queries that are liked."""
        mask = tasks.query_mask
        assert mask is not None  # noqa: S101
        if kind == "next item":
            chosen = torch.zeros_like(mask)
            chosen[:, 0] = True
        else:
            low, high = self.problem.train.scale
            chosen = mask & (tasks.query_y.squeeze(-1) >= low + LIKED * (high - low))
        relevant = torch.zeros_like(outputs, dtype=torch.bool)
        rows, places = chosen.nonzero(as_tuple=True)
        relevant[rows, tasks.query_x[rows, places, 0]] = True
        return relevant


class Tuned(RecommendationMethod):
    """A baseline with settings that are chosen on validation users.

    Attributes:
        settings: the chosen settings.
    """

    settings: dict[str, Any]
    validation_tasks = 1000

    def choose(self, candidates: list[dict[str, Any]]) -> None:
        """Set `settings` to the candidate with the best measure on validation users."""
        scores = []
        for candidate in candidates:
            self.settings = candidate
            scores.append(self.validation_score(self.validation_tasks))
        best = min if self.problem.spec.lower_is_better else max
        self.settings = candidates[scores.index(best(scores))]

    def details(self) -> dict[str, Any]:
        return {"settings": self.settings}
