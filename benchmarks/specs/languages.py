"""Few-shot language identification: whose language is this name in, told from 1 or 5 examples?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.methods.maml import MetaLearnedStart
from benchmarks.methods.protonet import MetaLearnedMetric
from benchmarks.methods.scratch import FromScratch
from benchmarks.methods.tfidf import NgramRegression
from benchmarks.methods.transfer import FineTuned, LinearProbe
from benchmarks.spec import Entry, Spec, Training

MODEL = {"embedding_size": 64, "hidden_size": 64, "bidirectional": True, "pooling": "max"}


def entries(
    model: dict[str, Any],
    pretraining: Training,
    metric: Training,
    start: Training,
    adam_steps: int,
) -> tuple[Entry, ...]:
    """Who competes, with the training that a form of the run has time for."""
    transfer = {"model": model, "pretraining": {"training": pretraining, "batch_size": 200}}
    return (
        Entry(
            "TF-IDF n-grams, logistic regression",
            "baseline",
            NgramRegression,
            {"longest": 3, "lowercase": False, "regularisation": 1.0},
        ),
        Entry(
            "LSTM from scratch",
            "baseline",
            FromScratch,
            {"model": model, "steps": adam_steps, "lr": 1e-2},
        ),
        Entry("LSTM pre-trained, linear probe", "transfer", LinearProbe, transfer),
        Entry(
            "LSTM pre-trained, fine-tuned",
            "transfer",
            FineTuned,
            {"steps": 5, "lr": 1e-3, **transfer},
        ),
        Entry(
            "LSTM ProtoNet", "meta-learned", MetaLearnedMetric, {"model": model, "training": metric}
        ),
        Entry(
            "LSTM MAML, second order",
            "meta-learned",
            MetaLearnedStart,
            {
                "model": model,
                "training": start,
                "inner_lr": 0.5,
                "inner_steps": 1,
                "test_steps": 3,
                "start": transfer["pretraining"],
            },
        ),
    )


_PRETRAINING = Training(steps=600, minutes=1.0, validate_every=200)
_METRIC = Training(steps=700, minutes=1.2, ways=20, shots=(5,), queries=5, validate_every=100)
_START = Training(steps=300, minutes=1.2, lr=1e-3, tasks=8, ways=5, queries=5, validate_every=100)


def _scaled(training: Training, factor: float, **changes: Any) -> Training:
    return replace(
        training,
        steps=max(2, round(training.steps * factor)),
        minutes=training.minutes * factor,
        **changes,
    )


LANGUAGES = Spec(
    name="languages",
    summary="tell unseen languages apart from 1 or 5 names each, split by language family",
    taskset="languages",
    ways=5,
    shots=(1, 5),
    queries=10,
    test_tasks={"quick": 20, "default": 600, "full": 1000},
    entries={
        "quick": entries(
            {**MODEL, "embedding_size": 16, "hidden_size": 16},
            _scaled(_PRETRAINING, 0.02, validate_every=10, validation_tasks=10),
            _scaled(_METRIC, 0.02, validate_every=10, validation_tasks=10),
            _scaled(_START, 0.02, validate_every=10, validation_tasks=10),
            adam_steps=2,
        ),
        "default": entries(MODEL, _PRETRAINING, _METRIC, _START, adam_steps=20),
        "full": entries(
            MODEL,
            _scaled(_PRETRAINING, 8),
            _scaled(_METRIC, 8),
            _scaled(_START, 10),
            adam_steps=30,
        ),
    },
)
