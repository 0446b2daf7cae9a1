"""Few-shot language identification: classify names by language, from 1 or 5 examples of each."""

from __future__ import annotations

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import ClassificationSpec, Training
from benchmarks.few_shot.specs.rows import QUICK_STACKED, Rows, entries
from benchmarks.report import bars_and_training

MODEL = {"embedding_size": 64, "hidden_size": 64, "bidirectional": True, "pooling": "max"}
_QUICK = {"minutes": 1.0, "steps": 10, "validate_every": 10, "validation_tasks": 10}
_PRETRAINING = {"lr": 3e-3}
_METRIC = {"lr": 6e-3, "ways": 20}
_START = {"lr": 1e-3, "ways": 20}
_INNER = {"lr": 2e-3, "ways": (5, 20)}

LANGUAGES = ClassificationSpec(
    name="languages",
    summary=EXPERIMENTS["languages"].summary,
    problem=ClassificationProblem,
    score="accuracy",
    percent=True,
    lower_is_better=False,
    picture=bars_and_training,
    taskset="languages",
    ways=5,
    more_ways=(20,),
    shots=(1, 5),
    queries=10,
    curve=(1, 2, 5, 10, 20, 50),
    test_tasks={"quick": 10, "default": 200, "full": 600},
    curve_tasks={"quick": 3, "default": 50, "full": 100},
    entries={
        "quick": entries(
            Rows(
                {**MODEL, "embedding_size": 16, "hidden_size": 16},
                Training(**_PRETRAINING, **_QUICK),
                Training(**_METRIC, **_QUICK),
                Training(**_METRIC, **_QUICK),
                Training(**_START, **_QUICK),
                Training(**_INNER, **_QUICK),
                inner_steps=1,
                adam_steps=(2, 2),
                stacked=QUICK_STACKED,
            )
        ),
        "default": entries(
            Rows(
                MODEL,
                Training(
                    **_PRETRAINING, steps=700, minutes=0.6, validate_every=175, validation_tasks=50
                ),
                Training(**_METRIC, steps=1200, minutes=1.3, validate_every=200),
                Training(**_METRIC, steps=700, minutes=0.7, validate_every=175),
                Training(**_START, steps=200, minutes=0.8, validate_every=50, validation_tasks=50),
                Training(**_INNER, steps=200, minutes=0.6, validate_every=50, validation_tasks=50),
                learners=("R2D2", "MAML, second order"),
                letter_permutations=0.5,
                slow_tasks=60,
            )
        ),
        "full": entries(
            Rows(
                {**MODEL, "hidden_size": 256},
                Training(**_PRETRAINING, steps=800, minutes=5.0, validate_every=200),
                Training(**_METRIC, steps=1000, minutes=5.0, validate_every=250),
                Training(**_METRIC, steps=500, minutes=3.0, validate_every=250),
                Training(**_START, steps=100, minutes=3.0, validate_every=50, validation_tasks=50),
                Training(**_INNER, steps=300, minutes=2.0, validate_every=100, validation_tasks=50),
                members=3,
                adam_steps=(5, 5),
                learners=("R2D2", "MAML, second order", "Meta-SGD"),
                letter_permutations=0.5,
                slow_tasks=100,
            )
        ),
    },
)
