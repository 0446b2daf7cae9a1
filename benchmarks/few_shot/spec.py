"""Specification of an experiment as plain values, which are recorded in its result."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.few_shot.columns import Column, Forecast, Measure, Pairs
from l2l_rnn.tasksets import TaskFamily


@dataclass(frozen=True)
class Training:
    """Training settings of a network.

    `ways`, `shots` and `queries` are for classification tasks. Task families define their own.

    Attributes:
        steps: parameter updates; the learning rate decays to 0 along half a cosine.
        minutes: time limit, after which training stops.
        lr: Adam's initial learning rate.
        tasks: tasks per meta-batch, `N`.
        ways: classes per training task; steps cycle through a tuple.
        shots: support examples per class; steps cycle through the tuple.
        queries: query examples per class.
        clip: maximum norm of the gradient.
        validate_every: steps between validations; the best parameters are kept.
        validation_tasks: number of validation tasks.
    """

    steps: int
    minutes: float
    lr: float = 3e-3
    tasks: int = 1
    ways: int | tuple[int, ...] = 5
    shots: tuple[int, ...] = (1, 5)
    queries: int = 5
    clip: float = 1.0
    validate_every: int = 200
    validation_tasks: int = 100

    @property
    def most_ways(self) -> int:
        """The largest number of classes of a training task."""
        return self.ways if isinstance(self.ways, int) else max(self.ways)

    def sizes(self, step: int) -> tuple[int, int]:
        """Return the ways and the shots of a step; every pair occurs."""
        rounds, number = divmod(step, len(self.shots))
        ways = (self.ways,) if isinstance(self.ways, int) else self.ways
        return ways[rounds % len(ways)], self.shots[number]


@dataclass(frozen=True)
class Entry:
    """One row of an experiment: a method and its options.

    Attributes:
        name: the method's name in tables and legends.
        group: `"meta-learned"`, `"transfer"` or `"baseline"`. Two more are shown, never compared:
            `"published"` for the scores of a paper, see `PublishedScores`, and `"optimum"` for
            methods that are told how the tasks are drawn.
        method: class of the method, made from the problem, the label and the options.
        options: keyword arguments of the method.
        variant: tasks and network, if an experiment has several, such as
            `{"tasks": "recall", "cell": "GRU"}`, with the tasks first. Only entries of the same
            variant are compared.
        tasks: most test tasks of a slow method, the first ones of the others' tasks; None uses all.
            Its paired differences are over the tasks that both methods have.
        curve: whether the method is part of the curve of the score against shots.
    """

    name: str
    group: str
    method: Any
    options: dict[str, Any] = field(default_factory=dict)
    variant: dict[str, str] = field(default_factory=dict)
    tasks: int | None = None
    curve: bool = True

    @property
    def label(self) -> str:
        """The variant and the name; unique in an experiment."""
        return ": ".join([*[", ".join(self.variant.values())] * bool(self.variant), self.name])

    @property
    def trainings(self) -> dict[str, Training]:
        """The trainings of the method, by key; methods share those with equal keys."""
        return self.method.trainings(self.options)


@dataclass(frozen=True)
class Spec:
    """An experiment: its tasks, its score and its methods.

    Attributes:
        name: name on the command line.
        summary: one-line description in `python -m benchmarks list`.
        problem: makes the problem from the spec, the seed, the device and the number of test tasks.
        score: name of the score, such as `"accuracy"`.
        percent: whether scores are fractions, shown as percentages.
        lower_is_better: whether scores are errors.
        test_tasks: number of test tasks, by form.
        entries: methods by form: `"quick"` (a smoke test), `"default"`, `"full"`.
        picture: draws a result to a file.
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
    """Few-shot classification of unseen classes.

    Attributes:
        taskset: name of the task set in `l2l_rnn.tasksets`.
        ways: classes per test task.
        shots: support examples per class, with a column of the table for each value.
        queries: query examples per class in a test task.
        taskset_options: options of the task set, except for its folder.
        more_ways: other numbers of classes per test task, with columns of their own. Methods are
            validated on tasks with `ways` classes.
        curve: support examples per class at the points of the curve, which has tasks with `ways`
            classes; empty for no curve.
        curve_tasks: number of test tasks of the curve, by form.
        root: folder of the task set's data, which a result does not record.
    """

    taskset: str
    ways: int
    shots: tuple[int, ...]
    queries: int
    taskset_options: dict[str, Any] = field(default_factory=dict)
    more_ways: tuple[int, ...] = ()
    curve: tuple[int, ...] = ()
    curve_tasks: dict[str, int] = field(default_factory=dict)
    root: str = "~/data"


