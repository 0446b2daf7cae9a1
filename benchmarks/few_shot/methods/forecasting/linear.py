"""Linear baselines: seasonal naive, and ridge regression on lags over all training series."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.forecasting.forecast_method import PointMethod
from benchmarks.few_shot.problems.forecasting_problem import (
    CLIP,
    ForecastingProblem,
    ForecastTasks,
)
from benchmarks.few_shot.problems.problem import generator_of
from benchmarks.few_shot.training import History
from l2l_rnn.models import ForecastEncoder
from l2l_rnn.tasksets import SeasonalSeries

TRAINED = 4000  # drawn training series


class SeasonalNaive(PointMethod):
    """Repeats the last season of the history."""

    def point(self, tasks: ForecastTasks) -> Tensor:
        history, horizon = tasks.history, self.problem.horizon
        ahead = torch.arange(1, horizon + 1)
        period = tasks.period.long().unsqueeze(-1)
        seasons = -(-ahead // period)
        index = history.shape[-1] - 1 + ahead - period * seasons  # (N, H)
        found = history.gather(-1, index.clamp_min(0)).to(tasks.mean.device)
        return (found - tasks.mean[:, 0]) / tasks.std[:, 0]


class LagFeatures:
    """The features of a forecaster that are not learned: 1, lags, and values of past seasons.

    Args:
        horizon: steps to forecast.
        lags: number of lags.
    """

    def __init__(self, horizon: int, lags: int) -> None:
        self.encoder = ForecastEncoder(horizon, hidden_size=1, lags=lags, seasonal=True)

    def __call__(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.encoder(x)[..., :-1]


def training_windows(problem: ForecastingProblem, series: int) -> tuple[Tensor, Tensor]:
    """Draw the last two windows of training series: x `(B, context, 2)` and y `(B, H)`."""
    key = "training windows", series
    if key not in problem.memo:
        family = SeasonalSeries(problem.context, problem.horizon)
        batch = family.draw(series, 1, 2, generator_of(problem.seed, "baselines"))
        y = batch.query_y.flatten(0, 1).clamp(-CLIP, CLIP)
        problem.memo[key] = batch.query_x.flatten(0, 1), y
    x, y = problem.memo[key]
    return x, y


class GlobalRidge(PointMethod):
    """Ridge regression on lags and seasonal values, over windows of all training series.

    With `own`, the windows of the test series' own history are added, with a weight chosen on
    validation series.

    Args:
        lags: number of lags.
        own: candidate weights of a window of the own history; empty for none.
        regularization: the penalty.
    """

    def __init__(
        self,
        problem: ForecastingProblem,
        label: str,
        *,
        lags: int,
        own: tuple[float, ...] = (),
        regularization: float = 10.0,
    ) -> None:
        super().__init__(problem, label)
        self.features = LagFeatures(problem.horizon, lags)
        self.own, self.regularization = own, regularization
        self.weight = 0.0

    def train(self) -> History | None:
        x, y = training_windows(self.problem, TRAINED)
        phi = self.features(x).double()
        self.gram = phi.mT @ phi + self.regularization * torch.eye(phi.shape[-1]).double()
        self.moments = phi.mT @ y.double()
        if self.own:
            errors = {}
            for weight in self.own:
                self.weight = weight
                errors[weight] = self._validation_error()
            self.weight = min(errors, key=errors.__getitem__)
        return None

    def details(self) -> dict[str, Any]:
        return {**super().details(), "own_weight": self.weight}

    def point(self, tasks: ForecastTasks) -> Tensor:
        query = self.features(tasks.query_x.cpu()).double()
        gram, moments = self.gram, self.moments
        if self.weight:
            phi = self.features(tasks.support_x.cpu()).double()
            gram = gram + self.weight * phi.mT @ phi
            moments = moments + self.weight * phi.mT @ tasks.support_y.cpu().double()
        weights = torch.linalg.solve(gram, moments)
        return (query @ weights)[:, 0].float().to(tasks.mean.device)

    def _validation_error(self) -> float:
        errors = [
            (self.point(tasks) - tasks.query_y[:, 0]).abs().clamp(max=8).mean(-1)
            for tasks in self.calibration_tasks("drawn")
        ]
        return torch.cat(errors).mean().item()
