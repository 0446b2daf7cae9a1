"""Base classes of the forecasting methods: calibration of intervals, and measures."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Forecast
from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.forecasting_problem import (
    ORIGINS,
    ForecastingProblem,
    ForecastTasks,
)
from l2l_rnn.functional import (
    interval_coverage,
    mean_absolute_scaled_error,
    pinball_loss,
    symmetric_percentage_error,
)

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MEDIAN = QUANTILES.index(0.5)
PAIRS = ((0, 4), (1, 3))  # the bounds of an interval
CALIBRATION_TASKS = 600  # drawn validation series


class ForecastMethod(Method):
    """Forecasts quantiles, widened or narrowed so that 50% and 90% intervals hold 50% and 90%.

    Each interval has a factor, the one that is right on validation series: drawn ones for drawn
    series, and the recorded ones of the training and validation sources for recorded series. No
    method is trained on these.
    """

    problem: ForecastingProblem

    def __init__(self, problem: ForecastingProblem, label: str) -> None:
        super().__init__(problem, label)
        self._measured: dict[str, dict[str, Tensor]] = {}
        self.factors: dict[str, list[float]] = {}

    @abstractmethod
    def quantiles(self, tasks: ForecastTasks) -> Tensor:
        """Forecast the quantiles of each series in the scale of its query, `(N, H, Q)`."""

    def evaluate(self, column: Forecast) -> Tensor:
        if column.series not in self._measured:
            self._measured[column.series] = self._measure(column.series)
        return self._measured[column.series][column.measure]

    def details(self) -> dict[str, Any]:
        return {"interval_factors": self.factors}

    def calibration_tasks(self, series: str) -> list[ForecastTasks]:
        """Return the series on which the intervals are calibrated."""
        if series == "drawn":
            count = CALIBRATION_TASKS
            if self.most_tasks is not None or self.problem.test_tasks < count:
                count = min(count, self.most_tasks or count, self.problem.test_tasks)
            return self.problem.evaluation_tasks("drawn", "validation", count)
        return [
            tasks
            for split in ("train", "validation")
            for tasks in self.problem.evaluation_tasks("recorded", split, 0)
        ]

    def interval_factors(self, series: str) -> list[float]:
        """Return the factor of each interval of `PAIRS`: that of the distance from the median."""
        ratios: list[list[Tensor]] = [[] for _ in PAIRS]
        for tasks in self.calibration_tasks(series):
            found = self.quantiles(tasks).detach()
            y, median = tasks.query_y[:, 0], found[..., MEDIAN]
            for (low, high), parts in zip(PAIRS, ratios, strict=True):
                above, below = found[..., high] - median, median - found[..., low]
                width = torch.where(y >= median, above, below).clamp_min(1e-6)
                parts.append(((y - median).abs() / width).flatten())
        return [
            torch.quantile(torch.cat(parts).double(), QUANTILES[high] - QUANTILES[low]).item()
            for (low, high), parts in zip(PAIRS, ratios, strict=True)
        ]

    def _measure(self, series: str) -> dict[str, Tensor]:
        """Compute every measure on each test series, `(N,)`."""
        self.factors[series] = self.interval_factors(series)
        left = self.problem.test_tasks if self.most_tasks is None else self.most_tasks
        parts: list[dict[str, Tensor]] = []
        for tasks in self.problem.evaluation_tasks(series, "test", self.problem.test_tasks):
            if series == "drawn" and left <= 0:
                break
            found = measures(tasks, self.calibrated(tasks, self.factors[series]))
            parts.append({name: v[:left] if series == "drawn" else v for name, v in found.items()})
            left -= len(tasks)
        joined = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        if series == "recorded":
            joined = {name: v.unflatten(0, (-1, ORIGINS)).mean(-1) for name, v in joined.items()}
        return joined

    def calibrated(self, tasks: ForecastTasks, factors: list[float]) -> Tensor:
        """Forecast the quantiles, with their distances from the median times the factors."""
        found = self.quantiles(tasks).detach()
        median = found[..., MEDIAN]
        parts = list(found.unbind(-1))
        for pair, factor in zip(PAIRS, factors, strict=True):
            for place in pair:
                parts[place] = median + factor * (parts[place] - median)
        return torch.stack(parts, -1)


class PointMethod(ForecastMethod):
    """Forecasts values; the quantiles are those of the errors on drawn validation series."""

    _offsets: Tensor | None = None

    @abstractmethod
    def point(self, tasks: ForecastTasks) -> Tensor:
        """Forecast each series in the scale of its query, `(N, H)`."""

    def quantiles(self, tasks: ForecastTasks) -> Tensor:
        if self._offsets is None or not self.trained:
            errors = [
                part.query_y[:, 0] - self.point(part).detach()
                for part in self.calibration_tasks("drawn")
            ]
            q = torch.tensor(QUANTILES, dtype=torch.float64)
            self._offsets = torch.quantile(torch.cat(errors).double(), q, 0).mT.float()  # (H, Q)
            self._offsets = self._offsets - self._offsets[:, MEDIAN : MEDIAN + 1]
        return self.point(tasks).unsqueeze(-1) + self._offsets


def measures(tasks: ForecastTasks, quantiles: Tensor) -> dict[str, Tensor]:
    """Compute the measures of forecasts in the scale of the queries, each `(N,)`.

    The pinball loss is divided by the scale of the series, like the MASE.
    """
    units = (quantiles * tasks.std[:, 0].unsqueeze(-1) + tasks.mean[:, 0].unsqueeze(-1)).cpu()
    y = tasks.future.unsqueeze(1).double()
    units = units.unsqueeze(1).double()  # (N, 1, H, Q)
    median = units[..., MEDIAN]
    return {
        "MASE": mean_absolute_scaled_error(median, y, tasks.scale),
        "sMAPE": symmetric_percentage_error(median, y),
        "pinball": pinball_loss(units, y, QUANTILES) / tasks.scale,
        "coverage": interval_coverage(units[..., 0], units[..., -1], y),
    }
