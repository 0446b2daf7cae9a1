"""Forecasting of unseen series: drawn ones, and recorded ones that ship in packages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.columns import Column
from benchmarks.few_shot.problems.problem import Problem, generator_of
from benchmarks.few_shot.spec import ForecastingSpec, Training
from l2l_rnn.functional import seasonal_scale
from l2l_rnn.tasksets import RecordedSeries, SeasonalSeries

CHUNK = 50  # drawn series at once
ORIGINS = 3  # forecasts of a recorded series, one horizon apart
MOST_WINDOWS = 300  # support windows of a recorded series, the latest ones
CLIP = 4.0  # limit of normalized support targets, since rare jumps would dominate a squared error


@dataclass(frozen=True)
class ForecastTasks:
    """Series of one length, with the windows of their history and the steps to forecast.

    Attributes:
        support_x, support_y: windows of the history, normalized by their contexts.
        query_x, query_y: the last context, and the next steps in its scale.
        mean, std: mean and standard deviation of the last context.
        history: the steps before the forecast, in units.
        future: the steps to forecast, in units.
        period: steps in a season of each series.
        scale: error of the seasonal naive forecast on the history.

    Shapes:
        support_x `(N, B, context, 2)`, support_y `(N, B, H)`, query_x `(N, 1, context, 2)`, query_y
        `(N, 1, H)`, mean and std `(N, 1, 1)`, history `(N, S)`, future `(N, H)`, period and scale
        `(N,)`.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor
    mean: Tensor
    std: Tensor
    history: Tensor
    future: Tensor
    period: Tensor
    scale: Tensor

    def __len__(self) -> int:
        """Return `N`."""
        return len(self.history)


class ForecastTrainingTasks:
    """Endless batches of drawn training series.

    Args:
        problem: the problem.
        training: settings; `tasks` is the number of series, `shots` the numbers of support windows
            that steps cycle through, and `queries` the number of queries.
    """

    def __init__(self, problem: ForecastingProblem, training: Training) -> None:
        self.problem, self.training = problem, training

    def batch(self, step: int, progress: float) -> ForecastTasks:
        """Draw the batch of a training step.

        The support windows are 1 to 3 steps apart. Half of the contexts are shorter than those of
        the test tasks, so that the learner can also forecast short series.
        """
        problem, training = self.problem, self.training
        generator = generator_of(problem.seed, "train", step)
        shots = training.shots[step % len(training.shots)]
        stride = 1 + int(torch.randint(3, (), generator=generator))
        shares = torch.tensor([1.0, 1.0, 0.75, 0.5])
        share = float(shares[torch.randint(4, (), generator=generator)])
        family = SeasonalSeries(int(share * problem.context), problem.horizon, stride)
        return problem.drawn(family, training.tasks, shots, training.queries, generator)


class ForecastingProblem(Problem):
    """Drawn and recorded series.

    Networks and baselines are trained on drawn series only; every recorded series is unseen.

    Args:
        spec, seed, device, test_tasks: as in `Problem`; the test tasks are drawn series.
    """

    spec: ForecastingSpec

    def __init__(
        self, spec: ForecastingSpec, seed: int, device: torch.device, test_tasks: int
    ) -> None:
        super().__init__(spec, seed, device, test_tasks)
        self.context, self.horizon = spec.context, spec.horizon

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.spec.columns

    def description(self) -> dict[str, Any]:
        return {
            "drawn": repr(SeasonalSeries(self.context, self.horizon)),
            "history": self.spec.history,
            "recorded": {s: len(self._recorded(s).series) for s in ("train", "validation", "test")},
            "origins": ORIGINS,
        }

    def training_tasks(self, training: Training) -> ForecastTrainingTasks:
        """Start a stream of training tasks."""
        return ForecastTrainingTasks(self, training)

    def evaluation_tasks(self, series: str, split: str, tasks: int) -> list[ForecastTasks]:
        """Return tasks of a split, the same in every call: `tasks` drawn series, or all recorded.

        Each recorded series is an element with `ORIGINS` tasks; the later ones have more history.
        """
        key = series, split, tasks
        if key not in self.memo:
            made = self._drawn_tasks(split, tasks) if series == "drawn" else self._all(split)
            self.memo[key] = made
        found: list[ForecastTasks] = self.memo[key]
        return found

    def drawn(
        self,
        family: SeasonalSeries,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator,
    ) -> ForecastTasks:
        """Draw series with `shots` support windows, and cut them."""
        parameters = family.parameters(tasks, generator)
        steps = family.history(shots) + queries * self.horizon
        series, period = family.series(parameters, steps, generator)
        return self._cut(family, series, period, shots, queries)

    def _cut(
        self, family: SeasonalSeries, series: Tensor, period: Tensor, shots: int, queries: int
    ) -> ForecastTasks:
        support, query = family.split(series, period, shots, queries)
        history, future = series.tensor_split([series.shape[-1] - queries * self.horizon], -1)
        parts = (
            support.inputs,
            support.targets.clamp(-CLIP, CLIP),
            query.inputs,
            query.targets,
            query.mean,
            query.std,
        )
        scale = torch.stack([self._scale(h, int(m)) for h, m in zip(history, period, strict=True)])
        return ForecastTasks(*(p.to(self.device) for p in parts), history, future, period, scale)

    @staticmethod
    def _scale(history: Tensor, period: int) -> Tensor:
        season = period if period < len(history) else 1
        return seasonal_scale(history.double(), season)

    def _drawn_tasks(self, split: str, tasks: int) -> list[ForecastTasks]:
        family = SeasonalSeries(self.context, self.horizon)
        shots = self.spec.history - self.context - self.horizon + 1
        generator = generator_of(self.seed, "drawn", split)
        counts = [min(CHUNK, tasks - start) for start in range(0, tasks, CHUNK)]
        return [self.drawn(family, count, shots, 1, generator) for count in counts]

    def _all(self, split: str) -> list[ForecastTasks]:
        return [
            self._cut_recorded(torch.tensor(series.values).float(), series.period, back)
            for series in self._recorded(split).series[: max(2, self.test_tasks)]
            for back in range(ORIGINS - 1, -1, -1)
        ]

    def _cut_recorded(self, values: Tensor, period: int, back: int) -> ForecastTasks:
        series = values[: len(values) - back * self.horizon].unsqueeze(0)
        shots = min(MOST_WINDOWS, series.shape[-1] - self.context - 2 * self.horizon + 1)
        family = SeasonalSeries(self.context, self.horizon)
        return self._cut(family, series, torch.tensor([float(period)]), shots, 1)

    def _recorded(self, split: str) -> RecordedSeries:
        return RecordedSeries(split=split, context=self.context, horizon=self.horizon)
