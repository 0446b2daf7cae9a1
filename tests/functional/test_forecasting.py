"""Errors of forecasts, compared with sktime's."""

import numpy as np
import pytest
import torch

from l2l_rnn.errors import ArgumentError, DataError, ShapeError
from l2l_rnn.functional import (
    interval_coverage,
    mean_absolute_scaled_error,
    pinball_loss,
    seasonal_scale,
    symmetric_percentage_error,
)

NAN = float("nan")
QUANTILES = (0.05, 0.3, 0.95)


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_errors_equal_those_of_sktime():
    metrics = pytest.importorskip("sktime.performance_metrics.forecasting")
    history, y, f = drawn(3, 30), drawn(3, 1, 12, seed=1), drawn(3, 1, 12, seed=2)
    for period in (1, 7):
        scale = seasonal_scale(history, period)
        found = mean_absolute_scaled_error(f, y, scale)
        expected = [
            metrics.mean_absolute_scaled_error(
                y[n, 0].numpy(), f[n, 0].numpy(), y_train=history[n].numpy(), sp=period
            )
            for n in range(3)
        ]
        np.testing.assert_allclose(found, expected)
    found = symmetric_percentage_error(f, y)
    expected = [
        metrics.mean_absolute_percentage_error(y[n, 0].numpy(), f[n, 0].numpy(), symmetric=True)
        for n in range(3)
    ]
    np.testing.assert_allclose(found, expected)


def test_probabilistic_errors_equal_those_of_sktime():
    pandas = pytest.importorskip("pandas")
    metrics = pytest.importorskip("sktime.performance_metrics.forecasting.probabilistic")
    y, f = drawn(1, 12), drawn(1, 12, 3, seed=1).sort(-1).values
    columns = pandas.MultiIndex.from_product([["y"], QUANTILES])
    frame = pandas.DataFrame(f[0].numpy(), columns=columns)
    true = pandas.Series(y[0].numpy(), name="y")
    expected = metrics.PinballLoss()(true, frame)
    assert pinball_loss(f, y, QUANTILES).item() == pytest.approx(expected)
    columns = pandas.MultiIndex.from_product([["y"], [0.9], ["lower", "upper"]])
    frame = pandas.DataFrame(f[0][:, [0, 2]].numpy(), columns=columns)
    expected = metrics.EmpiricalCoverage()(true, frame)
    found = interval_coverage(f[..., 0], f[..., 2], y)
    assert found.item() == pytest.approx(expected)


def test_missing_targets_change_neither_errors_nor_gradients():
    f = drawn(2, 5, 4, 3).sort(-1).values.requires_grad_()
    y = drawn(2, 5, 4, seed=1)
    gaps = y.clone()
    gaps[0, 2:], gaps[1, :, 3] = NAN, NAN
    scale = torch.ones(2, dtype=torch.float64)
    for error, forecast in (
        (lambda f, y: pinball_loss(f, y, QUANTILES), f),
        (lambda f, y: mean_absolute_scaled_error(f[..., 0], y, scale[: len(y)]), f),
        (lambda f, y: symmetric_percentage_error(f[..., 0], y), f),
        (lambda f, y: interval_coverage(f[..., 0], f[..., 2], y), f),
    ):
        found = error(forecast, gaps)
        torch.testing.assert_close(found[0], error(f[:1, :2], y[:1, :2])[0])
        torch.testing.assert_close(found[1], error(f[1:, :, :3], y[1:, :, :3])[0])
        if found.requires_grad:
            (gradient,) = torch.autograd.grad(found.sum(), f)
            assert gradient.isfinite().all()
            assert not gradient[0, 2:].any()
    assert not pinball_loss(f, torch.full_like(y, NAN), QUANTILES).any()


def test_the_pinball_loss_is_lowest_at_the_quantile():
    y = drawn(1, 20001)
    sorted_y = y.sort(-1).values
    for q in QUANTILES:
        at = [sorted_y[0, int((q + d) * 20000)] for d in (-0.02, 0, 0.02)]
        low, best, high = (pinball_loss(v.expand(1, 20001, 1), y, [q]) for v in at)
        assert best < min(low, high)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: pinball_loss(drawn(2, 3, 2), drawn(2, 3), [0.1]), ShapeError, r"\(2, 3, 1\)"),
        (lambda: pinball_loss(drawn(2, 3, 1), drawn(2, 3), [1.0]), ArgumentError, "between 0 and"),
        (lambda: seasonal_scale(drawn(3), 3), DataError, "3 apart, got 3 steps; pass a longer"),
        (lambda: seasonal_scale(torch.ones(9), 2), DataError, "repeats itself every 2 steps"),
        (lambda: seasonal_scale(drawn(3), 0), ArgumentError, "period must be a positive integer"),
        (lambda: symmetric_percentage_error(drawn(2, 3), drawn(3, 2)), ShapeError, "one shape"),
        (lambda: interval_coverage(drawn(3), drawn(3), drawn(3)), ShapeError, r"\(…, B, D\)"),
        (
            lambda: mean_absolute_scaled_error(drawn(2, 3, 4), drawn(2, 3, 4), drawn(3)),
            ShapeError,
            r"scale must have shape \(2,\)",
        ),
    ],
)
def test_bad_input_is_rejected(call, error, message):
    with pytest.raises(error, match=message):
        call()
