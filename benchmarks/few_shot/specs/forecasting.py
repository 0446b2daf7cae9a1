"""Forecasting of unseen drawn and recorded series, with and without adaptation to their history."""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Forecast
from benchmarks.few_shot.methods.forecasting.forecast_learners import (
    ForecastALPaCA,
    ForecastMAML,
    ForecastMemory,
    ForecastNetwork,
)
from benchmarks.few_shot.methods.forecasting.linear import GlobalRidge, SeasonalNaive
from benchmarks.few_shot.methods.forecasting.statistical import ExponentialSmoothing, Theta
from benchmarks.few_shot.methods.forecasting.trees import BoostedTrees
from benchmarks.few_shot.problems.forecasting_problem import ForecastingProblem
from benchmarks.few_shot.spec import Entry, ForecastingSpec, Training
from benchmarks.report import bars_and_training

LAGS = 24
NETWORK = {"hidden_size": 32, "cell": "gru", "lags": LAGS}
MEASURES = ("MASE", "sMAPE", "pinball", "coverage")
COLUMNS = tuple(
    Forecast(measure, series, 0.9 if measure == "coverage" else None)
    for series in ("drawn", "recorded")
    for measure in MEASURES
)
OWN_WEIGHTS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


def pair(name: str, method: Any, options: dict[str, Any]) -> tuple[Entry, Entry]:
    """Return a learner with and without adaptation, which share a training."""
    options = {"network": NETWORK, **options}
    return (
        Entry(f"{name}, adapted", "meta-learned", method, {**options, "adapts": True}),
        Entry(f"{name}, not adapted", "baseline", method, {**options, "adapts": False}),
    )


def entries(
    trainings: dict[str, Training], ets_tasks: int | None, trees: dict[str, int]
) -> tuple[Entry, ...]:
    """Return the methods.

    Args:
        trainings: training settings of each learner.
        ets_tasks: number of drawn test series for exponential smoothing, which is slow.
        trees: options of `BoostedTrees`.
    """
    linear = {"lags": LAGS}
    maml = {"learner": "MAML", "lr": 0.3, "steps": 3, "training": trainings["MAML"]}
    anil = {"learner": "ANIL", "lr": 0.5, "steps": 5, "training": trainings["ANIL"]}
    alpaca = {
        "strength": 270.0,
        "prior_weight": 0.3,
        "training": trainings["ALPaCA"],
    }
    memory = {"key_size": 32, "writes": 1, "training": trainings["memory"]}
    network = {"network": NETWORK, "training": trainings["network"]}
    return (
        Entry("seasonal naive", "baseline", SeasonalNaive),
        Entry("Theta", "baseline", Theta, tasks=ets_tasks),
        Entry("exponential smoothing", "baseline", ExponentialSmoothing, tasks=ets_tasks),
        Entry("global ridge", "baseline", GlobalRidge, linear),
        Entry("global ridge, own history", "baseline", GlobalRidge, {**linear, "own": OWN_WEIGHTS}),
        Entry("boosted trees", "baseline", BoostedTrees, {**linear, **trees}),
        Entry("network", "transfer", ForecastNetwork, network),
        *pair("MAML", ForecastMAML, maml),
        *pair("ANIL", ForecastMAML, anil),
        *pair("memory learner", ForecastMemory, memory),
        *pair("ALPaCA", ForecastALPaCA, alpaca),
    )


_SHARED = {"shots": (6, 12, 20, 32), "queries": 2, "validation_tasks": 100}


def trainings(minutes: dict[str, float], steps: dict[str, int]) -> dict[str, Training]:
    """Return the training settings of each learner, from time limits and numbers of steps."""
    tasks = {"network": 64, "MAML": 8, "ANIL": 16, "memory": 16, "ALPaCA": 16}
    return {
        name: Training(
            lr=3e-3,
            tasks=count,
            steps=steps[name],
            minutes=minutes[name],
            validate_every=max(1, steps[name] // 6),
            **{**_SHARED, **({"shots": (1,), "queries": 4} if name == "network" else {})},
        )
        for name, count in tasks.items()
    }


_QUICK = {"network": 2, "MAML": 2, "ANIL": 2, "memory": 2, "ALPaCA": 2}
FORECASTING = ForecastingSpec(
    name="forecasting",
    summary=EXPERIMENTS["forecasting"].summary,
    problem=ForecastingProblem,
    score="error",
    percent=False,
    lower_is_better=True,
    picture=bars_and_training,
    columns=COLUMNS,
    context=48,
    horizon=12,
    history=132,
    test_tasks={"quick": 2, "default": 600, "full": 600},
    entries={
        "quick": entries(
            trainings(dict.fromkeys(_QUICK, 1.0), _QUICK), 2, {"series": 50, "iterations": 2}
        ),
        "default": entries(
            trainings(
                {"network": 0.6, "MAML": 1.1, "ANIL": 0.6, "memory": 0.6, "ALPaCA": 1.1},
                {"network": 300, "MAML": 90, "ANIL": 150, "memory": 150, "ALPaCA": 300},
            ),
            100,
            {"series": 2000, "iterations": 60},
        ),
        "full": entries(
            trainings(
                {"network": 2.0, "MAML": 4.0, "ANIL": 2.0, "memory": 2.0, "ALPaCA": 4.0},
                {"network": 1000, "MAML": 350, "ANIL": 500, "memory": 500, "ALPaCA": 1000},
            ),
            100,
            {"series": 4000, "iterations": 100},
        ),
    },
)
