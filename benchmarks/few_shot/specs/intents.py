"""Few-shot intents: classify smart-home commands of unseen domains."""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import ClassificationSpec, Entry, Training
from benchmarks.few_shot.specs.rows import COMMANDS, QUICK_STACKED, Rows, entries
from benchmarks.report import bars_and_training

MODEL = {"embedding_size": 64, "hidden_size": 64, "bidirectional": True, "pooling": "max"}
ENGLISH = r"\w+"  # the names of classes in other languages end in their code
STACKED = {"ngrams": (1, 5), "sublinear_tf": True, "regularization": 10.0}
FROZEN_STACKED = {
    "options": {"shrinkage": 0.9, "prior_classes": ENGLISH},
    "heads": {"class means": {}, "plain logistic": {"regularization": 0.1}},
    "ngrams": (1, 1),
}
_QUICK = {"minutes": 1.0, "steps": 5, "validate_every": 5, "validation_tasks": 5}
_PRETRAINING = {"lr": 3e-3}


def forms(ways: int, inner_ways: tuple[int, ...], *, frozen: bool) -> dict[str, tuple[Entry, ...]]:
    """Return the methods of each form.

    Args:
        ways: classes per training task of the methods without a learned head.
        inner_ways: classes per training task of MAML and its variants.
        frozen: whether to run the methods over MiniLM, which reads English.
    """
    metric, start = {"lr": 6e-3, "ways": ways}, {"lr": 1e-3, "ways": ways}
    inner = {"lr": 2e-3, "ways": inner_ways}
    return {
        "quick": entries(
            Rows(
                {**MODEL, "embedding_size": 16, "hidden_size": 16},
                Training(**_PRETRAINING, **_QUICK),
                Training(**metric, **_QUICK),
                Training(**metric, **_QUICK),
                Training(**start, **_QUICK),
                Training(**inner, **_QUICK),
                ngrams=COMMANDS,
                inner_steps=1,
                frozen=frozen,
                prior_classes=ENGLISH,
                stacked={**STACKED, **QUICK_STACKED},
                frozen_stacked={**FROZEN_STACKED, **QUICK_STACKED},
                adam_steps=(2, 2),
            )
        ),
        "default": entries(
            Rows(
                MODEL,
                Training(
                    **_PRETRAINING, steps=500, minutes=0.8, validate_every=125, validation_tasks=50
                ),
                Training(**metric, steps=600, minutes=1.3, validate_every=150, validation_tasks=50),
                Training(**metric, steps=400, minutes=0.8, validate_every=100, validation_tasks=50),
                Training(**start, steps=100, minutes=0.7, validate_every=50, validation_tasks=50),
                Training(**inner, steps=150, minutes=0.7, validate_every=50, validation_tasks=50),
                learners=("R2D2", "MAML, second order"),
                slow_tasks=60,
                ngrams=COMMANDS,
                frozen=frozen,
                prior_classes=ENGLISH,
                stacked=STACKED,
                frozen_stacked=FROZEN_STACKED,
            )
        ),
        "full": entries(
            Rows(
                {**MODEL, "hidden_size": 128},
                Training(**_PRETRAINING, steps=400, minutes=2.0, validate_every=200),
                Training(**metric, steps=400, minutes=2.0, validate_every=200),
                Training(**metric, steps=300, minutes=1.5, validate_every=150),
                Training(**start, steps=100, minutes=1.5, validate_every=50),
                Training(**inner, steps=200, minutes=1.5, validate_every=100),
                learners=("R2D2", "MAML, second order", "ANIL"),
                ngrams=COMMANDS,
                adam_steps=(5, 5),
                slow_tasks=60,
                frozen=frozen,
                prior_classes=ENGLISH,
                stacked=STACKED,
                frozen_stacked=FROZEN_STACKED,
                setfit_tasks=10 if frozen else 0,
            )
        ),
    }


SHARED: dict[str, Any] = {
    "score": "accuracy",
    "percent": True,
    "lower_is_better": False,
    "picture": bars_and_training,
    "ways": 5,
    "shots": (1, 5),
    "queries": 10,
    "test_tasks": {"quick": 10, "default": 200, "full": 600},
}

INTENTS = ClassificationSpec(
    name="intents",
    summary=EXPERIMENTS["intents"].summary,
    problem=ClassificationProblem,
    taskset="intents",
    taskset_options={
        "test_domains": "wide",
        "train_languages": "latin",
        "min_sentences": 20,
    },
    more_ways=(20,),
    curve=(1, 2, 5, 10, 20, 50),
    curve_tasks={"quick": 3, "default": 50, "full": 100},
    entries=forms(20, (5, 20), frozen=True),
    **SHARED,
)
