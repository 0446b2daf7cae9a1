"""The forecasting benchmark: what its tasks show, calibrated intervals, and the saved model."""

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.few_shot import runner
from benchmarks.few_shot.methods.forecasting.forecast_learners import ForecastALPaCA
from benchmarks.few_shot.methods.forecasting.forecast_method import MEDIAN, PAIRS, measures
from benchmarks.few_shot.methods.forecasting.linear import GlobalRidge, SeasonalNaive
from benchmarks.few_shot.problems.forecasting_problem import CLIP, ORIGINS
from benchmarks.few_shot.specs import SPECS
from benchmarks.report.scores import leaders
from benchmarks.report.tables import notes

pytest.importorskip("statsmodels")
pytest.importorskip("bokeh_sampledata")
SPEC = SPECS["forecasting"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def problem():
    return SPEC.problem(SPEC, 0, CPU, 60)


@pytest.mark.parametrize("series", ["drawn", "recorded"])
def test_support_windows_end_before_the_forecast(problem, series):
    tasks = problem.evaluation_tasks(series, "test", 60)[0]
    raw = tasks.query_x[:, 0, :, 0] * tasks.std[:, 0] + tasks.mean[:, 0]
    torch.testing.assert_close(raw, tasks.history[:, -SPEC.context :], rtol=1e-4, atol=1e-3)
    future = tasks.query_y[:, 0] * tasks.std[:, 0] + tasks.mean[:, 0]
    torch.testing.assert_close(future, tasks.future, rtol=1e-4, atol=1e-3)
    last = tasks.history[:, -SPEC.context - SPEC.horizon :]
    context, targets = last.split((SPEC.context, SPEC.horizon), -1)
    expected = (targets - context.mean(-1, keepdim=True)) / context.std(-1, False, keepdim=True)
    torch.testing.assert_close(
        tasks.support_y[:, -1], expected.clamp(-CLIP, CLIP), rtol=1e-3, atol=1e-3
    )


def test_recorded_series_are_forecast_from_several_origins(problem):
    tasks = problem.evaluation_tasks("recorded", "test", 60)[:ORIGINS]
    assert [part.history.shape[-1] for part in tasks] == [108, 120, 132]  # airline
    assert tasks[0].future[0].tolist() == tasks[1].history[0, 108:].tolist()


def test_seasonal_naive_and_the_scale_agree(problem):
    """On the history itself, the error of the seasonal naive forecast is the scale."""
    tasks = problem.evaluation_tasks("recorded", "test", 60)[2]
    method = SeasonalNaive(problem, "naive")
    found = method.point(tasks) * tasks.std[:, 0] + tasks.mean[:, 0]
    np.testing.assert_allclose(found[0], tasks.history[0, -12:], rtol=1e-5)
    exact = tasks.query_y[:, 0].unsqueeze(-1).expand(-1, -1, 5)
    perfect = measures(tasks, exact)
    assert perfect["MASE"].item() == pytest.approx(0, abs=1e-4)
    assert perfect["pinball"].item() == pytest.approx(0, abs=1e-4)


def test_intervals_are_calibrated_on_validation_series(problem):
    method = GlobalRidge(problem, "ridge", lags=6)
    method.train()
    method.trained = True
    factors = method.interval_factors("drawn")
    inside = {pair: [] for pair in PAIRS}
    for tasks in method.calibration_tasks("drawn"):
        found = method.calibrated(tasks, factors)
        y = tasks.query_y[:, 0]
        for low, high in PAIRS:
            inside[low, high].append((found[..., low] <= y) & (y <= found[..., high]))
        assert torch.equal(found[..., MEDIAN], method.quantiles(tasks)[..., MEDIAN])
    shares = [torch.cat(parts).float().mean().item() for parts in inside.values()]
    assert shares == pytest.approx([0.9, 0.5], abs=0.01)


def test_the_own_history_helps_ridge_regression(problem):
    plain, own = (
        GlobalRidge(problem, "ridge", lags=6, own=weights) for weights in ((), (1.0, 30.0))
    )
    errors = []
    for method in (plain, own):
        method.train()
        method.trained = True
        errors.append(method._measure("drawn")["MASE"].mean())
    assert errors[1] < errors[0]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecasting")
    spec = dataclasses.replace(SPEC)
    only = "ALPaCA, adapted"
    result = runner.run(spec, "quick", 0, CPU, folder, only=only, save=folder / "model")
    return folder, result


def test_the_saved_model_forecasts(saved):
    pytest.importorskip("sktime")
    from sktime.datasets import load_airline

    from l2l_rnn.estimators import MetaForecaster

    folder, result = saved
    y = load_airline()
    forecaster = MetaForecaster(folder / "model").fit(y[:-12], fh=range(1, 13))
    forecast = forecaster.predict()
    naive = np.abs(y[-24:-12].to_numpy() - y[-12:].to_numpy()).mean()
    assert np.abs(forecast - y[-12:]).mean() < naive
    (method,) = result["methods"]
    settings = forecaster._opened_model[1]
    assert [pair[0] for pair in settings["interval_factors"]] == pytest.approx([0.5, 0.9])
    largest = [max(pair) for pair in zip(*method["interval_factors"].values(), strict=True)]
    assert [pair[1] for pair in settings["interval_factors"]] == pytest.approx(largest[::-1])


def test_no_coverage_is_the_best(saved):
    _, result = saved
    for column in result["columns"]:
        aimed = column["measure"] == "coverage"
        assert (column.get("aim") == 0.9) == aimed
        assert bool(leaders(result, column["name"])) != aimed
    assert "coverage" not in notes(result)


def test_learners_with_and_without_adaptation_share_a_training():
    for form in ("quick", "default", "full"):
        alike = [e for e in SPEC.entries[form] if e.method is ForecastALPaCA]
        assert [entry.options["adapts"] for entry in alike] == [True, False]
        assert len({key for entry in alike for key in entry.trainings}) == 1
