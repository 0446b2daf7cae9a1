"""Few-shot classification of the unseen classes of a task set."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from learn2learn.data import Taskset
from learn2learn.data.transforms import FusedNWaysKShots, LoadData, RemapLabels
from torch import Tensor, nn

from benchmarks.few_shot.columns import Column, Shots
from benchmarks.few_shot.problems.problem import Problem, TrainingTasks
from benchmarks.few_shot.spec import ClassificationSpec, Training
from l2l_rnn.data import SequenceDataset, TaskBatch, draw_tasks
from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import SeriesInputs, TextInputs


@dataclass(frozen=True)
class EvaluationTasks:
    """Fixed tasks that are the same for every method, with items given by index.

    Attributes:
        dataset: the dataset that contains the items.
        index: indices of the support and query items; `support_x` is `(N, B, 1)`.
    """

    dataset: SequenceDataset
    index: TaskBatch

    def __len__(self) -> int:
        return len(self.index)

    def batches(self, tasks: int, device: torch.device) -> list[TaskBatch]:
        """Return the tasks as sequences and labels, `tasks` at a time."""
        sequences = self.dataset.sequences
        return [
            TaskBatch(
                sequences[part.support_x[..., 0]],
                part.support_y,
                sequences[part.query_x[..., 0]],
                part.query_y,
            ).to(device)
            for part in self.index.chunks(tasks)
        ]

    def texts(self, items: Tensor) -> list[str]:
        """Return the raw strings of one task's items, `(B, 1)`."""
        return [self.dataset.texts[i] for i in items.flatten().tolist()]


class ClassificationTrainingTasks(TrainingTasks):
    """Endless batches of tasks of the training classes.

    Args:
        problem: the problem.
        training: tasks per batch, and their ways, shots and queries.
        seed: random seed of the tasks.
    """

    def __init__(self, problem: ClassificationProblem, training: Training, seed: int) -> None:
        super().__init__(training.tasks, seed, torch.device("cpu"))
        self.problem, self.training = problem, training

    def batch(self, step: int, progress: float) -> tuple[TaskBatch, TaskBatch]:
        """Draw the batch of a training step.

        Returns:
            The tasks, and the same sequences labeled by their class among all training classes
            instead of their class in the task.
        """
        settings, train, device = self.training, self.problem.train, self.problem.device
        shots = settings.shots[step % len(settings.shots)]
        drawn = self.draw(self.problem.items, settings.ways, shots, settings.queries)
        support, query = drawn.support_x[..., 0], drawn.query_x[..., 0]
        xs, xq = (train.sequences[items].to(device) for items in (support, query))
        tasks = TaskBatch(xs, drawn.support_y.to(device), xq, drawn.query_y.to(device))
        ys, yq = (train.labels[items].to(device) for items in (support, query))
        return tasks, TaskBatch(xs, ys, xq, yq)


class ClassificationProblem(Problem):
    """The task set of a spec.

    Args:
        spec: the experiment.
        seed: random seed of all tasks.
        device: device of the tensors.
        test_tasks: number of test tasks.
    """

    spec: ClassificationSpec

    def __init__(
        self, spec: ClassificationSpec, seed: int, device: torch.device, test_tasks: int
    ) -> None:
        super().__init__(spec, seed, device, test_tasks)
        tasksets = get_tasksets(spec.taskset, **spec.taskset_options)
        sources = [taskset.source for taskset in tasksets]
        if not all(isinstance(source, SequenceDataset) for source in sources):
            raise ArgumentError(
                f"ClassificationProblem: the task set {spec.taskset!r} must have classes, got "
                f"{type(sources[0]).__name__}; use one such as 'languages'"
            )
        self.train, self.validation, self.test = sources

    @property
    def columns(self) -> tuple[Column, ...]:
        return tuple(map(Shots, self.spec.shots))

    @property
    def chance(self) -> float:
        return 1 / self.spec.ways

    def description(self) -> dict[str, Any]:
        return {
            split: {"classes": len(dataset.classes), "items": len(dataset)}
            for split, dataset in (
                ("train", self.train),
                ("validation", self.validation),
                ("test", self.test),
            )
        }

    def encoder(self, **options: Any) -> nn.Module:
        """Make an encoder of the items; it has an attribute `output_size`."""
        return SequenceEncoder(**self.input_options, **options)

    @cached_property
    def input_options(self) -> dict[str, int]:
        """What a model needs to know of the items: their `vocab_size`, or `input_size`."""
        if self.train.vocabulary is not None:
            return {"vocab_size": len(self.train.vocabulary)}
        return {"input_size": self.train.input_size}

    @property
    def inputs(self) -> TextInputs | SeriesInputs:
        """What turns raw inputs into the sequences of the items."""
        if self.train.vocabulary is not None:
            return TextInputs(self.train.vocabulary, self.train.sequences.shape[1])
        return SeriesInputs(self.train.input_size)

    @cached_property
    def items(self) -> SequenceDataset:
        """The indices of the training items, as sequences of one step."""
        return indices_of(self.train)

    def training_tasks(self, training: Training, seed: int) -> ClassificationTrainingTasks:
        """Start a stream of training tasks."""
        return ClassificationTrainingTasks(self, training, seed)

    def evaluation_tasks(self, split: str, shots: int, tasks: int) -> EvaluationTasks:
        """Return tasks of a split, the same in every call."""
        dataset: SequenceDataset = getattr(self, split)
        items = indices_of(dataset).meta()
        samples = shots + self.spec.queries
        transforms = [
            FusedNWaysKShots(items, n=self.spec.ways, k=samples),
            LoadData(items),
            RemapLabels(items),
        ]
        state = random.getstate()
        random.seed(f"{self.seed} {split} {shots}")
        try:
            return EvaluationTasks(dataset, draw_tasks(Taskset(items, transforms), tasks, shots))
        finally:
            random.setstate(state)


def indices_of(dataset: SequenceDataset) -> SequenceDataset:
    """Return a dataset with the same labels and the indices of the items as its sequences."""
    indices = torch.arange(len(dataset)).unsqueeze(-1)
    return SequenceDataset(indices, dataset.labels, dataset.classes)
