"""Personalization: the same classes in every task, and a person is a task."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.problems.grouped_problem import rows_of
from benchmarks.few_shot.problems.problem import generator_of
from benchmarks.few_shot.problems.series_problem import SeriesProblem
from benchmarks.few_shot.shared_trainings import FoldTrainings
from benchmarks.few_shot.spec import SeriesSpec, Training
from l2l_rnn.data import GroupedDataset, SequenceDataset, TaskBatch, channel_moments
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import SeriesInputs


class PersonItems(SequenceDataset):
    """Windows of persons, labeled by their class alone.

    Args:
        grouped: the dataset, with classes and persons as groups.

    Attributes:
        grouped: as given.
    """

    def __init__(self, grouped: Any) -> None:
        super().__init__(grouped.inputs, grouped.targets, grouped.classes)
        self.grouped = grouped


class PersonTrainingTasks:
    """Endless batches of training tasks that have all classes, each with its own number.

    Args:
        problem: the problem.
        training: tasks per batch, and their shots and queries.
        seed: random seed of the tasks.
    """

    def __init__(self, problem: PersonsProblem, training: Training, seed: int) -> None:
        self.problem, self.training = problem, training
        self.generator = generator_of(seed, "persons")

    def batch(self, step: int, progress: float) -> tuple[TaskBatch, TaskBatch]:
        """Draw the batch of a training step, as `ClassificationTrainingTasks.batch`."""
        settings = self.training
        data: GroupedDataset = self.problem.train.grouped  # type: ignore[attr-defined]
        shots = settings.shots[step % len(settings.shots)]
        drawn = data.draw(settings.tasks, shots, settings.queries, self.generator)
        drawn = drawn.to(self.problem.device)
        return drawn, drawn


class PersonsProblem(SeriesProblem):
    """Tasks of one person each; all of them have all classes, which keep their numbers.

    Its `folds` are the problems of a cross-validation over persons: each tests on other persons.

    Args:
        spec, seed, device, test_tasks: as in `ClassificationProblem`. The number of test tasks is
            that of all folds together.
    """

    centered_priors = False

    def __init__(self, spec: SeriesSpec, seed: int, device: torch.device, test_tasks: int) -> None:
        super().__init__(spec, seed, device, test_tasks)
        self._folds: dict[int, PersonsProblem] = {}

    def fold(self, number: int, tasks: int) -> PersonsProblem:
        """Return the problem that tests on the persons of a fold, with this many test tasks."""
        if number not in self._folds:
            options = {**self.spec.taskset_options, "fold": number}
            spec = replace(self.spec, taskset_options=options)
            made = type(self)(spec, self.seed, self.device, tasks)
            made.shared = FoldTrainings(self, number)  # type: ignore[assignment]
            self._folds[number] = made
        return self._folds[number]

    def dataset(self, source: Any) -> PersonItems:
        return PersonItems(source)

    @property
    def grouped(self) -> bool:
        return True

    def description(self) -> dict[str, Any]:
        return {**super().description(), "intervals": "over persons, each tested in one fold"}

    @property
    def channels(self) -> int:
        return int(self.train.sequences.shape[-1])

    @property
    def inputs(self) -> SeriesInputs:
        options = {**self.spec.taskset_options, "standardize": False}
        train = get_tasksets(self.spec.taskset, **options).train
        return SeriesInputs(self.channels, *channel_moments(train.source.inputs))

    @property
    def calibration_source(self) -> GroupedDataset:
        grouped: GroupedDataset = self.validation.grouped  # type: ignore[attr-defined]
        return grouped

    def training_tasks(self, training: Training, seed: int) -> PersonTrainingTasks:
        return PersonTrainingTasks(self, training, seed)

    def draw_evaluation_tasks(
        self, split: str, dataset: SequenceDataset, column: Shots, tasks: int
    ) -> TaskBatch:
        generator = generator_of(self.seed, split, column.drawn)
        data: GroupedDataset = dataset.grouped  # type: ignore[attr-defined]
        ways, shots = self.spec.ways, column.drawn
        persons = torch.arange(tasks) % len(data.group_names)  # one after another
        cells = persons.unsqueeze(-1) * ways + torch.arange(ways)
        items = data.grouping.draw(cells, shots + self.spec.queries, generator)
        labels = torch.arange(ways).unsqueeze(-1).expand(items.shape)
        support, query = (part.flatten(1, 2) for part in items.tensor_split([shots], -1))
        ys, yq = (part.flatten(1, 2) for part in labels.tensor_split([shots], -1))
        return TaskBatch(rows_of(support), ys, rows_of(query), yq)


def persons_of(problem: PersonsProblem, support: Tensor) -> Tensor:
    """Return the person of each test task, from its support items `(N, B, 1)` -> `(N,)`."""
    groups: Tensor = problem.test.grouped.groups  # type: ignore[attr-defined]
    return groups[support[:, 0, 0]]
