"""Encoder of contexts for forecasting: normalization, lags, seasonal values and a recurrence."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_choice, check_int, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import step_lengths, step_mask
from l2l_rnn.functional.layer_calls import NotScripted
from l2l_rnn.nn import CELLS, LastStep
from l2l_rnn.nn.torch_layers import run_ragged

NORMALIZATIONS = ("mean", "last")
SEASONS = 8  # seasons whose deviations are averaged


class SeriesScale(NamedTuple):
    """The level and the spread of each context, by which its series is normalized.

    Attributes:
        center: the level, `(…, B, F)`.
        spread: the standard deviation, `(…, B, F)`; 1 for a constant context.

    Example:
        >>> scale = SeriesScale(torch.tensor([[100.0]]), torch.tensor([[10.0]]))
        >>> scale.normalize(torch.tensor([[110.0, 80.0]]))
        tensor([[ 1., -2.]])
        >>> scale.invert(torch.tensor([[1.0, -2.0]]))
        tensor([[110.,  80.]])
    """

    center: Tensor
    spread: Tensor

    def normalize(self, targets: Tensor) -> Tensor:
        """Normalize targets `(…, B, horizon * F)`, with the channels of a step side by side."""
        center, spread = self._repeated(targets.shape[-1])
        return (targets - center) / spread

    def invert(self, forecasts: Tensor) -> Tensor:
        """Take normalized forecasts `(…, B, horizon * F)` back to the units of the series."""
        center, spread = self._repeated(forecasts.shape[-1])
        return forecasts * spread + center

    def _repeated(self, size: int) -> tuple[Tensor, Tensor]:
        channels = self.center.shape[-1]
        if size % channels:
            raise ShapeError(
                f"SeriesScale: the last axis must hold a multiple of F={channels} values, got "
                f"{size}; flatten steps and channels"
            )
        center, spread = (
            part.unsqueeze(-2).expand(*part.shape[:-1], size // channels, channels).flatten(-2)
            for part in self
        )
        return center, spread


class Context(NamedTuple):
    """Contexts that were read: filled, normalized values and what is known of them.

    Attributes:
        values: normalized values, `(…, B, S, F)`, finite everywhere.
        observed: 1 where a value is given, 0 where it is missing or padding, `(…, B, S, F)`.
        period: steps in a season, `(…, B)`, or None.
        lengths: number of steps of each context, `(…, B)`.
        scale: level and spread.
    """

    values: Tensor
    observed: Tensor
    period: Tensor | None
    lengths: Tensor
    scale: SeriesScale


@configurable
class ForecastEncoder(NotScripted, nn.Module):
    """Encode the recent steps of a series as features from which its next steps are predicted.

    The features are the constant 1, the last `lags` values, and the last output of a recurrent
    layer. With `seasonal`, they also have what decomposition by moving averages gives: the values
    one season before the forecast steps, the mean deviation of such steps from the season around
    them, the mean of the last season, and its change per step. A linear head on them is a linear
    autoregression plus a learned correction. All values are normalized by
    the mean and standard deviation of their context alone, so the features do not depend on the
    units of a series.

    A context shorter than others is padded with NaN at its end. A NaN before the end is a missing
    value: it is replaced by the last value before it, and the recurrent layer reads where values
    are missing.

    Args:
        horizon: number of steps to forecast.
        input_size: `F`, channels of the series.
        hidden_size: `H`, hidden units.
        cell: name of the recurrent layer in `nn.CELLS`.
        num_layers: number of recurrent layers.
        lags: number of last values among the features. Contexts may be shorter: values before a
            context are replaced by its center.
        seasonal: whether the last channel of the input is the number of steps in a season of the
            series, an integer of at least 1 (1 is no season). It is not forecast.
        normalization: what is subtracted: `"mean"`, the mean of the context, or `"last"`, its last
            value.

    Attributes:
        output_size: `E`, number of features.

    Shapes:
        x `(…, B, S, F)`, or `(…, B, S, F + 1)` if seasonal -> `(…, B, E)`. With parameters
        `(N, …)`, the input has a leading axis `N`.

    Raises:
        ArgumentError: a size is not a positive integer, a context has no value, or a period is less
            than 1.
        ArgumentTypeError: x is not a tensor of real numbers.
        ShapeError: x has too few axes or the wrong number of channels.
        UnknownNameError: the cell or the normalization is unknown.

    Example:
        >>> encoder = ForecastEncoder(horizon=2, hidden_size=8, lags=3)
        >>> context = torch.tensor([1.0, 2.0, 3.0, torch.nan, 5.0]).reshape(1, 5, 1)
        >>> encoder(context).shape, encoder.output_size
        (torch.Size([1, 12]), 12)
        >>> encoder.scale(context).center
        tensor([[2.7500]])
    """

    task_axis: ClassVar[bool] = True
    _script_fix: ClassVar[str] = "pass nn.to_torch(model) to torch.jit.trace"

    def __init__(
        self,
        horizon: int,
        *,
        input_size: int = 1,
        hidden_size: int = 32,
        cell: str = "gru",
        num_layers: int = 1,
        lags: int = 24,
        seasonal: bool = False,
        normalization: str = "mean",
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.horizon = check_int(who, "horizon", horizon)
        self.input_size = check_int(who, "input_size", input_size)
        self.lags = check_int(who, "lags", lags)
        self.seasonal = seasonal
        self.normalization = check_choice(who, "normalization", normalization, NORMALIZATIONS)
        size = check_int(who, "hidden_size", hidden_size)
        read = 2 * self.input_size + 2 * seasonal
        self.recurrence = CELLS[cell](read, size, num_layers, batch_first=True)
        self.pooling = LastStep(self.recurrence.output_size)
        past = self.lags + (2 * self.horizon + 2) * seasonal
        self.output_size = 1 + past * self.input_size + self.recurrence.output_size

    def scale(self, x: Tensor) -> SeriesScale:
        """Return the level and spread of each context, to normalize targets and invert forecasts.

        Shapes:
            x as in `forward`; returns center and spread `(…, B, F)`.
        """
        return self._read(x).scale

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(self._read(x))

    def read(self, x: Tensor) -> Context:
        """Check contexts, fill missing values, and normalize: for `encode` and the scale."""
        return self._read(x)

    def encode(self, context: Context) -> Tensor:
        """Return the features `(…, B, E)` of contexts that `read` returned."""
        values, lengths = context.values, context.lengths
        parts = [torch.ones_like(values[..., 0, :1]), self._lagged(context).flatten(-2)]
        read = [values, context.observed]
        if context.period is not None:
            parts.append(self._seasonal(context, context.period).flatten(-2))
            steps = torch.arange(values.shape[-2], device=values.device, dtype=values.dtype)
            before = steps - (lengths.unsqueeze(-1) - 1).to(values.dtype)  # 0 at the last step
            angle = 2 * math.pi * before / context.period.unsqueeze(-1)
            read += [angle.sin().unsqueeze(-1), angle.cos().unsqueeze(-1)]
        outputs = run_ragged(self.recurrence, torch.cat(read, -1), lengths)
        return torch.cat([*parts, self.pooling(outputs, lengths)], -1)

    def _lagged(self, context: Context) -> Tensor:
        """Return the last values, the latest first, `(…, B, lags, F)`."""
        back = torch.arange(1, self.lags + 1, device=context.values.device)
        return _values_at(context.values, context.lengths.unsqueeze(-1) - back)

    def _seasonal(self, context: Context, periods: Tensor) -> Tensor:
        """Return what a season tells about the forecast steps, `(…, B, 2 H + 2, F)`."""
        values, period = context.values, periods.long().unsqueeze(-1)
        end = context.lengths.unsqueeze(-1) - 1
        ahead = torch.arange(1, self.horizon + 1, device=period.device)
        first = end + ahead - period * -(-ahead // period)  # one season before, at a known step
        ago = _values_at(values, first)
        # Deviations from the mean of the season around a step, averaged over the last seasons.
        back = torch.arange(SEASONS, device=period.device).unsqueeze(-1)
        steps = first.unsqueeze(-2) - period.unsqueeze(-1) * back  # (…, B, SEASONS, H)
        last = steps + (period // 2).unsqueeze(-1)  # the end of the season around a step
        usable = (last - period.unsqueeze(-1) >= -1) & (last <= end.unsqueeze(-1))
        sums = torch.cat([torch.zeros_like(values[..., :1, :]), values.cumsum(-2)], -2)
        deviations = _values_at(values, steps.flatten(-2))
        deviations = deviations - _season_means(sums, last.flatten(-2), period)
        kept = usable.flatten(-2).unsqueeze(-1)
        deviations = torch.where(kept, deviations, 0.0)
        shape = (SEASONS, self.horizon)
        counts = usable.sum(-2).unsqueeze(-1).clamp_min(1)
        profile = deviations.unflatten(-2, shape).sum(-3) / counts
        level = _season_means(sums, end, period)
        slope = (level - _season_means(sums, end - period, period)) / period.unsqueeze(-1)
        slope = torch.where((end + 1 >= 2 * period).unsqueeze(-1), slope, 0.0)
        return torch.cat([ago, profile, level, slope], -2)

    def _read(self, x: Tensor) -> Context:
        who = type(self).__name__
        check_tensor(who, "x", x)
        if not x.is_floating_point():
            raise ArgumentTypeError(f"{who}: x must be real numbers, got {x.dtype}; use .float()")
        channels = self.input_size + self.seasonal
        if x.dim() < 3 or x.shape[-1] != channels or x.shape[-2] == 0:
            told = f"F={self.input_size} channels"
            told += " and one with the steps in a season" * self.seasonal
            raise ShapeError(
                f"{who}: x must be (…, B, S, {channels}), with at least one step of {told}, got "
                f"shape {tuple(x.shape)}; set input_size and seasonal, or reshape x"
            )
        lengths = step_lengths(x)
        inside = step_mask(lengths, x.shape[-2]).unsqueeze(-1)
        values = x[..., : self.input_size]
        known = ~values.isnan() & inside
        counts = known.sum(-2)
        least = readable_values(counts)
        if least is not None and least.numel() and not least.all():
            raise ArgumentError(
                f"{who}: every channel of a context must have a value, got one that is all NaN; "
                "drop that context, or make it longer"
            )
        period = self._period(who, x) if self.seasonal else None
        values = torch.where(known, values, 0.0)
        mean = values.sum(-2) / counts
        away = torch.where(known, values - mean.unsqueeze(-2), 0.0)
        variance = away.square().sum(-2) / counts
        flat = variance <= (1e-6 * mean.abs()).square().clamp(min=1e-30)
        spread = torch.where(flat, 1.0, variance).sqrt()
        filled = values.gather(-2, _last_known(known))
        center = mean
        if self.normalization == "last":
            last = (lengths - 1).clamp_min(0)[..., None, None]
            center = filled.gather(-2, last.expand(*lengths.shape, 1, self.input_size)).squeeze(-2)
        scaled = (filled - center.unsqueeze(-2)) / spread.unsqueeze(-2)
        scaled = torch.where(inside, scaled, 0.0)
        return Context(scaled, known.to(x.dtype), period, lengths, SeriesScale(center, spread))

    @staticmethod
    def _period(who: str, x: Tensor) -> Tensor:
        period = x[..., 0, -1]
        values = readable_values(period)
        if values is not None and values.numel() and not bool((values >= 1).all()):
            raise ArgumentError(
                f"{who}: the last channel must hold the steps in a season, at least 1, got "
                f"{float(values.min())}; use 1 for a series without a season"
            )
        return period


def _values_at(values: Tensor, positions: Tensor) -> Tensor:
    """Return steps `(…, B, K, F)` at positions `(…, B, K)`; 0 at those before the first step."""
    index = positions.clamp_min(0).unsqueeze(-1).expand(*positions.shape, values.shape[-1])
    found = values.gather(-2, index)
    return torch.where((positions >= 0).unsqueeze(-1), found, 0.0)


def _season_means(sums: Tensor, last: Tensor, period: Tensor) -> Tensor:
    """Return means of the seasons that end at steps `(…, B, K)`, from sums `(…, B, S + 1, F)`.

    A season that begins before the first step is cut there.
    """
    upper = (last + 1).clamp(0, sums.shape[-2] - 1)
    lower = (last + 1 - period).clamp(0, sums.shape[-2] - 1)
    total = _values_at(sums, upper) - _values_at(sums, lower)
    return total / (upper - lower).clamp_min(1).unsqueeze(-1)


def _last_known(known: Tensor) -> Tensor:
    """Return, for each step, the last known step up to it, or else the first known one."""
    steps = torch.arange(known.shape[-2], device=known.device).unsqueeze(-1)
    last = torch.where(known, steps, -1).cummax(-2).values
    first = known.to(torch.uint8).argmax(-2, keepdim=True)
    return torch.where(last < 0, first, last)
