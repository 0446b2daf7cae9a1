"""Bodies of unknown physics: prediction of their dynamics, and control by planning."""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Experience
from benchmarks.few_shot.methods.control.body_method import (
    ALPaCAMethod,
    FineTunedMethod,
    MAMLMethod,
    MemoryControl,
    NoChange,
    QuadraticControl,
    RandomControl,
    RecurrentMethod,
    TrueControl,
    UnadaptedMethod,
)
from benchmarks.few_shot.methods.control.planning import Measure
from benchmarks.few_shot.methods.control.policy import PolicyMethod
from benchmarks.few_shot.problems.body_problem import NAMES, BodyProblem, BodySpec
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.report import bars_and_training

NETWORK = {"hidden_size": 48}
EXPERIENCE = {"train_bodies": 1000, "seconds": 5.0, "hold": 4, "reversed_motors": 0.3}
# Steps and minutes of each training; a second is about as many steps on one core as it asks for.
FULL = {
    "network": (4000, 0.3),
    "MAML": (1200, 0.75),
    "memory": (1500, 0.75),
    "recurrence": (4000, 0.6),
    "ALPaCA": (2500, 0.6),
}
DEFAULT = {
    "network": (1200, 0.1),
    "MAML": (350, 0.2),
    "memory": (450, 0.2),
    "recurrence": (1200, 0.2),
    "ALPaCA": (800, 0.2),
}
QUICK = dict.fromkeys(FULL, (4, 1.0))


def trainings(limits: dict[str, tuple[int, float]], scale: float = 1.0) -> dict[str, Training]:
    """Return the training of each learner, with `scale` times its steps and minutes."""
    return {
        name: Training(
            lr=3e-3,
            tasks=16,
            clip=10.0,
            steps=round(scale * steps),
            minutes=round(scale * minutes, 2),
            validate_every=max(1, round(scale * steps) // 5),
            validation_tasks=100 if steps > 10 else 4,
        )
        for name, (steps, minutes) in limits.items()
    }


def learned(measure: Measure, training: dict[str, Training]) -> dict[str, Entry]:
    """Return the methods that train a model of the dynamics, by name."""

    def options(kind: str, **more: Any) -> dict[str, Any]:
        return {"measure": measure, "network": NETWORK, "training": training[kind], **more}

    context = {**NETWORK, "context_size": 32}
    meta, transfer = "meta-learned", "transfer"
    recurrent = {**options("recurrence"), "network": context, "online": True}
    entries = (
        Entry("network, not adapted", transfer, UnadaptedMethod, options("network")),
        Entry("network, fine-tuned", transfer, FineTunedMethod, options("network")),
        Entry("MAML (GrBAL)", meta, MAMLMethod, options("MAML")),
        Entry("memory learner", meta, MemoryControl, options("memory")),
        Entry("recurrence (ReBAL)", meta, RecurrentMethod, recurrent),
        Entry("ALPaCA", meta, ALPaCAMethod, options("ALPaCA")),
        Entry("ALPaCA, adapting online", meta, ALPaCAMethod, options("ALPaCA", online=True)),
    )
    return {entry.name: entry for entry in entries}


def dynamics(measure: Measure, training: dict[str, Training]) -> tuple[Entry, ...]:
    """Return the methods of the experiment `dynamics`."""
    rows = learned(measure, training)
    del rows["ALPaCA, adapting online"]  # there is no episode
    baselines = (
        Entry("no change", "baseline", NoChange, {"measure": measure}),
        Entry("quadratic ridge regression", "baseline", QuadraticControl, {"measure": measure}),
    )
    return (*baselines, *rows.values())


def control(measure: Measure, training: dict[str, Training], policy: Training) -> tuple[Entry, ...]:
    """Return the methods of the experiment `control`."""
    options = {"measure": measure}
    policy_options = {**options, "training": policy}
    return (
        Entry("random actions", "baseline", RandomControl, options),
        Entry("true model", "baseline", TrueControl, options),
        Entry("quadratic ridge regression", "baseline", QuadraticControl, options),
        *learned(measure, training).values(),
        Entry("recurrent policy (RL^2)", "meta-learned", PolicyMethod, policy_options),
    )


_POLICY = {"lr": 3e-3, "tasks": 64, "clip": 1.0}
_SMALL = Measure(horizon=3, rollouts=5, candidates=4, iterations=1, steps=4, most_horizon=2)

DYNAMICS = BodySpec(
    name="dynamics",
    summary=EXPERIMENTS["dynamics"].summary,
    problem=BodyProblem,
    score="error of 10-step predictions",
    percent=False,
    lower_is_better=True,
    picture=bars_and_training,
    columns=tuple(Experience(name, count) for name in NAMES for count in (10, 100)),
    **EXPERIENCE,
    test_tasks={"quick": 4, "default": 200, "full": 400},
    entries={
        "quick": dynamics(_SMALL, trainings(QUICK)),
        "default": dynamics(Measure(), trainings(DEFAULT, 1.4)),
        "full": dynamics(Measure(), trainings(FULL, 1.5)),
    },
)

CONTROL = BodySpec(
    name="control",
    summary=EXPERIMENTS["control"].summary,
    problem=BodyProblem,
    score="share of the true model's return",
    percent=True,
    lower_is_better=False,
    picture=bars_and_training,
    columns=tuple(Experience(name) for name in NAMES),
    **EXPERIENCE,
    test_tasks={"quick": 4, "default": 100, "full": 100},
    entries={
        "quick": control(
            _SMALL,
            trainings(QUICK),
            Training(**{**_POLICY, "tasks": 4}, steps=4, minutes=1.0, validation_tasks=4),
        ),
        "default": control(
            Measure(),
            trainings(DEFAULT),
            Training(**_POLICY, steps=160, minutes=0.4, validate_every=40),
        ),
        "full": control(
            Measure(),
            trainings(FULL),
            Training(**_POLICY, steps=800, minutes=1.5, validate_every=80),
        ),
    },
)
