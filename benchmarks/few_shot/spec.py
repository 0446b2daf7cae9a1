"""What an experiment is made of: plain values, so that a result can say exactly what made it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from l2l_rnn.tasksets import TaskFamily


@dataclass(frozen=True)
class Training:
    """How long and on what batches a network is trained.

    Tasks of families say themselves how many shots and queries they have, and of how many ways.

    Attributes:
        steps: updates of the parameters; the learning rate falls along a half cosine to their end.
        minutes: training ends then, though steps are left; a slow machine must end too.
        lr: Adam's highest step size.
        tasks: tasks in a meta-batch, `N`.
        ways: classes of a training task.
        shots: support examples of each class; a tuple is gone through in turn.
        queries: query examples of each class.
        clip: largest norm of the gradient.
        validate_every: steps between two looks at the validation tasks, which choose the best.
        validation_tasks: how many of those.
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
    """One line of an experiment: a method and its options.

    Attributes:
        label: its name in the table.
        group: `"meta-learned"`, `"transfer"` or `"baseline"`.
        method: makes the method, from the problem, the label and the options.
        options: keyword arguments of the method.
    """

    label: str
    group: str
    method: Callable[..., Any]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Spec:
    """An experiment: tasks, what is asked of them, and who competes.

    Attributes:
        name: how it is called on the command line.
        summary: one line for `python -m benchmarks list`.
        problem: opens it, from the spec, the seed, the device and the number of test tasks.
        score: what a method is judged by; `"accuracy"`, of which more is better, or an error.
        percent: whether scores are shares, shown as percentages.
        test_tasks: how many meta-test tasks each method is judged on, by form.
        entries: who competes, by form: `"quick"` (a smoke run), `"default"`, `"full"`.
        picture: draws a result into a file.
    """

    name: str
    summary: str
    problem: Callable[..., Any]
    score: str
    percent: bool
    test_tasks: dict[str, int]
    entries: dict[str, tuple[Entry, ...]]
    picture: Callable[..., None]


@dataclass(frozen=True)
class ClassificationSpec(Spec):
    """Few-shot classification of classes never seen in training.

    Attributes:
        taskset: name of the task set in `l2l_rnn.tasksets`.
        ways: classes of a test task.
        shots: support examples of each class; one column of the table each.
        queries: query examples of each class of a test task.
        taskset_options: the task set's options.
    """

    taskset: str
    ways: int
    shots: tuple[int, ...]
    queries: int
    taskset_options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InstanceSpec(ClassificationSpec):
    """Episodes in Santoro's order: items one after another, each with the label of the one before.

    A row of items is all there is of a task: the score is by how often a class has been shown. The
    shots and queries are those of the tasks that the encoder is trained on.

    Attributes:
        times: how often each class is shown in an episode.
        instances: which times are columns of the table; 1 is the first.
        training_options: further options of the meta-train classes' task set.
        maps: whether items are drawings, of which the encoder reads maps rather than steps.
    """

    times: int = 10
    instances: tuple[int, ...] = (1, 2, 5, 10)
    training_options: dict[str, Any] = field(default_factory=dict)
    maps: bool = False


@dataclass(frozen=True)
class Column:
    """One column of a table: tasks of a family.

    Attributes:
        family: makes the family, from `"train"`, `"validation"` or `"test"`.
        shots: support examples of a task, of each class where there are classes.
        queries: query examples, counted likewise.
    """

    family: Callable[[str], TaskFamily]
    shots: int
    queries: int


@dataclass(frozen=True)
class Kind:
    """Tasks of one kind: those to be judged on, and the ones to train on.

    Attributes:
        columns: what each column of the table asks, by its name.
        lesson: the tasks of a training step, from how much of the training is over, 0 to 1, and
            a source of chance.
    """

    columns: dict[str, Column]
    lesson: Callable[[float, random.Random], Column]


@dataclass(frozen=True)
class FamilySpec(Spec):
    """Tasks drawn from families, each with an exact answer.

    Attributes:
        kinds: the kinds of tasks, by name; an entry says which it is about.
    """

    kinds: dict[str, Kind]
