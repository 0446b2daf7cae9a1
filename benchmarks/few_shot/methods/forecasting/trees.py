"""Gradient-boosted trees on lags, over windows of all training series."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingRegressor
from torch import Tensor

from benchmarks.few_shot.methods.forecasting.forecast_method import PointMethod
from benchmarks.few_shot.methods.forecasting.linear import LagFeatures, training_windows
from benchmarks.few_shot.problems.forecasting_problem import ForecastingProblem, ForecastTasks
from benchmarks.few_shot.training import History


class BoostedTrees(PointMethod):
    """A gradient-boosted model of scikit-learn for each step ahead, with the absolute error.

    Args:
        lags: number of lags among the features; see `LagFeatures`.
        series: number of training series, with two windows each.
        iterations: number of trees for each step ahead.
    """

    def __init__(
        self,
        problem: ForecastingProblem,
        label: str,
        *,
        lags: int,
        series: int,
        iterations: int,
    ) -> None:
        super().__init__(problem, label)
        self.features = LagFeatures(problem.horizon, lags)
        self.series, self.iterations = series, iterations

    def train(self) -> History | None:
        x, y = training_windows(self.problem, self.series)
        rows = self._rows(x)
        self.models = [
            HistGradientBoostingRegressor(
                loss="absolute_error",
                max_iter=self.iterations,
                early_stopping=False,
                random_state=self.problem.seed,
            ).fit(rows, target)
            for target in y.T.numpy()
        ]
        return None

    def point(self, tasks: ForecastTasks) -> Tensor:
        rows = self._rows(tasks.query_x[:, 0].cpu())
        found = np.stack([model.predict(rows) for model in self.models], -1)
        return torch.from_numpy(found).float().to(tasks.mean.device)

    def _rows(self, x: Tensor) -> np.ndarray:
        """Return the features of windows, and the steps in their season."""
        return torch.cat([self.features(x)[..., 1:], x[..., 0, 1:]], -1).numpy()
