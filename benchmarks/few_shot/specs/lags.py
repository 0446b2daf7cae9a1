"""Long dependencies: tasks whose answer lies many steps back, for every cell and learner."""

from __future__ import annotations

import functools
import math
import random
from typing import Any

from benchmarks.few_shot.methods.families import MetaLearned
from benchmarks.few_shot.methods.family_adam import AdamFromPretrained, AdamFromRandom
from benchmarks.few_shot.methods.family_memory import FamilyMemory
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Column, Entry, FamilySpec, Kind, Training
from benchmarks.report import scores_and_gradient_flow
from l2l_rnn.tasksets import Adding, DelayedRecall, TaskFamily

LAGS = (10, 50, 100, 200)
LONGEST_LESSON = 100
CELLS = ("RNN", "GRU", "LSTM", "MinGRU")
STEPS = 2
SHOTS = {"recall": 2, "adding": 10}
QUERIES = {"recall": 4, "adding": 20}
INNER_RATES = {"recall": 1.0, "adding": 0.1}
MEMORIES: dict[str, dict[str, Any]] = {
    "recall": {
        "memory": "hebbian",
        "memory_options": {"decay": 1.0, "lr": 1.0},
        "unit_keys": True,
        "steps": 2,
    },
    "adding": {
        "memory": "delta",
        "memory_options": {"features": "unit", "gate": 0.9},
        "steps": 5,
    },
}


def recall(lag: int, mode: str) -> TaskFamily:
    """Delayed recall at a lag; permutations of one mode."""
    return DelayedRecall(lag, split=mode)


def adding(lag: int, mode: str) -> TaskFamily:
    """The adding problem at a lag; of the continuum of weights none is drawn twice."""
    return Adding(lag)


FAMILIES = {"recall": recall, "adding": adding}


def column(kind: str, lag: int) -> Column:
    """Tasks of a kind at a lag."""
    return Column(functools.partial(FAMILIES[kind], lag), SHOTS[kind], QUERIES[kind])


def lesson(kind: str, progress: float, chance: random.Random) -> Column:
    """Lags from 1 to a bound that grows during the first 60% of a training, short ones more."""
    bound = 4 * (LONGEST_LESSON / 4) ** min(1.0, progress / 0.6)
    return column(kind, max(1, round(math.exp(chance.random() * math.log(bound)))))


def entries(cells: tuple[str, ...], hidden_size: int, training: Training) -> tuple[Entry, ...]:
    """Who competes, with the training that a form of the run has time for."""
    found: list[Entry] = []
    for kind in FAMILIES:
        for cell in cells:
            network = {"hidden_size": hidden_size, "cell": cell.lower()}
            given: dict[str, Any] = {"kind": kind, "network": network, "steps": STEPS}
            learned = {
                **given,
                "lr": INNER_RATES[kind],
                "max_grad_norm": 1.0,  # at lag 200 a simple RNN's gradients overflow without
                "training": training,
            }
            name = f"{kind}, {cell}"
            found += [
                Entry(f"{name}: from scratch", "baseline", AdamFromRandom, given),
                Entry(
                    f"{name}: pre-trained, fine-tuned",
                    "transfer",
                    AdamFromPretrained,
                    {**given, "training": training},
                ),
            ]
            found += [
                Entry(f"{name}: {label}", "meta-learned", MetaLearned, {**learned, "learner": who})
                for label, who in {
                    "MAML": "MAML",
                    "Meta-SGD": "MetaSGD",
                    "MAML++": "MAMLPlusPlus",
                }.items()
            ]
            found.append(
                Entry(
                    f"{name}: memory learner",
                    "meta-learned",
                    FamilyMemory,
                    {**given, **MEMORIES[kind], "training": training},
                )
            )
    return tuple(found)


_TASKS = {"lr": 5e-3, "tasks": 8}


def form(steps: int, minutes: float, validation_tasks: int = 20) -> Training:
    """A training of a form of the run; three looks at the validation tasks."""
    return Training(
        **_TASKS,
        steps=steps,
        minutes=minutes,
        validate_every=-(-steps // 3),
        validation_tasks=validation_tasks,
    )


LAG_BENCHMARK = FamilySpec(
    name="lags",
    summary="answer what lies up to 200 steps back, as an unseen task's examples show",
    problem=FamilyProblem,
    score="error",
    percent=True,
    picture=scores_and_gradient_flow,
    kinds={
        kind: Kind(
            {f"{lag} back": column(kind, lag) for lag in LAGS}, functools.partial(lesson, kind)
        )
        for kind in FAMILIES
    },
    test_tasks={"quick": 4, "default": 200, "full": 200},
    entries={
        "quick": entries(("GRU",), 8, form(3, 1.0, 2)),
        "default": entries(("RNN", "GRU"), 32, form(300, 0.6)),
        "full": entries(CELLS, 32, form(1000, 8.0)),
    },
)
