"""The forecaster with sktime's interface: sktime's own checks, adaptation, gaps and bad input."""

import copy

import numpy as np
import pytest
import torch

from l2l_rnn.algorithms import ANIL, ALPaCA, MemoryLearner, fit_linear_prior
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import ForecastEncoder, Forecaster, MemoryModel
from l2l_rnn.tasksets import SeasonalSeries
from l2l_rnn.training import Pretrained

pd = pytest.importorskip("pandas")
pytest.importorskip("sktime")
from l2l_rnn.estimators import MetaForecaster  # noqa: E402

HORIZON, QUANTILES = 4, (0.1, 0.5, 0.9)
NETWORK = {"hidden_size": 4, "lags": 6, "seasonal": True}


@pytest.fixture(scope="module")
def learner():
    """An ALPaCA whose prior is a ridge regression on drawn series."""
    torch.manual_seed(0)
    learner = ALPaCA(ForecastEncoder(HORIZON, **NETWORK), HORIZON)
    batch = SeasonalSeries(16, HORIZON).draw(300, 1, 1, torch.Generator().manual_seed(0))
    x, y = batch.query_x, batch.query_y.clamp(-4, 4)
    fit_linear_prior(learner, x, y, strength=50.0)
    return learner


@pytest.fixture(scope="module")
def model(learner):
    settings = {"forecasting": {"context": 16, "interval_factors": [[0.5, 1.0], [0.9, 1.2]]}}
    return Pretrained(learner, settings=settings)


def months(count, seed=0):
    """A monthly series with a season, a trend and noise."""
    steps = np.arange(count)
    noise = np.random.default_rng(seed).normal(size=count)
    index = pd.period_range("2001-01", periods=count, freq="M")
    values = 100 + 0.5 * steps + 10 * np.sin(steps * np.pi / 6) + noise
    return pd.Series(values, index=index, name="sales")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Forecasters' predict_proba requires skpro:UserWarning")
@pytest.mark.filterwarnings("ignore:Sorting by default when concatenating")  # in sktime
def test_sktimes_checks():
    checks = pytest.importorskip("sktime.utils.estimator_checks")
    found = checks.check_estimator(MetaForecaster(), raise_exceptions=False, verbose=False)
    assert len(found) > 300
    assert {name: result for name, result in found.items() if result != "PASSED"} == {}


def test_it_adapts_to_the_history(model):
    y = months(120)
    forecaster = MetaForecaster(model).fit(y[:-8])
    forecast = forecaster.predict(fh=range(1, 9))
    assert forecast.index.equals(y.index[-8:])
    assert forecast.name == "sales"
    unadapted = MetaForecaster(model).fit(y[-28:-8])  # too short for many windows
    errors = [(f - y[-8:]).abs().mean() for f in (forecast, unadapted.predict(fh=range(1, 9)))]
    assert errors[0] < 3
    assert errors[0] < errors[1]


def test_forecasts_have_the_units_of_the_series(model):
    y = months(90)
    one, other = (MetaForecaster(model, sp=12).fit(v, fh=[1, 3, 6]) for v in (y, 1e5 + 50 * y))
    np.testing.assert_allclose(other.predict(), 1e5 + 50 * one.predict(), rtol=1e-5)
    intervals = [f.predict_interval(coverage=0.8) for f in (one, other)]
    np.testing.assert_allclose(intervals[1], 1e5 + 50 * intervals[0], rtol=1e-5)


def test_intervals_have_their_factors(model, learner):
    y = months(90)
    wide, plain = (
        MetaForecaster(Pretrained(learner, settings={"forecasting": {"context": 16, **given}}))
        .fit(y, fh=[1, 2, 7])
        .predict_interval(coverage=[0.5, 0.9])
        .to_numpy()
        for given in (model.settings["forecasting"], {})
    )
    width = {k: v[:, 1::2] - v[:, ::2] for k, v in {"wide": wide, "plain": plain}.items()}
    np.testing.assert_allclose(width["wide"] / width["plain"], [[1.0, 1.2]] * 3, rtol=1e-5)
    ahead = width["plain"][:, 1]
    assert ahead[2] > ahead[1]  # a step beyond the horizon is less certain


