"""Personalization: recognize the exercises of an unseen person from a few windows of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.methods.closed_form import ClosedFormMethod
from benchmarks.few_shot.methods.maml import MAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.persons.online import (
    OnlineMAML,
    OnlineMemory,
    OnlinePopulation,
)
from benchmarks.few_shot.methods.persons.population import PopulationModel
from benchmarks.few_shot.methods.persons.rotated import Rotated
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.series.joined import JoinedSeries
from benchmarks.few_shot.methods.series.neighbors import MeanSeries, NearestSeries
from benchmarks.few_shot.methods.series.rocket import RocketRidge
from benchmarks.few_shot.problems.drift_problem import DriftProblem
from benchmarks.few_shot.problems.persons_problem import PersonsProblem
from benchmarks.few_shot.spec import Entry, SeriesSpec, Training
from benchmarks.report import bars_and_training

MODEL: dict[str, Any] = {
    "normalize": False,  # the direction of gravity tells exercises apart
    "channels": (32, 48),
    "strides": (3, 2),
    "hidden_size": 48,
}
_QUICK = {"minutes": 0.2, "steps": 2, "validate_every": 2, "validation_tasks": 2, "queries": 2}


@dataclass(frozen=True)
class ActivityRows:
    """Settings of the methods.

    Attributes:
        model: options of the encoder.
        pretraining: training settings of the population's model.
        metric: training settings of ProtoNet, R2D2 and the memory learner.
        inner: training settings of MAML.
        folds: the folds of the cross-validation over persons.
        features: number of MiniRocket features of a channel.
        slow_tasks: most test tasks of each fold for the methods that take gradient steps on each
            task, or compute features for each.
        joined: options of the joined learner.
    """

    model: dict[str, Any]
    pretraining: Training
    metric: Training
    inner: Training
    folds: tuple[int, ...] = (0, 1, 2, 3, 4)
    features: int = 1680
    slow_tasks: int = 20
    adam_steps: int = 20
    joined: dict[str, Any] | None = None


def activity_entries(rows: ActivityRows) -> tuple[Entry, ...]:
    """Return the baselines, the population's model and the meta-learners."""

    def entry(
        name: str, group: str, method: Any, options: dict[str, Any], slow: bool = False
    ) -> Entry:
        given = {"method": method.__name__, "options": options, "folds": rows.folds}
        limits: dict[str, Any] = {"tasks": rows.slow_tasks, "curve": False} if slow else {}
        return Entry(name, group, Rotated, given, **limits)

    shared = {
        "model": rows.model,
        "pretraining": {"training": rows.pretraining, "batch_size": 100},
    }
    prototypes = {"model": rows.model, "training": rows.metric}
    prior = {**prototypes, "shrinkage": 0.3}
    memory = {
        **prototypes,
        "memory": "key-value",
        "memory_options": {"similarity": "cosine", "slots": 128},
    }
    maml = {"learner": "MAML", "inner_lr": 0.1, "max_grad_norm": 10.0}
    steps = {"inner_steps": 2, "test_steps": 2}
    rocket = {"features": rows.features, "normalize": False}
    own = {**rocket, "own_biases": True}
    joined = {"neighbors": True, "window": None, "normalize": False, **(rows.joined or {})}
    return (
        entry("Class means of channel moments", "baseline", MeanSeries, {"moments": True}),
        entry("1NN, Euclidean", "baseline", NearestSeries, {"normalize": False}),
        entry("Own MiniRocket, ridge", "baseline", RocketRidge, own, slow=True),
        entry("MiniRocket with biases of the population, ridge", "baseline", RocketRidge, rocket),
        entry("Population's model", "transfer", PopulationModel, shared),
        entry(
            "Population's model, fine-tuned",
            "transfer",
            PopulationModel,
            {**shared, "steps": rows.adam_steps, "lr": 1e-3},
            slow=True,
        ),
        entry("GRU ProtoNet", "meta-learned", ProtoNetMethod, prototypes),
        entry("GRU ProtoNet, Gaussian prior", "meta-learned", ProtoNetMethod, prior),
        entry("GRU R2D2", "meta-learned", ClosedFormMethod, {**prototypes, "head": "ridge"}),
        entry("GRU memory learner", "meta-learned", MemoryMethod, memory),
        entry(
            "GRU MAML, second order",
            "meta-learned",
            MAMLMethod,
            {"model": rows.model, "training": rows.inner, **steps, **maml},
            slow=True,
        ),
        entry(
            "GRU ProtoNet, joined with the population's model and MiniRocket",
            "meta-learned",
            JoinedSeries,
            {"options": prior, "population": shared, "features": 420, **joined},
        ),
    )


