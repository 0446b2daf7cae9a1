"""The forecaster: a direct multi-step forecast of quantiles from the recent steps of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ShapeError
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

    @torch.no_grad()
    def fit_head(
        self, x: Tensor, y: Tensor, regularization: float = 10.0, clip: float = 4.0
    ) -> None:
        """Fit the head by ridge regression, in closed form: a linear forecast to start training at.

        The targets are normalized by their contexts. The heads of quantiles differ by the quantiles
        of the normal distribution with the variance of the residuals. Features of the untrained
        recurrent layer take part.

        Args:
            x: contexts of many series.
            y: the steps after each context, in the units of x.
            regularization: the penalty on squared weights.
            clip: limit of normalized targets, which keeps rare jumps from dominating the fit.

        Shapes:
            x `(…, B, S, F)`, or `(…, B, S, F + 1)` if seasonal; y `(…, B, horizon * F)`.

        Raises:
            ShapeError: x or y has the wrong shape.
            ArgumentError: a number is not positive, or a target is NaN or infinite.

        Example:
            >>> series = torch.arange(60.0).unfold(0, 12, 1)  # lines go on
            >>> model = Forecaster(horizon=2, lags=4)
            >>> model.fit_head(series[:, :10, None], series[:, 10:], regularization=1e-4)
            >>> forecast = model(100 + torch.arange(10.0).reshape(1, 10, 1))
            >>> [round(value, 1) for value in forecast.flatten().tolist()]
            [110.0, 111.0]
        """
        who = f"{type(self).__name__}.fit_head"
        penalty = check_number(who, "regularization", regularization, above=0)
        limit = check_number(who, "clip", clip, above=0)
        outputs = self.encoder.horizon * self.encoder.input_size
        if y.shape != (*x.shape[:-2], outputs):
            raise ShapeError(
                f"{who}: y must have shape {(*x.shape[:-2], outputs)}, one row of horizon * F "
                f"values per context, got {tuple(y.shape)}; flatten steps and channels"
            )
        if not bool(y.isfinite().all()):
            raise ArgumentError(f"{who}: y must be finite, got NaN or infinity; drop those rows")
        context = self.encoder.read(x)
        phi = self.encoder.encode(context).flatten(0, -2).double()  # (B, E)
        targets = context.scale.normalize(y).clamp(-limit, limit).flatten(0, -2).double()
        gram = phi.mT @ phi + penalty * torch.eye(phi.shape[-1], dtype=phi.dtype).to(phi)
        weights = torch.linalg.solve(gram, phi.mT @ targets)  # (E, D)
        if self.quantiles is None:
            self.head.weight.copy_(weights.mT)
            return
        residuals = (targets - phi @ weights).std(0)  # (D,)
        normal = torch.distributions.Normal(0.0, 1.0)
        heads = weights.mT.repeat(len(self.quantiles), 1, 1)  # (Q, D, E)
        for head, quantile in zip(heads, self.quantiles, strict=True):
            head[:, 0] += residuals * normal.icdf(torch.tensor(quantile)).item()
        self.head.weight.copy_(heads.flatten(0, 1))


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
