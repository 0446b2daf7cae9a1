"""Few-shot classification of the unseen classes of a task set."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from learn2learn.data import Taskset
from learn2learn.data.transforms import FusedNWaysKShots, LoadData, RemapLabels
from torch import Tensor, nn

from benchmarks.few_shot.columns import Column, CurvePoint, Shots
from benchmarks.few_shot.problems.problem import Problem, TrainingTasks
from benchmarks.few_shot.spec import ClassificationSpec, Training
from l2l_rnn.algorithms import GaussianPrior
from l2l_rnn.data import SequenceDataset, TaskBatch, draw_tasks
from l2l_rnn.errors import ArgumentError
from l2l_rnn.models import SequenceClassifier, SequenceEncoder
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import SeriesInputs, TextInputs, fitted_prior


@dataclass(frozen=True)
class EvaluationTasks:
    """Fixed tasks that are the same for every method, with items given by index.

    Attributes:
        dataset: the dataset that contains the items.
        index: indices of the support and query items; `support_x` is `(N, B, 1)`.
        vectors: vectors of all items, to use instead of their sequences, `(items, E)`.
    """

    dataset: SequenceDataset
    index: TaskBatch
    vectors: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def first(self, tasks: int) -> EvaluationTasks:
        """Return the first tasks, or all if there are fewer."""
        return replace(self, index=self.index.slice(0, tasks))

    @property
    def sequences(self) -> int:
        """The number of sequences in a task."""
        return self.index.support_x.shape[1] + self.index.query_x.shape[1]

    @property
    def items(self) -> Tensor:
        """The indices of the items that occur in a task, sorted."""
        index = self.index
        return torch.cat([index.support_x.flatten(), index.query_x.flatten()]).unique()

    def batches(self, tasks: int, device: torch.device) -> Iterator[TaskBatch]:
        """Yield the tasks as sequences, or vectors, and labels, `tasks` at a time."""
        sequences = self.dataset.sequences if self.vectors is None else self.vectors
        for part in self.index.chunks(tasks):
            yield TaskBatch(
                sequences[part.support_x[..., 0]],
                part.support_y,
                sequences[part.query_x[..., 0]],
                part.query_y,
            ).to(device)

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
        ways, shots = settings.sizes(step)
        drawn = self.draw(self.problem.items, ways, shots, settings.queries)
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
    centered_priors = False  # whether `prior` fits to vectors centered by group

    def __init__(
        self, spec: ClassificationSpec, seed: int, device: torch.device, test_tasks: int
    ) -> None:
        super().__init__(spec, seed, device, test_tasks)
        self.curve_tasks = test_tasks
        self._evaluation_tasks: dict[Any, EvaluationTasks] = {}
        tasksets = get_tasksets(spec.taskset, root=spec.root, **spec.taskset_options)
        self.train, self.validation, self.test = (self.dataset(t.source) for t in tasksets)

    def dataset(self, source: Any) -> SequenceDataset:
        """Return a split of the task set as sequences with their classes."""
        if not isinstance(source, SequenceDataset):
            raise ArgumentError(
                f"ClassificationProblem: the task set {self.spec.taskset!r} must have classes, got "
                f"{type(source).__name__}; use one such as 'languages'"
            )
        return source

    @property
    def columns(self) -> tuple[Column, ...]:
        if not self.spec.more_ways:
            return tuple(map(Shots, self.spec.shots))
        every = (self.spec.ways, *self.spec.more_ways)
        return tuple(Shots(shots, ways) for ways in every for shots in self.spec.shots)

    @property
    def curve(self) -> tuple[CurvePoint, ...]:  # type: ignore[override]
        shots, tasks = self.spec.curve, self.curve_tasks
        return tuple(CurvePoint(number, most=max(shots), tasks=tasks) for number in shots)

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

    def prior(self, encoder: nn.Module, shrinkage: float, examples: int) -> GaussianPrior:
        """Fit a prior to an encoder's vectors, of at most `examples` items of each class."""
        return fitted_prior(encoder, self.train, shrinkage, examples, self.seed)

    def classifier(self, ways: int, **options: Any) -> nn.Module:
        """Make a classifier of the items; it has attributes `encoder` and `head`."""
        return SequenceClassifier(ways, **self.input_options, **options)

    @cached_property
    def input_options(self) -> dict[str, int]:
        """What a model needs to know of the items: their `vocab_size`, or `input_size`."""
        if self.train.vocabulary is not None:
            return {"vocab_size": len(self.train.vocabulary)}
        return {"input_size": self.train.input_size}

    @property
    def taskset(self) -> str:
        """The name of the task set."""
        return self.spec.taskset

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The names of the training classes."""
        return tuple(self.train.classes)

    @property
    def inputs(self) -> TextInputs | SeriesInputs:
        """What turns raw inputs into the sequences of the items."""
        if self.train.vocabulary is not None:
            return TextInputs(self.train.vocabulary, self.train.sequences.shape[1])
        return SeriesInputs(self.train.input_size)

    @property
    def calibration_source(self) -> Any:
        """The dataset of validation tasks that calibrate the unknown score."""
        return self.validation

    @cached_property
    def items(self) -> SequenceDataset:
        """The indices of the training items, as sequences of one step."""
        return indices_of(self.train)

    def training_tasks(self, training: Training, seed: int) -> ClassificationTrainingTasks:
        """Start a stream of training tasks."""
        return ClassificationTrainingTasks(self, training, seed)

    def evaluation_tasks(self, split: str, column: Shots | int, tasks: int) -> EvaluationTasks:
        """Return tasks of a split, the same in every call.

        Args:
            split: `"train"`, `"validation"` or `"test"`.
            column: the ways and shots of the tasks; an integer is a number of shots.
            tasks: number of tasks.
        """
        column = Shots(column) if isinstance(column, int) else column
        key = (split, column, tasks)
        if key not in self._evaluation_tasks:
            dataset: SequenceDataset = getattr(self, split)
            index = self.draw_evaluation_tasks(split, dataset, column, tasks)
            if column.drawn > column.shots:
                index = _with_shots(index, column)
            self._evaluation_tasks[key] = EvaluationTasks(dataset, index)
        return self._evaluation_tasks[key]

    def draw_evaluation_tasks(
        self, split: str, dataset: SequenceDataset, column: Shots, tasks: int
    ) -> TaskBatch:
        """Draw the items of evaluation tasks; only classes with enough items take part."""
        ways = column.ways or self.spec.ways
        samples = column.drawn + self.spec.queries
        enough = (dataset.grouping.counts >= samples).nonzero().flatten().tolist()
        if len(enough) < ways:
            raise ArgumentError(
                f"ClassificationProblem: {self.spec.name!r} must have {ways} {split} classes of "
                f"{samples} items, got {len(enough)}; ask for fewer shots, queries or ways"
            )
        items = indices_of(dataset).meta()
        some = None if len(enough) == len(dataset.classes) else enough
        transforms = [
            FusedNWaysKShots(items, n=ways, k=samples, filter_labels=some),
            LoadData(items),
            RemapLabels(items),
        ]
        seed = f"{self.seed} {split} {column.drawn}" + f" {ways}" * (ways != self.spec.ways)
        state = random.getstate()
        random.seed(seed)
        try:
            return draw_tasks(Taskset(items, transforms), tasks, column.drawn)
        finally:
            random.setstate(state)


def ways_of(batch: TaskBatch) -> int:
    """Return the number of classes of a batch's tasks, all of which have support examples."""
    return int(batch.support_y.max()) + 1


def _with_shots(index: TaskBatch, column: Shots) -> TaskBatch:
    """Return tasks with the first `shots` of the drawn support examples of each class."""
    x, y = (
        part.unflatten(1, (-1, column.drawn))[:, :, : column.shots].flatten(1, 2)
        for part in (index.support_x, index.support_y)
    )
    return TaskBatch(x, y, index.query_x, index.query_y)


def indices_of(dataset: SequenceDataset) -> SequenceDataset:
    """Return a dataset with the same labels and the indices of the items as its sequences."""
    indices = torch.arange(len(dataset)).unsqueeze(-1)
    return SequenceDataset(indices, dataset.labels, dataset.classes)
