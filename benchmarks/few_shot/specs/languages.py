"""Few-shot language identification: classify names by language, from 1 or 5 examples of each."""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.methods.maml import ProtoMAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.scratch import FromScratch
from benchmarks.few_shot.methods.tfidf import NgramRegression
from benchmarks.few_shot.methods.transfer import FineTuned, LinearProbe, PretrainedPrior
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import ClassificationSpec, Entry, Training
from benchmarks.report import bars_and_training

MODEL = {"embedding_size": 64, "hidden_size": 64, "bidirectional": True, "pooling": "max"}


def entries(
    model: dict[str, Any],
    pretraining: Training,
    metric: Training,
    memory: Training,
    start: Training,
    inner_steps: int,
    members: int,
    adam_steps: tuple[int, int],
) -> tuple[Entry, ...]:
    """Return the methods.

    Args:
        model: options of the encoder.
        pretraining: training settings of the pre-trained encoder.
        metric: training settings of the ProtoNets.
        memory: training settings of the memory learner.
        start: training settings of ProtoMAML.
        inner_steps: gradient steps of ProtoMAML.
        members: encoders per ensemble.
        adam_steps: Adam steps on a support set, from scratch and for fine-tuning.
    """
    ensemble = f"{members} x " if members > 1 else ""
    prototypes = {"model": model, "training": metric, "class_weight": 1.0}
    transfer = {"model": model, "pretraining": {"training": pretraining, "batch_size": 200}}
    return (
        Entry(
            "TF-IDF n-grams, logistic regression",
            "baseline",
            NgramRegression,
            {"longest": 3, "lowercase": False, "regularization": 1.0},
        ),
        Entry(
            "LSTM from scratch",
            "baseline",
            FromScratch,
            {"model": model, "steps": adam_steps[0], "lr": 1e-2},
        ),
        Entry("LSTM pre-trained, linear probe", "transfer", LinearProbe, transfer),
        Entry(
            "LSTM pre-trained, fine-tuned",
            "transfer",
            FineTuned,
            {"steps": adam_steps[1], "lr": 2e-3, **transfer},
        ),
        Entry(
            f"{ensemble}LSTM pre-trained, Gaussian prior",
            "transfer",
            PretrainedPrior,
            {"shrinkage": 0.6, "members": members, **transfer},
        ),
        Entry("LSTM ProtoNet", "meta-learned", ProtoNetMethod, prototypes),
        Entry(
            f"{ensemble}LSTM ProtoNet, Gaussian prior",
            "meta-learned",
            ProtoNetMethod,
            {**prototypes, "members": members, "shrinkage": 0.6},
        ),
        Entry(
            "LSTM memory learner",
            "meta-learned",
            MemoryMethod,
            {
                "model": model,
                "memory": "hebbian",
                "memory_options": {"decay": 1.0, "lr": 1.0},
                "unit_keys": True,
                "writes": 3,
                "test_writes": 15,
                "training": memory,
                "class_weight": 1.0,
            },
        ),
        Entry(
            "LSTM ProtoMAML, second order",
            "meta-learned",
            ProtoMAMLMethod,
            {
                "model": model,
                "training": start,
                "inner_lr": 0.5,
                "inner_steps": inner_steps,
                "test_steps": inner_steps,
                "metric": prototypes,
            },
        ),
    )


_QUICK = {"minutes": 1.0, "steps": 10, "validate_every": 10, "validation_tasks": 10}
_PRETRAINING = {"lr": 3e-3}
_METRIC = {"lr": 6e-3, "ways": 20}
_START = {"lr": 1e-3, "ways": 20}

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
    shots=(1, 5),
    queries=10,
    test_tasks={"quick": 20, "default": 600, "full": 600},
    entries={
        "quick": entries(
            {**MODEL, "embedding_size": 16, "hidden_size": 16},
            Training(**_PRETRAINING, **_QUICK),
            Training(**_METRIC, **_QUICK),
            Training(**_METRIC, **_QUICK),
            Training(**_START, **_QUICK),
            inner_steps=1,
            members=1,
            adam_steps=(2, 2),
        ),
        "default": entries(
            MODEL,
            Training(
                **_PRETRAINING, steps=700, minutes=0.6, validate_every=175, validation_tasks=50
            ),
            Training(**_METRIC, steps=1200, minutes=1.3, validate_every=200),
            Training(**_METRIC, steps=700, minutes=0.7, validate_every=175),
            Training(**_START, steps=200, minutes=0.8, validate_every=50, validation_tasks=50),
            inner_steps=2,
            members=1,
            adam_steps=(5, 5),
        ),
        "full": entries(
            {**MODEL, "hidden_size": 128},
            Training(**_PRETRAINING, steps=1500, minutes=6.0, validate_every=150),
            Training(**_METRIC, steps=1500, minutes=6.0, validate_every=150),
            Training(**_METRIC, steps=1500, minutes=6.0, validate_every=150),
            Training(**_START, steps=600, minutes=8.0, validate_every=150),
            inner_steps=2,
            members=3,
            adam_steps=(5, 10),
        ),
    },
)
