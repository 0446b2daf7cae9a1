"""Few-shot documents: classify newsgroup posts by unseen topics, in the split of Bao et al."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.methods.baselines.published import PublishedScores
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import ClassificationSpec, Entry, Training
from benchmarks.few_shot.specs.rows import DOCUMENTS, QUICK_STACKED, Rows, entries
from benchmarks.report import bars_and_training

MODEL = {"embedding_size": 64, "hidden_size": 64, "bidirectional": True, "pooling": "max"}
_QUICK = {"minutes": 1.0, "steps": 2, "validate_every": 2, "validation_tasks": 2}
_PRETRAINING = {"lr": 3e-3}
_METRIC = {"lr": 3e-3, "ways": 5}
_START = {"lr": 1e-3, "ways": 5}
_INNER = {"lr": 2e-3, "ways": 5}
_SIGNATURES = Training(
    lr=3e-3,
    ways=5,
    tasks=2,
    queries=10,
    steps=600,
    minutes=5.0,
    validate_every=300,
    validation_tasks=50,
)
# An LSTM over the words of 8 training classes stays near chance, and these take longest.
WITHOUT = ("LSTM memory learner", "LSTM ProtoMAML, second order")
_BAO = "Y. Bao et al., 2020, Few-shot Text Classification with Distributional Signatures"

PUBLISHED = (
    Entry(
        "Bao et al., distributional signatures",
        "published",
        PublishedScores,
        {"scores": {"1 shot": 0.521, "5 shots": 0.683}, "source": _BAO},
    ),
)

NEWSGROUPS = ClassificationSpec(
    name="newsgroups",
    summary=EXPERIMENTS["newsgroups"].summary,
    problem=ClassificationProblem,
    score="accuracy",
    percent=True,
    lower_is_better=False,
    picture=bars_and_training,
    taskset="newsgroups",
    taskset_options={"words": "all", "min_count": 5},
    ways=5,
    shots=(1, 5),
    queries=25,
    curve=(1, 2, 5, 10, 20, 50),
    test_tasks={"quick": 4, "default": 200, "full": 600},
    curve_tasks={"quick": 2, "default": 30, "full": 60},
    entries={
        "quick": (
            *PUBLISHED,
            *entries(
                Rows(
                    {**MODEL, "embedding_size": 8, "hidden_size": 8},
                    Training(**_PRETRAINING, **_QUICK),
                    Training(**_METRIC, **_QUICK),
                    Training(**_METRIC, **_QUICK),
                    Training(**_START, **_QUICK),
                    Training(**_INNER, **_QUICK),
                    learners=("R2D2",),
                    ngrams=DOCUMENTS,
                    inner_steps=1,
                    frozen=True,
                    without=WITHOUT,
                    signatures=Training(**_METRIC, **_QUICK, queries=2),
                    stacked=QUICK_STACKED,
                    frozen_stacked=QUICK_STACKED,
                    adam_steps=(1, 1),
                )
            ),
        ),
        "default": (
            *PUBLISHED,
            *entries(
                Rows(
                    {**MODEL, "hidden_size": 32},
                    Training(
                        **_PRETRAINING,
                        steps=150,
                        minutes=0.7,
                        validate_every=50,
                        validation_tasks=20,
                    ),
                    Training(
                        **_METRIC, steps=300, minutes=0.8, validate_every=100, validation_tasks=20
                    ),
                    Training(
                        **_METRIC, steps=200, minutes=0.7, validate_every=100, validation_tasks=20
                    ),
                    Training(
                        **_START, steps=50, minutes=0.7, validate_every=25, validation_tasks=20
                    ),
                    Training(
                        **_INNER, steps=50, minutes=0.7, validate_every=25, validation_tasks=20
                    ),
                    learners=("R2D2",),
                    slow_tasks=30,
                    ngrams=DOCUMENTS,
                    frozen=True,
                    without=WITHOUT,
                    signatures=replace(_SIGNATURES, steps=150, minutes=1.0, validate_every=75),
                    adam_steps=(2, 2),
                )
            ),
        ),
        "full": (
            *PUBLISHED,
            *entries(
                Rows(
                    {**MODEL, "hidden_size": 64},
                    Training(
                        **_PRETRAINING,
                        steps=150,
                        minutes=1.5,
                        validate_every=75,
                        validation_tasks=50,
                    ),
                    Training(
                        **_METRIC, steps=200, minutes=1.5, validate_every=100, validation_tasks=50
                    ),
                    Training(
                        **_METRIC, steps=150, minutes=1.5, validate_every=75, validation_tasks=50
                    ),
                    Training(
                        **_START, steps=50, minutes=1.5, validate_every=25, validation_tasks=30
                    ),
                    Training(
                        **_INNER, steps=50, minutes=1.5, validate_every=25, validation_tasks=30
                    ),
                    learners=("R2D2",),
                    ngrams=DOCUMENTS,
                    slow_tasks=30,
                    adam_steps=(3, 3),
                    frozen=True,
                    without=WITHOUT,
                    signatures=_SIGNATURES,
                )
            ),
        ),
    },
)
