"""Settings of `l2l-rnn fit` that contradict each other, found before anything slow happens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

from l2l_rnn.cli.catalog import catalog
from l2l_rnn.cli.fitting.learners import LEARNERS
from l2l_rnn.cli.fitting.settings import (
    DataSettings,
    EncoderSettings,
    FolderSettings,
    LearnerSettings,
    TrainingSettings,
)
from l2l_rnn.cli.usage import refuse
from l2l_rnn.registry import hint

_COUNTS = (
    *("ways", "train_ways", "shots", "queries", "steps", "tasks", "validate_every"),
    *("validation_tasks", "patience", "test_tasks", "hidden_size", "embedding_size"),
    *("num_layers", "inner_steps", "max_length", "adaptation_steps"),
    *("batch", "length", "explain"),
)
_SECTIONS = {
    "taskset": "tasksets",
    "learner": "learners",
    "memory": "memories",
    "cell": "cells",
    "pooling": "poolings",
}
_POSITIVE = ("lr", "clip", "minutes", "inner_lr")
_OF_OWN_DATA = ("text", "label", "groups", "tokenizer", "max_length", "splits")
_OF_OWN_DATA_TOO = ("drop_small", "drop_empty")


def check_settings(
    data: DataSettings,
    learner: LearnerSettings,
    encoder: EncoderSettings,
    training: TrainingSettings,
    folder: FolderSettings,
) -> None:
    """Check that settings are in range and fit together.

    Raises:
        UsageError: they do not; the message names all problems.

    Example:
        >>> settings = DataSettings(), LearnerSettings(inner_lr=0.1), EncoderSettings()
        >>> check_settings(*settings, TrainingSettings(shots=0), FolderSettings())
        Traceback (most recent call last):
        ...
        l2l_rnn.cli.usage.UsageError: 4 problems:
          --out is missing: name the folder of the model
          no tasks: set --taskset, or --data with --text and --label
          --inner_lr is only for learners with gradient steps, and protonet has none
          --shots must be a positive integer, got 0
    """
    problems = [*_missing(folder), *check_data(data), *_of_learner(learner)]
    problems += unknown_names(
        taskset=data.taskset,
        learner=learner.learner,
        memory=learner.memory,
        cell=encoder.cell,
        pooling=encoder.pooling,
    )
    for settings in (data, learner, encoder, training):
        problems += out_of_range(settings)
    refuse(problems)


def _missing(folder: FolderSettings) -> Iterator[str]:
    if folder.out is None:
        yield "--out is missing: name the folder of the model"


def check_data(data: DataSettings) -> Iterator[str]:
    """Yield what is missing or contradictory in the settings of the tasks."""
    if data.taskset is None and data.data is None:
        yield "no tasks: set --taskset, or --data with --text and --label"
    if data.taskset is not None and data.data is not None:
        yield "--taskset and --data contradict each other: set one of them"
    if data.data is not None:
        if data.text is None:
            yield "--data needs --text, the column of the texts"
        if data.label is None:
            yield "--data needs --label, the column of the classes"
        if data.taskset_options:
            yield "--taskset_options is only for --taskset"
        if data.splits is not None and len(data.splits) != 3:
            yield f"--splits must be three shares, got {len(data.splits)}"
        return
    for name in (*_OF_OWN_DATA, *_OF_OWN_DATA_TOO):
        if getattr(data, name) not in (None, False):
            yield f"--{name} is only for --data"


def _of_learner(settings: LearnerSettings) -> Iterator[str]:
    kind = LEARNERS.get(settings.learner)
    options = settings.learner_options or {}
    for name in ("lr", "first_order", "steps", "model"):
        flag = {"lr": "inner_lr", "steps": "inner_steps"}.get(name, name)
        if name in options and not (name == "lr" and settings.learner == "memory"):
            yield f"--learner_options.{name} is not an option: " + (
                "the encoder settings make the model" if name == "model" else f"set --{flag}"
            )
    if kind is None:
        return
    name = settings.learner
    if settings.memory is not None and name != "memory":
        yield f"--memory is only for the learner memory, not {name}"
    if settings.inner_lr is not None and kind.inner_lr is None:
        yield f"--inner_lr is only for learners with gradient steps, and {name} has none"
    if settings.inner_steps is not None and kind.steps is None:
        yield f"--inner_steps is only for learners with steps, and {name} has none"
    if settings.first_order and (kind.steps is None or name == "reptile"):
        why = "always is" if name == "reptile" else "has no gradient steps"
        yield f"--first_order is only for learners of second order, and {name} {why}"


def unknown_names(**values: str | None) -> Iterator[str]:
    """Yield a problem for each flag whose name is not in its section of the catalog."""
    for flag, value in values.items():
        known = catalog()[_SECTIONS[flag]]
        if value is not None and value not in known:
            yield f"unknown --{flag} {value!r}{hint(value, known)} Known: {', '.join(known)}"


def out_of_range(settings: object) -> Iterator[str]:
    """Yield a problem for each number that is out of range."""
    values = dataclasses.asdict(settings)  # type: ignore[call-overload]
    for name, value in values.items():
        counts = value if isinstance(value, list) else [value]
        if name in _COUNTS and any(count is not None and count < 1 for count in counts):
            yield f"--{name} must be a positive integer, got {value}"
        if name in _POSITIVE and value is not None and not (value > 0 and math.isfinite(value)):
            yield f"--{name} must be a positive number, got {value}"
        if name == "dropout" and not 0 <= value < 1:
            yield f"--dropout must be a number from 0 to below 1, got {value}"
        if name == "seed" and not 0 <= value < 2**32:
            yield f"--seed must be from 0 to {2**32 - 1}, got {value}"
