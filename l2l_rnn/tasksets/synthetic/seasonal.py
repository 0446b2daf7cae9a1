"""Forecasting of drawn series with trends, seasons, level shifts and correlated noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import check_counts
from l2l_rnn.errors import DataError
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.tasksets.registration import register_family
from l2l_rnn.tasksets.task_family import TaskFamily

PERIODS = (1, 4, 6, 7, 12, 24)  # none, quarters, a half-day of 4 hours, days, months, hours
WEIGHTS = (0.2, 0.15, 0.1, 0.2, 0.25, 0.1)
HARMONICS = 3


class Windows(NamedTuple):
    """Contexts and their next steps, cut from series and normalized by the contexts.

    Attributes:
        inputs: contexts, the values and the steps in a season, `(N, B, context, 2)`.
        targets: the next steps, `(N, B, horizon)`.
        mean, std: mean and standard deviation of each context, `(N, B, 1)`.
    """

    inputs: Tensor
    targets: Tensor
    mean: Tensor
    std: Tensor


@register_family(
    "seasonal",
    TaskCard(
        task="Forecast the next 12 steps of a drawn series from its last 48.",
        source="drawn",
        license="none needed",
        classes=None,
        items=None,
        lengths=(48, 48),
        splits="random; series are drawn independently",
        measure="mean squared error",
        chance=2.45,
        baseline=("the value one season before", 1.4),
    ),
)
class SeasonalSeries(TaskFamily):
    """Forecasting of series that are drawn, one series per task.

    `y_t = level + trend + season + second season + shifts + noise`, or its exponential. Each part
    is present in some series and absent in others:

    - the season has 4, 6, 7, 12 or 24 steps and up to 3 harmonics, or there is none; its size may
      grow or shrink, and a second season may be 2 to 5 times as long;
    - the trend is linear and may change its slope once, and the level may follow a random walk;
    - up to two sudden shifts of the level;
    - noise that is an autoregression of order 2, with occasional outliers in some series;
    - in 4 of 10 series, the exponential of the sum, so that all parts are multiplied.

    An example is a window: a context and the steps after it, normalized by the mean and standard
    deviation of the context. `draw` cuts the support windows from the steps before the forecast,
    `stride` steps apart; the queries follow, `horizon` steps apart, and the first one's targets
    begin where the last support targets end. In tasks from a learn2learn `Taskset`, all windows are
    `horizon` steps apart, so that no targets are shared wherever the support set ends.

    Args:
        context: number of input steps.
        horizon: number of steps to forecast.
        stride: steps between the starts of neighboring support windows.

    Shapes:
        inputs `(N, B, context, 2)`: the values, and the steps in a season at every step, as
        `models.Forecaster` reads them with `seasonal=True`; targets `(N, B, horizon)`.

    Raises:
        ArgumentError: a size is not a positive integer.

    Example:
        >>> batch = SeasonalSeries().draw(tasks=4, shots=30, queries=1)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 30, 48, 2]), torch.Size([4, 1, 12]))
    """

    input_size = 2

    def __init__(self, context: int = 48, horizon: int = 12, stride: int = 1) -> None:
        who = "SeasonalSeries"
        self.context = check_int(who, "context", context, least=2)
        self.horizon = self.output_size = check_int(who, "horizon", horizon)
        self.stride = check_int(who, "stride", stride)

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        """Draw the parameters of N series, `(N, 37)`: those that `series` names, and its scale."""
        weights = torch.tensor(WEIGHTS).expand(tasks, -1)
        period = torch.tensor(PERIODS)[torch.multinomial(weights, 1, generator=generator)]
        uniform = torch.rand(tasks, 18, generator=generator)
        normal = torch.randn(tasks, 6 + 4 * HARMONICS, generator=generator)
        return torch.cat([period.float(), uniform, normal], -1)

    def series(
        self, parameters: Tensor, steps: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw series of N tasks, and return them with the steps in a season of each.

        Shapes:
            parameters `(N, 37)` -> `(N, steps)` and `(N,)`.
        """
        period, parts = parameters[:, 0], parameters[:, 1:]
        u, z = parts[:, :18].unsqueeze(-1).unbind(1), parts[:, 18:].unsqueeze(-1)  # (N, 1) each
        time = torch.arange(steps).expand(len(parameters), -1)  # (N, steps)
        share = time / max(steps, 100)
        ratio = (2 + (4 * u[0]).floor()) * period.unsqueeze(-1)  # steps of the second season
        waves = _waves(time / period.unsqueeze(-1), z[:, 6 : 6 + 2 * HARMONICS])
        size = (
            2
            * u[1]
            * (period > 1).unsqueeze(-1)
            * torch.exp(_some(u[2], 0.4) * 0.5 * z[:, 0] * share)
        )
        value = size * waves
        second = _waves(time / ratio, z[:, 6 + 2 * HARMONICS :])
        value = value + u[3] * _some(u[4], 0.25) * (period > 1).unsqueeze(-1) * second
        slope = 3 * z[:, 1] * _some(u[5], 0.6) * share
        bend = 3 * z[:, 2] * _some(u[6], 0.3) * (share - u[7] * share[:, -1:]).clamp_min(0)
        value = value + slope + bend
        for where, is_there, height in ((u[8], u[9], z[:, 3]), (u[10], u[11], z[:, 4])):
            shift = time >= where * steps
            value = value + 1.5 * height * _some(is_there, 0.15) * shift
        drawn = torch.randn(3, len(parameters), steps, generator=generator)
        walk = 0.4 * u[12] * _some(u[13], 0.5) * drawn[0].cumsum(-1)
        heavy = 1 + 4 * _some(u[14], 0.25) * (drawn[2] > 2)
        first = 0.98 * u[15]
        noise = _autoregression(drawn[1] * heavy, first, 0.8 * (u[16] - 0.5) * (1 - first))
        value = value + walk + (0.05 + 0.6 * u[17].square()) * noise
        multiplied = torch.exp(0.3 * value.clamp(-6, 6))
        value = torch.where(parts[:, 18 + 5 :][:, :1] > 0.25, multiplied, value + 5 * z[:, 5])
        return value, period

    def windows(self, series: Tensor, period: Tensor, starts: Tensor) -> Windows:
        """Cut windows from series and normalize them.

        Shapes:
            series `(N, steps)`, period `(N,)`, starts `(B,)`.
        """
        cut = series.unfold(-1, self.context + self.horizon, 1)[:, starts]
        inputs, targets = cut.split((self.context, self.horizon), -1)
        mean, std = inputs.mean(-1, keepdim=True), inputs.std(-1, unbiased=False, keepdim=True)
        std = torch.where(std <= 1e-6 * mean.abs(), 1.0, std)
        season = period[:, None, None].expand_as(inputs)
        inputs = torch.stack([(inputs - mean) / std, season], -1)
        return Windows(inputs, (targets - mean) / std, mean, std)

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        steps = self.context + count * self.horizon
        series, period = self.series(parameters, steps, generator)
        found = self.windows(series, period, torch.arange(count) * self.horizon)
        return found.inputs, found.targets

    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        tasks, shots, queries, _ = check_counts("SeasonalSeries.draw", tasks, shots, queries, ways)
        generator = self.split_generator(generator)
        history = self.history(shots)
        drawn = self.parameters(tasks, generator)
        series = self.series(drawn, history + queries * self.horizon, generator)
        support, query = self.split(*series, shots, queries)
        parts = (*support[:2], *query[:2])
        return TaskBatch(*(part.to(self.device or "cpu") for part in parts))

    def history(self, shots: int) -> int:
        """Return the number of steps that `shots` support windows take."""
        return self.context + (shots - 1) * self.stride + self.horizon

    def split(
        self, series: Tensor, period: Tensor, shots: int, queries: int
    ) -> tuple[Windows, Windows]:
        """Cut the support windows of series, and the queries at their end.

        Raises:
            DataError: the series are too short.
        """
        steps, needed = series.shape[-1], self.history(shots) + queries * self.horizon
        if steps < needed:
            raise DataError(
                f"SeasonalSeries: {shots} support windows and {queries} queries need {needed} "
                f"steps, got {steps}; pass longer series or fewer shots"
            )
        origin = steps - queries * self.horizon  # the first step to forecast
        last = origin - self.horizon - self.context  # where the last support window starts
        support = last - self.stride * torch.arange(shots - 1, -1, -1)
        query = origin - self.context + self.horizon * torch.arange(queries)
        return self.windows(series, period, support), self.windows(series, period, query)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets)


def _some(uniform: Tensor, share: float) -> Tensor:
    """Return 1 in a share of the series, and 0 in the others."""
    return (uniform < share).float()


def _waves(turns: Tensor, drawn: Tensor) -> Tensor:
    """Return a sum of harmonics with standard deviation 1, `(N, steps)`; drawn `(N, 2 K, 1)`."""
    order = torch.arange(1, HARMONICS + 1)[:, None]  # (K, 1)
    sine, cosine = (drawn / torch.cat([order, order])).chunk(2, 1)  # (N, K, 1) each
    angle = 2 * math.pi * order * turns.unsqueeze(1)  # (N, K, steps)
    size = ((sine.square() + cosine.square()).sum(1) / 2).sqrt().clamp_min(1e-3)
    return (sine * angle.sin() + cosine * angle.cos()).sum(1) / size


def _autoregression(noise: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return `e_t = a e_(t-1) + b e_(t-2) + noise_t`, `(N, steps)`."""
    before = older = torch.zeros_like(first)
    found = []
    for step in noise.unsqueeze(-1).unbind(1):
        before, older = first * before + second * older + step, before
        found.append(before)
    return torch.cat(found, -1)
