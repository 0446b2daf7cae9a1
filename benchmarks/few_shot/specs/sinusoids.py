"""Sinusoid regression: the waves of Finn et al. 2017, from 5 or 10 points and one gradient step."""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.few_shot.methods.families import MetaLearned
from benchmarks.few_shot.methods.family_adam import AdamFromPretrained, AdamFromRandom
from benchmarks.few_shot.methods.family_memory import FamilyMemory
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Column, Entry, FamilySpec, Kind, Training
from benchmarks.report import bars_and_training
from l2l_rnn.tasksets import Sinusoids, TaskFamily

SHOTS = (5, 10)
WRITES = 5
QUERIES = 10
NETWORK = {"kind": "sinusoids", "network": {"hidden_size": 40, "cell": None}, "steps": 1}


def family(mode: str) -> TaskFamily:
    """Waves; of a continuum of them none is drawn twice."""
    return Sinusoids()


def lesson(progress: float, chance: random.Random) -> Column:
    """Waves shown at 5 points or at 10."""
    return Column(family, chance.choice(SHOTS), QUERIES)


def entries(training: Training, steps_of_memory: int) -> tuple[Entry, ...]:
    """Who competes, with the training that a form of the run has time for."""
    learned = {**NETWORK, "lr": 0.02, "training": training}
    return (
        Entry("from scratch", "baseline", AdamFromRandom, NETWORK),
        Entry(
            "pre-trained, fine-tuned",
            "transfer",
            AdamFromPretrained,
            {**NETWORK, "training": training, "heads": 500},
        ),
        Entry(
            "MAML, first order",
            "meta-learned",
            MetaLearned,
            {**learned, "learner": "MAML", "first_order": True},
        ),
        Entry("MAML", "meta-learned", MetaLearned, {**learned, "learner": "MAML"}),
        Entry(
            "MAML, a rate for each tensor",
            "meta-learned",
            MetaLearned,
            {**learned, "learner": "MAMLPlusPlus"},
        ),
        Entry("Meta-SGD", "meta-learned", MetaLearned, {**learned, "learner": "MetaSGD"}),
        Entry(
            "memory learner",
            "meta-learned",
            FamilyMemory,
            {
                **NETWORK,
                "steps": WRITES,
                "memory": "delta",
                "memory_options": {"features": "unit", "gate": 0.9},
                "training": replace(
                    training,
                    steps=steps_of_memory,
                    validate_every=min(training.validate_every, steps_of_memory),
                ),
            },
        ),
    )


_TASKS = {"lr": 3e-3, "tasks": 25, "clip": 10.0}
_QUICK = {"steps": 10, "minutes": 1.0, "validate_every": 10, "validation_tasks": 10}

SINUSOIDS = FamilySpec(
    name="sinusoids",
    summary="draw unseen sine waves from 5 or 10 points each and one gradient step",
    problem=FamilyProblem,
    score="mean squared error",
    percent=False,
    picture=bars_and_training,
    kinds={"sinusoids": Kind({f"{k} shots": Column(family, k, QUERIES) for k in SHOTS}, lesson)},
    test_tasks={"quick": 20, "default": 600, "full": 600},
    entries={
        "quick": entries(Training(**_TASKS, **_QUICK), 10),
        "default": entries(
            Training(**_TASKS, steps=6000, minutes=1.0, validate_every=1500),
            steps_of_memory=2000,
        ),
        "full": entries(
            Training(**_TASKS, steps=16000, minutes=4.0, validate_every=2000),
            steps_of_memory=6000,
        ),
    },
)
