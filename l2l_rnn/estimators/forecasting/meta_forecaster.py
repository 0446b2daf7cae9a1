"""A forecaster with the interface of sktime, which adapts a trained learner to each series."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np

from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.estimators.forecasting.series_forecasts import SeriesForecasts, encoder_of
from l2l_rnn.optional import require
from l2l_rnn.training import Pretrained

_PURPOSE = "estimators.MetaForecaster"
BaseForecaster: Any = require(
    "sktime.forecasting.base", extra="forecasting", purpose=_PURPOSE
).BaseForecaster
pd: Any = require("pandas", extra="forecasting", purpose=_PURPOSE)

# Steps in a season, by the first letters of a pandas frequency; all others have no season.
PERIODS = {"M": 12, "BM": 12, "Q": 4, "BQ": 4, "H": 24, "D": 7, "B": 5}


class MetaForecaster(BaseForecaster):  # type: ignore[misc, unused-ignore]
    """Forecast a series with a learner that was meta-trained on many others.

    `fit` adapts the learner to the history of the series, without gradient steps if it is an
    `algorithms.ALPaCA`, as the bundled model is. Forecasts further ahead than the horizon of the
    learner are made from earlier ones. All of sktime works with it: `predict_interval`,
    `predict_quantiles`, `update`, pipelines, evaluation, and panels and multivariate series, whose
    columns are forecast one by one.

    Args:
        model: `"forecasting"`, the bundled model, which was trained on drawn series; a folder that
            `training.Pretrained` saved; a `Pretrained`; a learner: an `ALPaCA` of a
            `models.ForecastEncoder` or a `MAML` of a `models.Forecaster` with quantiles; or such a
            `Forecaster`, which does not adapt. Its settings may hold a dict
            `"forecasting"` with `context`, the steps of a window (default 48), `interval_factors`,
            pairs of the coverage of an interval and the factor of its width (default 1), and
            `clip`, the limit of normalized support targets (default 4).
        sp: steps in a season, 1 for none. None takes it from the frequency of the index: 12 for
            months, 4 for quarters, 24 for hours, 7 for days, 5 for business days, and otherwise 1.

    Raises:
        MissingExtraError: sktime is not installed; on import.
        ArgumentTypeError: the model is none of these, or its learner does not forecast.
        ArgumentError: `sp` is not a positive integer, or not shorter than the series.
        DataError: `fit` gets a series with fewer than 3 values, an infinite value or an irregular
            index; `predict` gets a step further ahead than the series is long.

    Example:
        >>> from l2l_rnn.estimators import MetaForecaster
        >>> from sktime.datasets import load_airline
        >>> forecaster = MetaForecaster().fit(load_airline(), fh=[1, 2, 3])
        >>> forecaster.predict().shape, forecaster.predict_interval(coverage=0.9).shape
        ((3,), (3, 2))
    """

    _tags: ClassVar[dict[str, Any]] = {
        "authors": ["l2l_rnn contributors"],
        "maintainers": ["l2l_rnn contributors"],
        "python_dependencies": ["torch"],
        "scitype:y": "univariate",
        "capability:multivariate": False,
        "capability:exogenous": False,
        "capability:missing_values": True,
        "capability:update": True,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:insample": False,
        "capability:random_state": False,
        "property:randomness": "deterministic",
        "requires-fh-in-fit": False,
        "y_inner_mtype": "pd.Series",
        "X-y-must-have-same-index": False,
        "enforce_index_type": None,
    }

    _history: Any
    # `_update` keeps the history itself, and adapts to all of it again.
    _config: ClassVar[dict[str, Any]] = {"remember_data": False}

    def __init__(self, model: Any = "forecasting", sp: int | None = None) -> None:
        self.model = model
        self.sp = sp
        super().__init__()
        self._y = self._X = None  # set if a user switches the configuration on

    def _fit(self, y: Any, X: Any, fh: Any) -> MetaForecaster:
        who = type(self).__name__
        self._opened_model = self._opened(who)
        self._adapt(who, y)
        return self

    def _update(self, y: Any, X: Any = None, update_params: bool = True) -> MetaForecaster:
        history = pd.concat([self._history, y])
        history = history[~history.index.duplicated(keep="last")]
        if update_params:
            self._adapt(type(self).__name__, history)
        else:
            self._history = history
            self._series.values = history.to_numpy(dtype=np.float64)
        return self

    def _adapt(self, who: str, y: Any) -> None:
        """Adapt the learner to a history."""
        _check_index(who, y.index)
        values = y.to_numpy(dtype=np.float64)
        self._series = SeriesForecasts(who, *self._opened_model, values, self._period(who, y))
        self._history = y

    def _predict(self, fh: Any, X: Any) -> Any:
        rows = self._quantiles(fh, [0.5])
        index = fh.to_absolute_index(self.cutoff)
        return pd.Series(rows[:, 0], index=index, name=self._history.name)

    def _predict_quantiles(self, fh: Any, X: Any, alpha: list[float]) -> Any:
        names = self._get_varnames()
        columns = pd.MultiIndex.from_product([names, alpha])
        index = fh.to_absolute_index(self.cutoff)
        return pd.DataFrame(self._quantiles(fh, alpha), index=index, columns=columns)

    def _quantiles(self, fh: Any, alpha: list[float]) -> Any:
        ahead = np.asarray(fh.to_relative(self.cutoff).to_pandas(), dtype=int)
        return self._series.quantiles(int(ahead.max()), alpha)[ahead - 1]

    def _opened(self, who: str) -> tuple[Any, dict[str, Any], int | None]:
        """Return the learner, its settings for forecasting, and its number of steps."""
        model = self.model
        if isinstance(model, (str, os.PathLike)):
            model = Pretrained.from_pretrained(model)
        if isinstance(model, Pretrained):
            encoder_of(who, model.learner)
            return model.learner, model.settings.get("forecasting", {}), model.steps
        if not hasattr(model, "parameters"):
            raise ArgumentTypeError(
                f"{who}: model must be a name, a folder, a training.Pretrained or a learner, got "
                f"{type(model).__name__}; pass 'forecasting' for the bundled model"
            )
        encoder_of(who, model)
        return model, {}, None

    def _period(self, who: str, y: Any) -> int:
        if self.sp is None:
            frequency = getattr(y.index, "freqstr", None) or ""
            name = frequency.partition("-")[0].upper().removesuffix("S").removesuffix("E")
            period = PERIODS.get(name, 1)
            return period if period < len(y) else 1
        period = check_int(who, "sp", self.sp, fix="pass the steps in a season, 1 for none")
        if period > 1 and period >= len(y):
            raise ArgumentError(
                f"{who}: sp must be less than the length of the series, {len(y)}, got {period}; "
                "pass a longer history, or sp=1"
            )
        return period

    @classmethod
    def get_test_params(cls, parameter_set: str = "default") -> list[dict[str, Any]]:
        """Return the parameters with which sktime tests the class."""
        return [{}, {"sp": 4}]


def _check_index(who: str, index: Any) -> None:
    """Check that the steps of a time index are regular.

    Raises:
        DataError: they are not.
    """
    if not isinstance(index, pd.DatetimeIndex) or index.freq is not None or len(index) < 3:
        return
    if index.inferred_freq is None:
        raise DataError(
            f"{who}: the index of a series must have a frequency, got irregular times such as "
            f"{index[0]}, {index[1]}, {index[2]}; resample the series, or set one with "
            "y.asfreq('D')"
        )