@dataclass(frozen=True)
class SeriesSpec(ClassificationSpec):
    """Few-shot classification of time series.

    Attributes:
        drawn: share of the training tasks that are drawn by the task family `Shapelets`.
    """

    drawn: float = 0.0


@dataclass(frozen=True)
class EpisodeSpec(ClassificationSpec):
    """Episodes of Santoro et al.: one item after another, each with the previous item's label.

    An episode has no support and query sets. Accuracy is measured by instance: on the first, second
    and later items of each class. `shots` and `queries` are for the tasks that train the encoder.

    Attributes:
        times: items per class in an episode.
        instances: instances that are columns of the table; 1 is the first.
        training_options: additional options of the task set for the training split.
        maps: whether items are drawings that the encoder reads as maps instead of steps.
    """

    times: int = 10
    instances: tuple[int, ...] = (1, 2, 5, 10)
    training_options: dict[str, Any] = field(default_factory=dict)
    maps: bool = False


@dataclass(frozen=True)
class FamilyTasks:
    """Tasks of a family, and their number of examples.

    Attributes:
        family: makes the family of a split: `"train"`, `"validation"` or `"test"`.
        shots: support examples per class, or per task if there are no classes.
        queries: query examples per class, or per task if there are no classes.
    """

    family: Callable[[str], TaskFamily]
    shots: int
    queries: int


@dataclass(frozen=True)
class Kind:
    """One kind of tasks, for training and evaluation.

    Attributes:
        tasks: returns the evaluation tasks of a column.
        curriculum: returns the tasks of a training step, given the training progress (0 to 1) and a
            random number generator.
    """

    tasks: Callable[[Any], FamilyTasks]
    curriculum: Callable[[float, random.Random], FamilyTasks]


@dataclass(frozen=True)
class FamilySpec(Spec):
    """Tasks drawn from task families.

    Attributes:
        columns: the columns of the table, the same for every kind.
        kinds: the kinds of tasks, by name; the options of an entry name its kind.
    """

    columns: tuple[Column, ...]
    kinds: dict[str, Kind]


@dataclass(frozen=True)
class TranslationSpec(Spec):
    """Translation into unseen languages.

    Attributes:
        columns: the columns of the table.
        queries: query pairs per test task.
        taskset_options: options of the task set `translation`.
        invented: number of invented languages that training tasks may come from besides the
            training languages of the task set; only for numbers.
        copying: whether the models can copy characters of the source.
    """

    columns: tuple[Pairs, ...]
    queries: int
    taskset_options: dict[str, Any] = field(default_factory=dict)
    invented: int = 0
    copying: bool = False


@dataclass(frozen=True)
class ForecastingSpec(Spec):
    """Forecasting of unseen series.

    Attributes:
        columns: the columns of the table.
        context: input steps of a window.
        horizon: steps to forecast.
        history: steps of a drawn series before the forecast.
    """

    columns: tuple[Forecast, ...]
    context: int
    horizon: int
    history: int


@dataclass(frozen=True)
class RecommendationSpec(Spec):
    """Recommendation for unseen users.

    Attributes:
        columns: the columns of the table.
        queries: most ratings of a test task, those that follow the support set in time.
        validated: the measure on validation users that chooses parameters and settings.
        taskset_options: options of the task set `ratings`; with `from_file`, of the users that are
            drawn, written to a file and read again if there is no `root`.
        from_file: whether the ratings come from a file.
        root: a file in a format of MovieLens, for `from_file`.
    """

    columns: tuple[Measure, ...]
    queries: int
    validated: str
    taskset_options: dict[str, Any] = field(default_factory=dict)
    from_file: bool = False
    root: str | None = None

    @property
    def ranks(self) -> bool:
        """Whether methods rank items instead of predicting ratings."""
        return not self.lower_is_better
