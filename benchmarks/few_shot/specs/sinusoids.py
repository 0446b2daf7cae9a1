"""Sinusoid regression of Finn et al. 2017, with 5 or 10 points and one gradient step."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.methods.families.family_alpaca import FamilyALPaCA
from benchmarks.few_shot.methods.families.family_baselines import FamilyFineTuned, FamilyFromScratch
from benchmarks.few_shot.methods.families.family_maml import FamilyMAML
from benchmarks.few_shot.methods.families.family_memory import FamilyMemory
from benchmarks.few_shot.methods.families.family_references import SineFit
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Entry, FamilySpec, FamilyTasks, Kind, Training
from benchmarks.report import bars_and_training
from l2l_rnn.tasksets import Sinusoids, TaskFamily

COLUMNS = (Shots(5), Shots(10))
WRITES = 5
QUERIES = 10
NETWORK = {"kind": "sinusoids", "network": {"hidden_size": 40, "cell": None}, "steps": 1}


@functools.cache
def family(split: str) -> TaskFamily:
    """Return the family of sine waves; parameters are continuous, so no task is drawn twice."""
    return Sinusoids()


def tasks_of(column: Shots) -> FamilyTasks:
    """Return the evaluation tasks with the column's number of points."""
    return FamilyTasks(family, column.shots, QUERIES)


def curriculum(progress: float, generator: random.Random) -> FamilyTasks:
    """Draw tasks with 5 or 10 points, with equal probability."""
    return tasks_of(generator.choice(COLUMNS))


def entries(training: Training, memory_steps: int) -> tuple[Entry, ...]:
    """Return the methods.

    Args:
        training: training settings.
        memory_steps: training steps of the memory learner.
    """
    trained = {**NETWORK, "training": training}
    learned = {**trained, "lr": 0.02}
    memory_training = replace(
        training,
        steps=memory_steps,
        validate_every=min(training.validate_every, memory_steps),
    )
    return (
        Entry("from scratch", "baseline", FamilyFromScratch, NETWORK),
        Entry("pre-trained, fine-tuned", "transfer", FamilyFineTuned, {**trained, "heads": 500}),
        Entry(
            "MAML, first order",
            "meta-learned",
            FamilyMAML,
            {**learned, "learner": "MAML", "first_order": True},
        ),
        Entry("MAML", "meta-learned", FamilyMAML, {**learned, "learner": "MAML"}),
        Entry(
            "MAML, one lr per tensor",
            "meta-learned",
            FamilyMAML,
            {**learned, "learner": "MAMLPlusPlus"},
        ),
        Entry("Meta-SGD", "meta-learned", FamilyMAML, {**learned, "learner": "MetaSGD"}),
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
                "training": memory_training,
            },
        ),
        Entry(
            "ALPaCA",
            "meta-learned",
            FamilyALPaCA,
            {
                "kind": "sinusoids",
                "network": NETWORK["network"],
                "likelihood": False,
                "training": training,
            },
        ),
        Entry("amplitude and phase fitted", "optimum", SineFit, {"kind": "sinusoids"}),
    )


_TASKS = {"lr": 3e-3, "tasks": 25, "clip": 10.0}
_QUICK = {"steps": 10, "minutes": 1.0, "validate_every": 10, "validation_tasks": 10}

SINUSOIDS = FamilySpec(
    name="sinusoids",
    summary=EXPERIMENTS["sinusoids"].summary,
    problem=FamilyProblem,
    score="mean squared error",
    percent=False,
    lower_is_better=True,
    picture=bars_and_training,
    columns=COLUMNS,
    kinds={"sinusoids": Kind(tasks_of, curriculum)},
    test_tasks={"quick": 20, "default": 600, "full": 600},
    entries={
        "quick": entries(Training(**_TASKS, **_QUICK), memory_steps=10),
        "default": entries(
            Training(**_TASKS, steps=6000, minutes=1.0, validate_every=1500), memory_steps=2000
        ),
        "full": entries(
            Training(**_TASKS, steps=16000, minutes=4.0, validate_every=2000), memory_steps=6000
        ),
    },
)
