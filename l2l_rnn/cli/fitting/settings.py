"""The settings of `l2l-rnn fit`: each field is a flag and a key of the YAML file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal


@dataclass(frozen=True)
class DataSettings:
    """Tasks: a task set, or your own texts.

    Args:
        taskset: name of a task set; see `l2l-rnn list tasksets`
        taskset_options: options of the task set, such as --taskset_options.scripts all
        data: csv, tsv, json, jsonl or parquet files of your texts, or a folder of them
        text: columns of the texts; several are joined by a space
        label: column of the classes
        groups: column of groups, such as authors, that no support and query set share
        tokenizer: how texts become token ids; characters by default
        max_length: longest text in tokens; 64 by default
        splits: shares of the classes for training, validation and test; 0.6 0.2 0.2 by default
        drop_small: leave out classes with too few texts for a task, instead of an error
        drop_empty: leave out rows without text or label, instead of an error
        root: folder of downloaded data
    """

    yaml: ClassVar[bool] = True
    taskset: str | None = None
    taskset_options: dict[str, Any] | None = None
    data: list[str] | str | None = None
    text: list[str] | str | None = None
    label: str | None = None
    groups: str | None = None
    tokenizer: Literal["characters", "words", "bytes"] | None = None
    max_length: int | None = None
    splits: list[float] | None = None
    drop_small: bool = False
    drop_empty: bool = False
    root: str = "~/data"


@dataclass(frozen=True)
class LearnerSettings:
    """Learner.

    Args:
        learner: how it adapts to a task; see `l2l-rnn list learners`
        memory: kind of memory of the learner memory, see `l2l-rnn list memories`
        inner_lr: learning rate of adaptation; 0.1 by default
        inner_steps: gradient steps of adaptation, or writes of the learner memory; 3 by default
        first_order: ignore second derivatives
        learner_options: arguments of the learner's class, such as --learner_options.momentum 0.9
    """

    learner: str = "protonet"
    memory: str | None = None
    inner_lr: float | None = None
    inner_steps: int | None = None
    first_order: bool = False
    learner_options: dict[str, Any] | None = None


@dataclass(frozen=True)
class EncoderSettings:
    """Encoder.

    Args:
        cell: recurrent layer; see `l2l-rnn list cells`
        hidden_size: hidden units of each direction
        embedding_size: features of a token; 64 by default; only for texts
        num_layers: recurrent layers
        bidirectional: read sequences in both directions
        pooling: last, mean, max or attention
        dropout: probability of dropping a value in training
    """

    cell: str = "lstm"
    hidden_size: int = 64
    embedding_size: int | None = None
    num_layers: int = 1
    bidirectional: bool = True
    pooling: str = "max"
    dropout: float = 0.0


@dataclass(frozen=True)
class TrainingSettings:
    """Training.

    Args:
        ways: classes of a validation or test task
        train_ways: classes of a training task; the same by default
        shots: labeled examples of each class
        queries: examples of each class to predict
        steps: training steps, each on a batch of tasks
        tasks: tasks of a batch
        lr: learning rate of Adam; it falls to 0 along half a cosine
        clip: largest norm of the gradient
        minutes: stop after this time, between two steps
        validate_every: steps between two validations; the best weights are kept
        validation_tasks: tasks of a validation
        patience: stop after this many validations without a better one
        test_tasks: tasks of the evaluation at the end
        seed: seed of weights and tasks
        device: cpu, gpu, cuda:N or mps
    """

    ways: int = 5
    train_ways: int | None = None
    shots: int = 5
    queries: int = 5
    steps: int = 1000
    tasks: int = 16
    lr: float = 3e-3
    clip: float = 1.0
    minutes: float | None = None
    validate_every: int = 100
    validation_tasks: int = 100
    patience: int | None = None
    test_tasks: int = 600
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class FolderSettings:
    """Folder.

    Args:
        out: folder of the model and its checkpoints
        resume: continue from the last good checkpoint in the folder
    """

    out: str | None = None
    resume: bool = False
