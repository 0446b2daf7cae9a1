"""Long-range dependencies: targets that depend on a distant step, for every cell and learner."""

from __future__ import annotations

import functools
import math
import random
from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Lag
from benchmarks.few_shot.methods.families.family_baselines import FamilyFineTuned, FamilyFromScratch
from benchmarks.few_shot.methods.families.family_maml import FamilyMAML
from benchmarks.few_shot.methods.families.family_memory import FamilyMemory
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Entry, FamilySpec, FamilyTasks, Kind, Training
from benchmarks.report import scores_and_gradient_flow
from l2l_rnn.tasksets import Adding, DelayedRecall, TaskFamily

COLUMNS = tuple(map(Lag, (10, 50, 100, 200)))
LONGEST_TRAINING_LAG = 100
CELLS = ("RNN", "GRU", "LSTM", "MinGRU")
LEARNERS = {"MAML": "MAML", "Meta-SGD": "MetaSGD", "MAML++": "MAMLPlusPlus"}
STEPS = 2
SHOTS = {"recall": 2, "adding": 10}
QUERIES = {"recall": 4, "adding": 20}
INNER_LRS = {"recall": 1.0, "adding": 0.1}
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
        "in_order": True,
        "steps": 5,
    },
}


@functools.cache
def recall(lag: int, split: str) -> TaskFamily:
    """Return delayed recall at a lag; each split has its own permutations."""
    return DelayedRecall(lag, split=split)


@functools.cache
def adding(lag: int, split: str) -> TaskFamily:
    """Return the adding problem at a lag; its weights are continuous, so no task is drawn twice."""
    return Adding(lag)


FAMILIES = {"recall": recall, "adding": adding}


def tasks_at(kind: str, lag: int) -> FamilyTasks:
    """Return tasks of a kind at a lag."""
    return FamilyTasks(functools.partial(FAMILIES[kind], lag), SHOTS[kind], QUERIES[kind])


def tasks_of(kind: str, column: Lag) -> FamilyTasks:
    """Return the evaluation tasks of a kind."""
    return tasks_at(kind, column.lag)


def curriculum(kind: str, progress: float, generator: random.Random) -> FamilyTasks:
    """Draw a lag up to a bound that grows during the first 60% of training; favors short lags."""
    bound = 4 * (LONGEST_TRAINING_LAG / 4) ** min(1.0, progress / 0.6)
    return tasks_at(kind, max(1, round(math.exp(generator.random() * math.log(bound)))))


def entries(cells: tuple[str, ...], hidden_size: int, training: Training) -> tuple[Entry, ...]:
    """Return the methods for each kind of tasks and each cell."""
    return tuple(
        entry
        for kind in FAMILIES
        for cell in cells
        for entry in entries_of(kind, cell, hidden_size, training)
    )


def entries_of(kind: str, cell: str, hidden_size: int, training: Training) -> list[Entry]:
    """Return the methods for one kind of tasks and one cell."""
    variant = {"tasks": kind, "cell": cell}
    network = {"hidden_size": hidden_size, "cell": cell.lower()}
    shared: dict[str, Any] = {"kind": kind, "network": network, "steps": STEPS}
    trained = {**shared, "training": training}
    inner = {"lr": INNER_LRS[kind], "max_grad_norm": 1.0}  # else an RNN's overflows at lag 200
    return [
        Entry("from scratch", "baseline", FamilyFromScratch, shared, variant),
        Entry("pre-trained, fine-tuned", "transfer", FamilyFineTuned, trained, variant),
        *(
            Entry(
                name, "meta-learned", FamilyMAML, {**trained, **inner, "learner": learner}, variant
            )
            for name, learner in LEARNERS.items()
        ),
        Entry(
            "memory learner", "meta-learned", FamilyMemory, {**trained, **MEMORIES[kind]}, variant
        ),
    ]


def training(steps: int, minutes: float, validation_tasks: int = 20) -> Training:
    """Return training settings with three validations."""
    return Training(
        lr=5e-3,
        tasks=8,
        steps=steps,
        minutes=minutes,
        validate_every=-(-steps // 3),
        validation_tasks=validation_tasks,
    )


LAGS = FamilySpec(
    name="lags",
    summary=EXPERIMENTS["lags"].summary,
    problem=FamilyProblem,
    score="error",
    percent=True,
    lower_is_better=True,
    picture=scores_and_gradient_flow,
    columns=COLUMNS,
    kinds={
        kind: Kind(functools.partial(tasks_of, kind), functools.partial(curriculum, kind))
        for kind in FAMILIES
    },
    test_tasks={"quick": 4, "default": 200, "full": 200},
    entries={
        "quick": entries(("GRU",), 8, training(3, 1.0, 2)),
        "default": entries(("RNN", "GRU"), 32, training(300, 0.6)),
        "full": entries(CELLS, 32, training(1000, 8.0)),
    },
)
