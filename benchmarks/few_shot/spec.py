"""Specification of an experiment as plain values, so that a result can record what made it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.few_shot.columns import Column
from l2l_rnn.tasksets import TaskFamily


@dataclass(frozen=True)
class Training:
    """How long and on what batches a network is trained.

    `ways`, `shots` and `queries` are those of classification tasks. Families set their own.

    Attributes:
        steps: updates of the parameters; the learning rate follows a half cosine down to 0.
        minutes: time limit, after which training stops even if steps are left.
        lr: Adam's highest learning rate.
        tasks: tasks in a meta-batch, `N`.
        ways: classes of a training task.
        shots: support examples of each class; steps cycle through the tuple.
        queries: query examples of each class.
        clip: largest norm of the gradient.
        validate_every: steps between validations; the best parameters are kept.
        validation_tasks: number of validation tasks.
    """

    steps: int
    minutes: float
    lr: float = 3e-3
    tasks: int = 1
    ways: int = 5
    shots: tuple[int, ...] = (1, 5)
    queries: int = 5
    clip: float = 1.0
    validate_every: int = 200
    validation_tasks: int = 100


@dataclass(frozen=True)
class Entry:
    """One row of an experiment: a method and its options.

    Attributes:
        name: the method's name in tables and legends.
        group: `"meta-learned"`, `"transfer"` or `"baseline"`.
        method: makes the method, from the problem, the label and the options.
        options: keyword arguments of the method.
        variant: which tasks and which network, where an experiment has several, such as
            `{"tasks": "recall", "cell": "GRU"}`; the tasks come first. Entries of one variant
            compete with each other.
    """

    name: str
    group: str
    method: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)
    variant: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The name, preceded by the variant; unique in an experiment."""
        return ": ".join([*[", ".join(self.variant.values())] * bool(self.variant), self.name])


@dataclass(frozen=True)
class Spec:
    """An experiment: tasks, how methods are evaluated on them, and the methods.

    Attributes:
        name: its name on the command line.
        summary: one line for `python -m benchmarks list`.
        problem: opens the tasks, from the spec, the seed, the device and the number of test tasks.
        score: what is measured, such as `"accuracy"`.
        percent: whether scores are shares, shown as percentages.
        lower_is_better: whether scores are errors.
        test_tasks: number of test tasks for each method, by form.
        entries: methods by form: `"quick"` (a smoke run), `"default"`, `"full"`.
        picture: draws a result into a file.
    """

    name: str
    summary: str
    problem: Callable[..., Any]
    score: str
    percent: bool
    lower_is_better: bool
    test_tasks: dict[str, int]
    entries: dict[str, tuple[Entry, ...]]
    picture: Callable[..., None]


@dataclass(frozen=True)
class ClassificationSpec(Spec):
    """Few-shot classification of classes never seen in training.

    Attributes:
        taskset: name of the task set in `l2l_rnn.tasksets`.
        ways: classes of a test task.
        shots: support examples of each class, one column of the table each.
        queries: query examples of each class of a test task.
        taskset_options: the task set's options.
    """

    taskset: str
    ways: int
    shots: tuple[int, ...]
    queries: int
    taskset_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EpisodeSpec(ClassificationSpec):
    """Episodes in Santoro's order: one item after another, each with the previous item's label.

    An episode has no support and query sets. Scores are by how often an item's class has appeared.
    `shots` and `queries` are those of the tasks that the encoder is trained on.

    Attributes:
        times: how often each class appears in an episode.
        instances: which appearances are columns of the table; 1 is the first.
        training_options: further options of the task set, for the training split only.
        maps: whether items are drawings, which the encoder reads as maps instead of steps.
    """

    times: int = 10
    instances: tuple[int, ...] = (1, 2, 5, 10)
    training_options: dict[str, Any] = field(default_factory=dict)
    maps: bool = False


@dataclass(frozen=True)
class FamilyTasks:
    """Tasks of a family, and how many examples each has.

    Attributes:
        family: makes the family of a split: `"train"`, `"validation"` or `"test"`.
        shots: support examples of a task, of each class where there are classes.
        queries: query examples, counted likewise.
    """

    family: Callable[[str], TaskFamily]
    shots: int
    queries: int


@dataclass(frozen=True)
class Kind:
    """One kind of tasks: those to evaluate on, and those to train on.

    Attributes:
        tasks: the evaluation tasks of a column.
        curriculum: the tasks of a training step, from the training progress (0 to 1) and a
            random number generator.
    """

    tasks: Callable[[Any], FamilyTasks]
    curriculum: Callable[[float, random.Random], FamilyTasks]


@dataclass(frozen=True)
class FamilySpec(Spec):
    """Tasks drawn from families, whose targets are known exactly.

    Attributes:
        columns: the columns of the table, the same for every kind.
        kinds: the kinds of tasks, by name; the options of an entry name the one it is about.
    """

    columns: tuple[Column, ...]
    kinds: dict[str, Kind]