def drift_entries(rows: ActivityRows) -> tuple[Entry, ...]:
    """Return methods that take one window after another, and their versions that stop."""

    def entry(
        name: str, group: str, method: Any, options: dict[str, Any], windows: int | None = None
    ) -> Entry:
        given: dict[str, Any] = {"method": method.__name__, "options": options, "folds": rows.folds}
        return Entry(name, group, Rotated, given | ({"windows": windows} if windows else {}))

    shared = {
        "model": rows.model,
        "pretraining": {"training": rows.pretraining, "batch_size": 100},
    }
    prior = {"model": rows.model, "training": rows.metric, "shrinkage": 0.3}
    maml = {
        "model": rows.model,
        "training": rows.inner,
        "learner": "MAML",
        "inner_lr": 0.05,
        "max_grad_norm": 10.0,
        "inner_steps": 1,
        "test_steps": 1,
    }
    memory = {
        "model": rows.model,
        "training": rows.metric,
        "memory": "key-value",
        "memory_options": {"similarity": "cosine", "slots": 128},
    }
    joined = {
        "options": prior,
        "population": shared,
        "features": 420,
        "window": None,
        "normalize": False,
        "shots": (1, 2, 5, 10),
        **(rows.joined or {}),
    }
    return (
        entry("Population's model", "transfer", PopulationModel, shared),
        entry(
            "Population's model, gradient steps on each window",
            "transfer",
            OnlinePopulation,
            {**shared, "steps": 1, "lr": 0.05},
        ),
        entry("GRU ProtoNet, Gaussian prior", "meta-learned", ProtoNetMethod, prior),
        entry("GRU ProtoNet, prior, first window only", "meta-learned", ProtoNetMethod, prior, 1),
        entry("GRU memory, writes of each window", "meta-learned", OnlineMemory, memory),
        entry("GRU MAML, gradient steps on each window", "meta-learned", OnlineMAML, maml),
        entry(
            "GRU ProtoNet, joined with the population's model and MiniRocket",
            "meta-learned",
            JoinedSeries,
            joined,
        ),
    )


_PERSONS = {"tasks": 4, "ways": 7}

_ROWS = {
    "quick": ActivityRows(
        {**MODEL, "channels": (4, 4), "hidden_size": 4, "embedding_size": 8},
        Training(**_QUICK),
        Training(**_QUICK, ways=7),
        Training(**_QUICK, ways=7),
        folds=(4,),
        features=84,
        slow_tasks=2,
        adam_steps=2,
        joined={"features": 84, "shots": (1, 2), "validation_tasks": 3},
    ),
    "default": ActivityRows(
        MODEL,
        Training(steps=100, minutes=0.12, validate_every=50, validation_tasks=10),
        Training(**_PERSONS, steps=100, minutes=0.16, validate_every=50, validation_tasks=10),
        Training(
            **_PERSONS, lr=2e-3, steps=30, minutes=0.16, validate_every=15, validation_tasks=10
        ),
        slow_tasks=10,
    ),
    "full": ActivityRows(
        MODEL,
        Training(steps=300, minutes=0.5, validate_every=100, validation_tasks=20),
        Training(**_PERSONS, steps=300, minutes=0.55, validate_every=100, validation_tasks=20),
        Training(
            **_PERSONS, lr=2e-3, steps=100, minutes=0.6, validate_every=25, validation_tasks=20
        ),
    ),
}
_SHARED: dict[str, Any] = {
    "score": "accuracy",
    "percent": True,
    "lower_is_better": False,
    "picture": bars_and_training,
    "taskset": "activity",
    "ways": 7,
    "test_tasks": {"quick": 2, "default": 200, "full": 600},
}

ACTIVITY = SeriesSpec(
    name="activity",
    summary=EXPERIMENTS["activity"].summary,
    problem=PersonsProblem,
    shots=(1, 5),
    queries=10,
    curve=(1, 2, 5, 10),
    curve_tasks={"quick": 2, "default": 50, "full": 100},
    entries={form: activity_entries(rows) for form, rows in _ROWS.items()},
    **_SHARED,
)

ACTIVITY_DRIFT = SeriesSpec(
    name="activity_drift",
    summary=EXPERIMENTS["activity_drift"].summary,
    problem=DriftProblem,
    taskset_options={"window": 50},
    shots=(1, 2, 5, 10),
    queries=5,
    entries={form: drift_entries(rows) for form, rows in _ROWS.items()},
    **_SHARED,
)