def test_the_quantiles_of_a_network():
    torch.manual_seed(0)
    network = Forecaster(HORIZON, quantiles=QUANTILES, **NETWORK)
    batch = SeasonalSeries(16, HORIZON).draw(200, 1, 1, torch.Generator().manual_seed(0))
    network.fit_head(batch.query_x, batch.query_y)
    y = months(60)
    plain, adapted = (
        MetaForecaster(kind).fit(y, fh=range(1, 5)) for kind in (network, ANIL(network, lr=0.1))
    )
    x = torch.tensor(y.to_numpy()[-48:]).float()
    x = torch.stack([x, torch.full((48,), 12.0)], -1).unsqueeze(0)
    found = plain.predict_quantiles(alpha=list(QUANTILES)).to_numpy()
    np.testing.assert_allclose(found, network(x)[0].detach(), rtol=1e-4)
    assert not np.allclose(adapted.predict(), plain.predict())
    wider = plain.predict_quantiles(alpha=[0.05, 0.3, 0.95]).to_numpy()
    assert (wider[:, 0] < found[:, 0]).all()
    assert (found[:, 2] < wider[:, 2]).all()


def test_missing_values_and_short_series(model):
    y = months(90)
    gaps = y.copy()
    gaps.iloc[[0, 40, 41, 85, 89]] = np.nan
    whole, holed = (MetaForecaster(model).fit(v, fh=[1, 2, 3]).predict() for v in (y, gaps))
    assert np.abs(whole - holed).max() < 15
    for count in (3, 5, 12, 20, 25):
        forecast = MetaForecaster(model).fit(y[:count], fh=[1, 2, 3]).predict()
        assert np.isfinite(forecast).all()


def test_updates_equal_a_fit_on_everything(model):
    y = months(90)
    forecaster = MetaForecaster(model).fit(y[:70])
    forecaster.update(y[70:])
    expected = MetaForecaster(model).fit(y).predict(fh=[1, 2])
    pd.testing.assert_series_equal(forecaster.predict(fh=[1, 2]), expected)
    state = copy.deepcopy(model.learner.state_dict())
    forecaster.update(y[-5:], update_params=False)
    assert all(torch.equal(state[k], v) for k, v in model.learner.state_dict().items())


@pytest.mark.parametrize(
    ("frequency", "period"), [("M", 12), ("Q-DEC", 4), ("h", 24), ("D", 7), ("Y", 1), ("B", 5)]
)
def test_the_season_comes_from_the_frequency(model, frequency, period):
    make = pd.date_range if frequency == "B" else pd.period_range
    index = make("2001-01-01", periods=60, freq=frequency)
    values = months(60).to_numpy()
    forecaster = MetaForecaster(model).fit(pd.Series(values, index=index))
    assert forecaster._series.period == period
    assert MetaForecaster(model, sp=3).fit(pd.Series(values))._series.period == 3


@pytest.mark.parametrize(
    ("options", "y", "steps", "error", "message"),
    [
        ({}, months(20), 21, DataError, "20 steps, got a step 21 ahead; pass a longer history"),
        ({}, months(2), 1, DataError, "at least 3 finite values, got 2 values"),
        ({}, months(9) * np.nan, 1, DataError, "got 0 values"),
        ({}, months(9) * np.inf, 1, DataError, "got an infinite value"),
        ({"sp": 0}, months(20), 1, ArgumentError, "sp must be a positive integer, got 0"),
        ({"sp": 20}, months(20), 1, ArgumentError, "less than the length of the series, 20"),
        ({"model": 3}, months(20), 1, ArgumentTypeError, "model must be a name, .* got int"),
        ({"model": "forecastin"}, months(20), 1, UnknownNameError, "did you mean 'forecasting'"),
    ],
)
def test_bad_input_is_rejected(model, options, y, steps, error, message):
    with pytest.raises(error, match=message):
        MetaForecaster(**{"model": model, **options}).fit(y).predict(fh=[steps])


def test_irregular_times_are_rejected(model):
    index = pd.DatetimeIndex(["2001-01-01", "2001-01-02", "2001-01-05", "2001-02-01"])
    with pytest.raises(DataError, match=r"must have a frequency, got irregular .*asfreq"):
        MetaForecaster(model)._fit(pd.Series([1.0, 2.0, 3.0, 4.0], index=index), None, None)


@pytest.mark.parametrize(
    ("made", "error"),
    [
        (lambda: ALPaCA(torch.nn.Linear(3, 4), 2, features=4), ArgumentTypeError),
        (lambda: Forecaster(2), ArgumentTypeError),
        (lambda: ANIL(Forecaster(2), lr=0.1), ArgumentTypeError),
        (lambda: Forecaster(2, input_size=2, quantiles=QUANTILES), ArgumentError),
        (
            lambda: MemoryLearner(
                MemoryModel(
                    ForecastEncoder(2, hidden_size=7),
                    DeltaFastWeights(key_size=32, value_size=2),
                    regression=True,
                )
            ),
            ArgumentTypeError,
        ),
    ],
)
def test_learners_that_do_not_forecast_are_rejected(made, error):
    with pytest.raises(error, match=r"must (be|forecast)"):
        MetaForecaster(made()).fit(months(20))
