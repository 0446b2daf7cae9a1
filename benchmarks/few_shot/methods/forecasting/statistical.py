"""Theta and exponential smoothing of sktime and statsmodels, fitted to each series alone."""

from __future__ import annotations

import importlib
import warnings
from abc import abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.few_shot.methods.forecasting.forecast_method import PAIRS, QUANTILES, ForecastMethod
from benchmarks.few_shot.problems.forecasting_problem import ForecastTasks
from l2l_rnn.optional import require


class StatisticalForecast(ForecastMethod):
    """Fits a forecaster of sktime to the history of each series; its intervals are its own."""

    def interval_factors(self, series: str) -> list[float]:
        return [1.0] * len(PAIRS)

    @abstractmethod
    def forecaster(self, history: np.ndarray, period: int) -> Any:
        """Make the forecaster of a series."""

    def quantiles(self, tasks: ForecastTasks) -> Tensor:
        require("statsmodels", extra="forecasting", purpose=self.label)
        ahead = np.arange(1, self.problem.horizon + 1)
        found = []
        for history, period in zip(tasks.history.double().numpy(), tasks.period, strict=True):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of optimizers that stop early
                fitted = self.forecaster(history, int(period)).fit(history, fh=ahead)
                found.append(fitted.predict_quantiles(alpha=list(QUANTILES)).to_numpy())
        units = torch.from_numpy(np.stack(found)).to(tasks.mean.device)  # (N, H, Q)
        scaled = (units - tasks.mean[:, 0].unsqueeze(-1)) / tasks.std[:, 0].unsqueeze(-1)
        return scaled.float().sort(-1).values


class Theta(StatisticalForecast):
    """The Theta method, with a multiplicative season where all values are positive."""

    def forecaster(self, history: np.ndarray, period: int) -> Any:
        theta = importlib.import_module("sktime.forecasting.theta")
        detrend = importlib.import_module("sktime.transformations.series.detrend")
        if period == 1 or len(history) < 2 * period:
            return theta.ThetaForecaster(deseasonalize=False)
        model = "multiplicative" if history.min() > 0 else "additive"
        season = detrend.Deseasonalizer(sp=period, model=model)
        return theta.ThetaForecaster(deseasonalize=season, sp=period)


class ExponentialSmoothing(StatisticalForecast):
    """Exponential smoothing with a damped additive trend and an additive season."""

    def forecaster(self, history: np.ndarray, period: int) -> Any:
        ets = importlib.import_module("sktime.forecasting.ets")
        seasonal = period > 1 and len(history) >= 2 * period + 2
        return ets.AutoETS(
            error="add",
            trend="add",
            damped_trend=True,
            seasonal="add" if seasonal else None,
            sp=period if seasonal else 1,
        )
