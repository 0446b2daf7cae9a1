"""Regression of noisy sums of two sine waves, with the Bayes-optimal predictions in the table."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.methods.families.family_alpaca import FamilyALPaCA
from benchmarks.few_shot.methods.families.family_maml import FamilyMAML
from benchmarks.few_shot.methods.families.family_memory import FamilyMemory
from benchmarks.few_shot.methods.families.family_reader import FamilyReader
from benchmarks.few_shot.methods.families.family_references import (
    FamilyGaussianProcess,
    FamilyMean,
    HarmonicsPosterior,
)
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Entry, FamilySpec, FamilyTasks, Kind, Training
from benchmarks.report import bars_and_training
from l2l_rnn.tasksets import Harmonics, TaskFamily

COLUMNS = (Shots(5), Shots(10))
WRITES = 5
QUERIES = 10
KIND = {"kind": "harmonics"}
SINES = {"cell": None, "frequency": 15.0}
NETWORK = {**KIND, "network": {**SINES, "hidden_size": 64}}
COMPONENTS = 32


@functools.cache
def family(split: str) -> TaskFamily:
    """Return the family of waves; parameters are continuous, so no task is drawn twice."""
    return Harmonics()


def tasks_of(column: Shots) -> FamilyTasks:
    """Return the evaluation tasks with the column's number of points."""
    return FamilyTasks(family, column.shots, QUERIES)


def curriculum(progress: float, generator: random.Random) -> FamilyTasks:
    """Draw tasks with 5 or 10 points, with equal probability."""
    return tasks_of(generator.choice(COLUMNS))


def shorter(training: Training, factor: int) -> Training:
    """Return settings of a training with fewer steps."""
    steps = max(training.steps // factor, 1)
    validate_every = min(training.validate_every, steps)
    return replace(training, steps=steps, validate_every=validate_every)


def entries(training: Training, grid: tuple[int, int]) -> tuple[Entry, ...]:
    """Return the methods.

    Args:
        training: training settings. Two methods with slower steps take fewer of them; the mixture,
            whose steps are the slowest, takes all, in four times the time.
        grid: grid points of the frequency and of each phase, of the Bayes-optimal predictions.
    """
    trained = {**NETWORK, "training": training}
    posterior = {**KIND, "frequencies": grid[0], "phases": grid[1]}
    return (
        Entry("Bayes-optimal", "optimum", HarmonicsPosterior, posterior),
        Entry("mean of the points", "baseline", FamilyMean, KIND),
        Entry("Gaussian process", "baseline", FamilyGaussianProcess, KIND),
        Entry(
            "MAML",
            "meta-learned",
            FamilyMAML,
            {**trained, "learner": "MAML", "lr": 0.02, "steps": 1},
        ),
        Entry(
            "memory learner",
            "meta-learned",
            FamilyMemory,
            {
                **NETWORK,
                "steps": WRITES,
                "memory": "delta",
                "memory_options": {"features": "unit", "gate": 0.9},
                "in_order": True,
                "training": shorter(training, 3),
            },
        ),
        Entry(
            "GRU that reads the points",
            "meta-learned",
            FamilyReader,
            {**trained, "training": shorter(training, 2)},
        ),
        Entry(
            "ALPaCA",
            "meta-learned",
            FamilyALPaCA,
            {**trained, "network": {**SINES, "hidden_size": 128, "layers": 1}},
        ),
        Entry(
            "ALPaCA, mixture",
            "meta-learned",
            FamilyALPaCA,
            {
                **KIND,
                "network": {**SINES, "hidden_size": 16 * COMPONENTS, "layers": 1},
                "components": COMPONENTS,
                "training": replace(training, minutes=4 * training.minutes, lr=1e-2),
            },
        ),
    )


_TASKS = {"lr": 3e-3, "tasks": 25, "clip": 10.0}
_QUICK = {"steps": 10, "minutes": 0.5, "validate_every": 10, "validation_tasks": 10}

HARMONICS = FamilySpec(
    name="harmonics",
    summary=EXPERIMENTS["harmonics"].summary,
    problem=FamilyProblem,
    score="mean squared error",
    percent=False,
    lower_is_better=True,
    picture=bars_and_training,
    columns=COLUMNS,
    kinds={"harmonics": Kind(tasks_of, curriculum)},
    test_tasks={"quick": 20, "default": 200, "full": 600},
    entries={
        "quick": entries(Training(**_TASKS, **_QUICK), (16, 16)),
        "default": entries(
            Training(**_TASKS, steps=4000, minutes=0.5, validate_every=1000), (64, 32)
        ),
        "full": entries(
            Training(**_TASKS, steps=12000, minutes=1.75, validate_every=2000), (128, 64)
        ),
    },
)
