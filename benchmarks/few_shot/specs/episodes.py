"""Protocol of Santoro et al.: an episode is one sequence, and labels arrive one step late."""

from __future__ import annotations

from typing import Any

from benchmarks.experiments import EXPERIMENTS
from benchmarks.few_shot.methods.episodes.episode_method import RunningClassMeans
from benchmarks.few_shot.methods.episodes.episode_reader import EpisodeReader
from benchmarks.few_shot.problems.episode_problem import EpisodeProblem
from benchmarks.few_shot.spec import Entry, EpisodeSpec, Training
from benchmarks.report import bars_and_training

# Networks that read episodes. An episode of 5 classes with 10 items each has 50 steps.
_MANN = {"cell": "mann", "slots": 128, "read_heads": 2, "slot_size": 40}
NETWORKS: dict[str, dict[str, Any]] = {
    "MANN": {**_MANN, "contents": "own", "heads_read_input": True},
    "MANN, writes its keys": _MANN,
    "NTM": {"cell": "ntm", "slots": 64, "slot_size": 40, "read_heads": 1},
    "memory network": {"cell": "memory network", "slots": 50, "hops": 2},
    "fast weights, Hebbian": {"cell": "hebbian"},
    "fast weights, delta rule": {"cell": "delta", "features": "unit"},
    "LSTM": {"cell": "lstm"},
}
_DROPOUT = 0.2  # dropout of features, which vary more in unseen classes than in training classes


def entries(
    encoder: dict[str, Any], pretraining: Training, training: Training, parameters: int
) -> tuple[Entry, ...]:
    """Return the methods.

    Args:
        encoder: options of the encoder.
        pretraining: settings of the encoder's training.
        training: settings of the readers' training.
        parameters: number of parameters of a reader.
    """
    shared = {"encoder": encoder, "pretraining": pretraining}
    read = {**shared, "parameters": parameters, "training": training}
    narrow = {**NETWORKS["MANN"], "dropout": _DROPOUT, "before": False}
    return (
        *(
            Entry(label, "baseline" if label == "LSTM" else "meta-learned", EpisodeReader, options)
            for label, network in NETWORKS.items()
            for options in [{**read, "network": {**network, "dropout": _DROPOUT}}]
        ),
        Entry(
            "MANN, without the previous item",
            "meta-learned",
            EpisodeReader,
            {**read, "network": narrow},
        ),
        Entry("running class means", "transfer", RunningClassMeans, shared),
    )


_READING = {"lr": 2e-3, "tasks": 32, "clip": 10.0}
_METRIC = {"lr": 2e-3, "tasks": 8, "ways": 10, "shots": (2,), "queries": 4, "clip": 10.0}
_QUICK = {"steps": 4, "minutes": 1.0, "validate_every": 4, "validation_tasks": 10}


def forms(encoder: dict[str, Any], metric: dict[str, Any]) -> dict[str, tuple[Entry, ...]]:
    """Return the methods of each form."""
    return {
        "quick": entries(
            encoder,
            Training(**{**metric, **_QUICK}),
            Training(**{**_READING, "tasks": 4}, **_QUICK),
            parameters=10_000,
        ),
        "default": entries(
            encoder,
            Training(**metric, steps=500, minutes=1.0, validate_every=250, validation_tasks=50),
            Training(**_READING, steps=500, minutes=1.0, validate_every=250, validation_tasks=50),
            parameters=100_000,
        ),
        "full": entries(
            encoder,
            Training(**metric, steps=3000, minutes=5.0, validate_every=300, validation_tasks=100),
            Training(**_READING, steps=2000, minutes=6.0, validate_every=500, validation_tasks=200),
            parameters=100_000,
        ),
    }


_SHARED: dict[str, Any] = {
    "problem": EpisodeProblem,
    "score": "accuracy",
    "percent": True,
    "lower_is_better": False,
    "picture": bars_and_training,
    "ways": 5,
    "shots": (1, 5),
    "queries": 5,
    "test_tasks": {"quick": 10, "default": 600, "full": 1000},
}

STROKES_BY_INSTANCE = EpisodeSpec(
    name="strokes",
    summary=EXPERIMENTS["strokes"].summary,
    taskset="strokes",
    maps=True,
    training_options={"samples": 60},
    entries=forms({"hidden_size": 512, "embedding_size": 64}, _METRIC),
    **_SHARED,
)

LANGUAGES_BY_INSTANCE = EpisodeSpec(
    name="languages_by_instance",
    summary=EXPERIMENTS["languages_by_instance"].summary,
    taskset="languages",
    entries=forms(
        {"embedding_size": 32, "hidden_size": 32, "bidirectional": True, "pooling": "max"},
        {**_METRIC, "lr": 6e-3, "ways": 20, "tasks": 1},
    ),
    **_SHARED,
)
