"""Adaptation of a learner to one series, and the quantiles of its next steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Normal

from l2l_rnn.algorithms import MAML, ALPaCA
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.functional import pinball_loss
from l2l_rnn.models import ForecastEncoder, Forecaster

SETTINGS = {"context": 48, "interval_factors": [], "clip": 4.0}
STEPS = 3  # gradient steps of a learner such as MAML, unless the model has its own number
LEAST = 3  # values of a series
Values = NDArray[np.float64]
_NORMAL = Normal(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))


def encoder_of(who: str, learner: Any) -> ForecastEncoder:
    """Return the encoder of a learner that forecasts.

    Raises:
        ArgumentTypeError: it is not an `ALPaCA` of a `ForecastEncoder`, a `MAML` of a `Forecaster`
            with quantiles, or such a `Forecaster`.
        ArgumentError: the series of the encoder have several channels.
    """
    inside = getattr(learner, "module", learner)
    if isinstance(learner, ALPaCA) and isinstance(inside, ForecastEncoder):
        encoder = inside
    elif (
        isinstance(learner, (MAML, Forecaster))
        and isinstance(inside, Forecaster)
        and inside.quantiles is not None
    ):
        encoder = inside.encoder
    else:
        raise ArgumentTypeError(
            f"{who}: the learner must be an ALPaCA of a ForecastEncoder, or a MAML of a Forecaster "
            f"with quantiles, got {type(learner).__name__} of {type(inside).__name__}; train one "
            "of these"
        )
    if encoder.input_size != 1:
        raise ArgumentError(
            f"{who}: the learner must forecast one channel, got input_size={encoder.input_size}; "
            "train one with input_size=1, which forecasts the columns one by one"
        )
    return encoder


class SeriesForecasts:
    """A learner adapted to one series.

    The support set is all windows of the history. A series shorter than the context and two
    horizons gets shorter contexts; one without room for a window is forecast without adaptation.

    Args:
        who: begins error messages.
        learner: the learner.
        settings: those of a model, its `"forecasting"`.
        steps: gradient steps of a learner that takes them; None for 3.
        values: the history; NaN where a value is missing.
        period: steps in a season; 1 for none.

    Raises:
        DataError: the history has fewer than 3 values, or an infinite one.
        ArgumentTypeError, ArgumentError: as in `encoder_of`.
    """

    def __init__(
        self,
        who: str,
        learner: Any,
        settings: Mapping[str, Any],
        steps: int | None,
        values: Values,
        period: int,
    ) -> None:
        self.who, self.period = who, period
        encoder = encoder_of(who, learner)
        self.seasonal, self.horizon = encoder.seasonal, encoder.horizon
        given = {**SETTINGS, **settings}
        self.factors: list[list[float]] = given["interval_factors"] or [[0.9, 1.0]]
        self.clip = float(given["clip"])
        known = int(np.isfinite(values).sum())
        if np.isinf(values).any() or known < LEAST:
            came = "an infinite value" if np.isinf(values).any() else f"{known} values"
            raise DataError(
                f"{who}: a series must have at least {LEAST} finite values, got {came}; pass a "
                "longer history, with NaN for missing values"
            )
        self.values = values
        self.context = self._context(len(values), int(given["context"]))
        self.steps = STEPS if steps is None else steps
        with torch.no_grad():
            self.learner = self._adapted(learner)

    def quantiles(self, steps: int, alphas: Sequence[float]) -> Values:
        """Forecast quantiles of the next steps, `(steps, alphas)`.

        Beyond the horizon of the learner, forecasts are the context of later ones, and the spread
        of a block of steps is multiplied by the root of its number.

        Raises:
            DataError: `steps` is more than the number of steps of the history.
        """
        if steps > len(self.values):
            raise DataError(
                f"{self.who}: the horizon must not be longer than the series of "
                f"{len(self.values)} steps, got a step {steps} ahead; pass a longer history"
            )
        series, blocks = self.values, []
        for number in range(-(-steps // self.horizon)):
            found = self._block(series[-self.context :], [0.5, *alphas])
            median = found[:, :1]
            blocks.append(median + (1 + number) ** 0.5 * (found[:, 1:] - median))
            series = np.concatenate([series, median[:, 0]])
        return np.concatenate(blocks)[:steps]

    def _context(self, length: int, context: int) -> int:
        """Return the length of contexts."""
        short = min(context, max(length - 2 * self.horizon, length // 2))
        has_windows = short >= 2 and length - short - self.horizon >= 0
        return short if has_windows else min(context, length)

    def _windows(self) -> tuple[Tensor, Tensor]:
        """Return the contexts of the history that have a value, and the steps after each."""
        size = self.context + self.horizon
        if len(self.values) < size:
            return torch.empty(0, self.context, 1), torch.empty(0, self.horizon)
        cut = torch.tensor(self.values).unfold(0, size, 1)
        x, y = cut.split((self.context, self.horizon), -1)
        usable = (~x.isnan()).any(-1) & ~y.isnan().any(-1)
        return self._inputs(x[usable]), y[usable]

    def _inputs(self, contexts: Tensor) -> Tensor:
        parts = [contexts]
        if self.seasonal:
            parts.append(torch.full_like(contexts, self.period))
        return torch.stack(parts, -1)

    def _adapted(self, learner: Any) -> Any:
        x, y = self._windows()
        adapted = learner.clone() if hasattr(learner, "clone") else learner
        if not len(x) or isinstance(learner, Forecaster):
            return adapted
        encoder = encoder_of(self.who, adapted)
        dtype = next(encoder.parameters()).dtype
        # Normalized in float64 first, since a float32 cannot hold a small change of a large value.
        x, center, spread = _normalized(x)
        y = ((y - center) / spread).clamp(-self.clip, self.clip).to(dtype)
        x = x.to(dtype)
        if isinstance(learner, ALPaCA):
            adapted.write(x, encoder.scale(x).normalize(y))
            return adapted
        quantiles = learner.module.quantiles
        with torch.enable_grad():
            adapted = learner.clone(first_order=True)
            for _ in range(self.steps):
                adapted.adapt(pinball_loss(adapted(x), y, quantiles))
        return adapted

    @torch.no_grad()
    def _block(self, context: Values, alphas: list[float]) -> Values:
        """Forecast quantiles of one horizon, `(H, alphas)`."""
        encoder = encoder_of(self.who, self.learner)
        if np.isnan(context).all():
            raise DataError(
                f"{self.who}: the last {len(context)} steps of a series must have a value, got "
                "NaN only; leave out the missing end"
            )
        x = self._inputs(torch.tensor(context).unsqueeze(0))
        x, center, spread = _normalized(x)
        x = x.to(next(encoder.parameters()).dtype)
        q = torch.tensor(alphas, dtype=torch.float64)
        if isinstance(self.learner, ALPaCA):
            found = self.learner.predictive(x)
            z = _NORMAL.icdf(q)
            scale = encoder.scale(x)
            mean = scale.invert(found.mean)[0].double()
            std = (found.stddev * scale.spread)[0].double()
            normalized = mean.unsqueeze(-1) + std.unsqueeze(-1) * z
        else:
            module = getattr(self.learner, "module", self.learner)
            normalized = _interpolated(self.learner(x)[0].double(), module.quantiles, q)
        median = normalized[:, :1]
        normalized = median + self._factors(q) * (normalized - median)
        units = normalized * spread[0] + center[0]
        result: Values = units.numpy()
        return result

    def _factors(self, quantiles: Tensor) -> Tensor:
        """Return the factor of each quantile's distance from the median.

        It is interpolated between those of intervals, by the distance in a normal distribution.
        """
        coverages, factors = (np.array(part) for part in zip(*self.factors, strict=True))
        known = _NORMAL.icdf(torch.from_numpy(0.5 + coverages / 2)).numpy()
        away = _NORMAL.icdf(quantiles).abs().numpy()
        return torch.from_numpy(np.interp(away, known, factors))


def _normalized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Normalize the first channel of contexts, and return center and spread `(B, 1)` too."""
    values = x[..., 0]
    center = values.nanmean(-1, keepdim=True)
    spread = (values - center).square().nanmean(-1, keepdim=True).sqrt()
    spread = torch.where(spread <= 1e-9 * center.abs().clamp(min=1e-30), 1.0, spread)
    scaled = ((values - center) / spread).unsqueeze(-1)
    return torch.cat([scaled, x[..., 1:]], -1), center, spread


def _interpolated(forecasts: Tensor, quantiles: Sequence[float], wanted: Tensor) -> Tensor:
    """Return other quantiles `(H, A)` of forecasts `(H, Q)`.

    They are interpolated in the scale of the normal distribution, whose tails go on outside.
    """
    known = _NORMAL.icdf(torch.tensor(quantiles, dtype=torch.float64))
    if len(known) == 1:
        return forecasts.expand(-1, len(wanted))
    z = _NORMAL.icdf(wanted)
    right = torch.searchsorted(known, z).clamp(1, len(known) - 1)
    share = (z - known[right - 1]) / (known[right] - known[right - 1])
    return forecasts[:, right - 1] + share * (forecasts[:, right] - forecasts[:, right - 1])
