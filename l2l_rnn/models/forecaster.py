"""The forecaster: a direct multi-step forecast of quantiles from the recent steps of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError
from l2l_rnn.models.forecast_encoder import ForecastEncoder
from l2l_rnn.nn import Linear


@configurable
class Forecaster(nn.Module):
    """Forecast the next steps of a series, all at once, with a linear head on a `ForecastEncoder`.

    `forecast = spread * (W features(x) + b) + center`, where the center and the spread of a context
    come from its own values. Forecasts have the units of the series.

    Args:
        horizon: number of steps to forecast.
        quantiles: probabilities of the quantiles to forecast, in ascending order; None forecasts
            one value per step. Forecast quantiles are sorted, so they never cross.
        input_size, hidden_size, cell, num_layers, lags, seasonal, normalization: as in
            `ForecastEncoder`.

    Attributes:
        encoder: the `ForecastEncoder`; it has `scale(x)`.
        head: the `Linear` layer, whose weights are 0 at first: the first forecast is the center.

    Shapes:
        x `(…, B, S, F)`, or `(…, B, S, F + 1)` if seasonal -> `(…, B, D)`, or `(…, B, D, Q)` with Q
        quantiles. `D = horizon * F`, with the channels of a step side by side, as in the targets of
        `data.ForecastingDataset`.

    Raises:
        ArgumentError: as in `ForecastEncoder`; also if the quantiles are not between 0 and 1, in
            ascending order.
        ArgumentTypeError, ShapeError, UnknownNameError: as in `ForecastEncoder`.

    Example:
        >>> import torch
        >>> model = Forecaster(horizon=3, quantiles=(0.1, 0.5, 0.9))
        >>> model(torch.arange(20.0).reshape(1, 20, 1)).shape
        torch.Size([1, 3, 3])
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        horizon: int,
        *,
        quantiles: Sequence[float] | None = None,
        input_size: int = 1,
        hidden_size: int = 32,
        cell: str = "gru",
        num_layers: int = 1,
        lags: int = 24,
        seasonal: bool = False,
        normalization: str = "mean",
    ) -> None:
        super().__init__()
        self.quantiles = _checked(quantiles)
        self.encoder = ForecastEncoder(
            horizon,
            input_size=input_size,
            hidden_size=hidden_size,
            cell=cell,
            num_layers=num_layers,
            lags=lags,
            seasonal=seasonal,
            normalization=normalization,
        )
        size = self.encoder.horizon * self.encoder.input_size * len(self.quantiles or (0,))
        self.head = Linear(self.encoder.output_size, size, bias=False)  # a feature is constant
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        context = self.encoder.read(x)
        outputs = self.head(self.encoder.encode(context))
        if self.quantiles is None:
            return context.scale.invert(outputs)
        parts = outputs.unflatten(-1, (len(self.quantiles), -1))  # (…, B, Q, D)
        center, spread = (part.unsqueeze(-2) for part in context.scale)
        scale = type(context.scale)(center, spread)
        return scale.invert(parts).transpose(-1, -2).sort(-1).values


def _checked(quantiles: Sequence[float] | None) -> tuple[float, ...] | None:
    if quantiles is None:
        return None
    who = "Forecaster"
    found = tuple(check_number(who, "a quantile", q, above=0, below=1) for q in quantiles)
    if not found or list(found) != sorted(set(found)):
        raise ArgumentError(
            f"{who}: quantiles must be in ascending order, got {list(found)}; sort them, or pass "
            "None for one forecast per step"
        )
    return found
