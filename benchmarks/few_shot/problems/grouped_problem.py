"""Few-shot classification within unseen groups, such as the intents of an unseen language."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    ClassificationTrainingTasks,
)
from benchmarks.few_shot.problems.problem import generator_of, seed_of
from benchmarks.few_shot.spec import Training
from l2l_rnn.data import GroupedDataset, SequenceDataset, TaskBatch
from l2l_rnn.errors import ArgumentError


class PairedClasses(SequenceDataset):
    """Items of a grouped dataset, with a class for each group and class of the original.

    Args:
        grouped: the dataset, with classes.

    Attributes:
        grouped: as given.
        texts, vocabulary: those of the dataset; None for series.
    """

    def __init__(self, grouped: Any) -> None:
        kinds = len(grouped.classes)
        cells, labels = (grouped.groups * kinds + grouped.targets).unique(return_inverse=True)
        names = [
            f"{grouped.group_names[cell // kinds]}: {grouped.classes[cell % kinds]}"
            for cell in cells.tolist()
        ]
        super().__init__(grouped.inputs, labels, names)
        self.grouped = grouped
        self.texts = getattr(grouped, "texts", None)
        self.vocabulary = getattr(grouped, "vocabulary", None)


class GroupedTrainingTasks(ClassificationTrainingTasks):
    """Endless batches of tasks, each with classes of one training group in random order."""

    problem: GroupedProblem

    def __init__(self, problem: GroupedProblem, training: Training, seed: int) -> None:
        super().__init__(problem, training, seed)
        self.generator = Generator().manual_seed(seed_of(seed, "order"))

    def batch(self, step: int, progress: float) -> tuple[TaskBatch, TaskBatch]:
        settings, train = self.training, self.problem.train
        ways, shots = settings.sizes(step)
        drawn = self.draw(train.grouped, ways, shots, settings.queries)
        tasks = relabeled(drawn, ways, self.generator).to(self.problem.device)
        ys, yq = (
            train.labels[items].to(self.problem.device)
            for items in (drawn.support_indices, drawn.query_indices)
        )
        return tasks, TaskBatch(tasks.support_x, ys, tasks.query_x, yq)


class GroupedProblem(ClassificationProblem):
    """A task set whose tasks have classes of one group, such as the intents of one language.

    The training classes, for pre-training and for priors, are the pairs of a group and a class.

    Args:
        spec, seed, device, test_tasks: as in `ClassificationProblem`.
    """

    def dataset(self, source: Any) -> PairedClasses:
        if not isinstance(source, GroupedDataset) or not hasattr(source, "texts"):
            raise ArgumentError(
                f"GroupedProblem: the task set {self.spec.taskset!r} must have texts in groups, "
                f"got {type(source).__name__}; use one such as 'intents_languages'"
            )
        return PairedClasses(source)

    def description(self) -> dict[str, Any]:
        found = super().description()
        for split, sizes in found.items():
            sizes["groups"] = list(getattr(self, split).grouped.group_names)
        return found

    def training_tasks(self, training: Training, seed: int) -> GroupedTrainingTasks:
        return GroupedTrainingTasks(self, training, seed)

    def draw_evaluation_tasks(
        self, split: str, dataset: SequenceDataset, column: Shots, tasks: int
    ) -> TaskBatch:
        ways = column.ways or self.spec.ways
        generator = generator_of(self.seed, split, column.drawn, ways)
        grouped: GroupedDataset = dataset.grouped  # type: ignore[attr-defined]
        drawn = grouped.draw(tasks, column.drawn, self.spec.queries, generator, ways=ways)
        batch = relabeled(drawn, ways, generator)
        return TaskBatch(
            rows_of(drawn.support_indices),
            batch.support_y,
            rows_of(drawn.query_indices),
            batch.query_y,
        )


def relabeled(batch: TaskBatch, ways: int, generator: Generator) -> TaskBatch:
    """Return tasks with their classes numbered in random order.

    A grouped dataset numbers the classes of a task in the order of their names, which a learned
    head could use.
    """
    orders = torch.stack([torch.randperm(ways, generator=generator) for _ in range(len(batch))])
    support, query = (orders.gather(1, part) for part in (batch.support_y, batch.query_y))
    return TaskBatch(batch.support_x, support, batch.query_x, query)


def rows_of(items: Tensor | None) -> Tensor:
    """Return items `(N, B)` as sequences of one step, `(N, B, 1)`."""
    assert items is not None  # noqa: S101
    return items.unsqueeze(-1)
