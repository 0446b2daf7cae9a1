"""Few-shot classification of time series of unseen datasets, classes or persons."""

from __future__ import annotations

import copy
import random
from typing import Any

import torch
from torch import Generator, Tensor, nn

from benchmarks.few_shot.columns import Shots
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    ClassificationTrainingTasks,
)
from benchmarks.few_shot.problems.grouped_problem import (
    GroupedProblem,
    GroupedTrainingTasks,
    PairedClasses,
)
from benchmarks.few_shot.problems.problem import TrainingTasks, generator_of, seed_of
from benchmarks.few_shot.shared_trainings import FoldTrainings
from benchmarks.few_shot.spec import SeriesSpec, Training
from l2l_rnn.algorithms import GaussianPrior
from l2l_rnn.data import GroupedDataset, SequenceDataset, TaskBatch
from l2l_rnn.models import SeriesClassifier, SeriesEncoder
from l2l_rnn.tasksets import Shapelets
from l2l_rnn.training import SeriesInputs

_PRIOR_TASKS, _PRIOR_WAYS, _PRIOR_SHOTS = 100, 5, 8  # drawn tasks that a prior is fitted to


class MixedTrainingTasks(TrainingTasks):
    """Endless batches of tasks, some of real series and some of drawn ones.

    A batch has fewer classes than asked for if no training dataset has as many.

    Args:
        real: the tasks of real series.
        problem: the problem.
        training: tasks per batch, and their ways, shots and queries.
        seed: random seed of the choices and of the drawn tasks.
    """

    def __init__(self, real: Any, problem: SeriesProblem, training: Training, seed: int) -> None:
        super().__init__(training.tasks, seed, torch.device("cpu"))
        self.real, self.problem, self.training = real, problem, training
        self.generator = Generator().manual_seed(seed_of(seed, "drawn"))
        self.choices = random.Random(seed_of(seed, "choices"))

    def batch(self, step: int, progress: float) -> tuple[TaskBatch, TaskBatch]:
        """Draw the batch of a training step, as `ClassificationTrainingTasks.batch`."""
        if self.choices.random() >= self.problem.spec.drawn:
            found: tuple[TaskBatch, TaskBatch] = self.real.batch(step, progress)
            return found
        ways, shots = self.training.sizes(step)
        family = Shapelets(ways, self.problem.steps)
        drawn = family.draw(self.training.tasks, shots, self.training.queries, self.generator)
        drawn = drawn.to(self.problem.device)
        return drawn, drawn


class SeriesProblem(GroupedProblem):
    """A task set of time series, in groups such as datasets or persons, or in classes alone.

    Args:
        spec, seed, device, test_tasks: as in `ClassificationProblem`.
    """

    spec: SeriesSpec
    centered_priors = True

    def dataset(self, source: Any) -> SequenceDataset:
        if isinstance(source, GroupedDataset):
            return PairedClasses(source)
        return ClassificationProblem.dataset(self, source)

    @property
    def grouped(self) -> bool:
        """Whether the tasks have classes of one group."""
        return isinstance(self.train, PairedClasses)

    @property
    def note(self) -> str:  # type: ignore[override]
        if self.spec.drawn < 1:
            return ""
        return " The encoder was trained on drawn series alone; priors and weights saw the data."

    @property
    def steps(self) -> int:
        """The number of steps of the drawn series."""
        return int(self.train.sequences.shape[1])

    def description(self) -> dict[str, Any]:
        return super().description() if self.grouped else ClassificationProblem.description(self)

    @property
    def channels(self) -> int | None:
        """The number of channels that encoders read together; None for any number."""
        return None

    def encoder(self, **options: Any) -> nn.Module:
        return SeriesEncoder(input_size=self.channels, **options)

    def classifier(self, ways: int, **options: Any) -> nn.Module:
        return SeriesClassifier(ways, input_size=self.channels, **options)

    @property
    def inputs(self) -> SeriesInputs:
        return SeriesInputs(self.channels, mean=0.0, std=1.0)

    def prior(self, encoder: nn.Module, shrinkage: float, examples: int) -> GaussianPrior:
        vectors, labels, groups = self.prior_vectors(encoder, examples)
        return centered_prior(vectors, labels, groups, shrinkage).to(self.device)

    def prior_vectors(self, encoder: nn.Module, examples: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return vectors for a prior, with their classes and groups.

        Without centered priors, all vectors belong to one group.
        """
        parts, labels, groups = self.prior_series(examples)
        encoder.eval()
        with torch.no_grad():
            some = [part for whole in parts for part in whole.split(500)]
            vectors = torch.cat([encoder(part.to(self.device)).cpu() for part in some])
        return vectors, labels, groups if self.centered_priors else torch.zeros_like(groups)

    def prior_series(self, examples: int) -> tuple[list[Tensor], Tensor, Tensor]:
        """Return series for a prior, with their classes and groups.

        They are training series, at most `examples` of each class, and series of drawn tasks if
        networks are trained on these. A group is a dataset, a person or a drawn task.

        Returns:
            Series in parts `(items, S, F)`, classes `(items,)` and groups `(items,)`.
        """
        data = self.train
        owners: Tensor = data.grouped.groups if self.grouped else torch.zeros_like(data.labels)  # type: ignore[attr-defined]
        cells = owners * (int(data.labels.max()) + 1) + data.labels  # classes of a group
        order = torch.randperm(len(data), generator=generator_of(self.seed, "prior"))
        places = torch.zeros_like(order)
        for cell in cells.unique():
            own = order[cells[order] == cell]
            places[own] = torch.arange(len(own))
        items = (places < examples).nonzero().squeeze(-1)
        parts, labels, groups = [data.sequences[items]], [cells[items]], [owners[items]]
        if self.spec.drawn:
            tasks, ways = _PRIOR_TASKS, _PRIOR_WAYS
            drawn = self.drawn_tasks(ways, _PRIOR_SHOTS, tasks)
            task = torch.arange(tasks).unsqueeze(-1)
            parts.append(drawn.support_x.flatten(0, 1))
            labels.append((drawn.support_y + ways * task + cells.max() + 1).flatten())
            groups.append((task + 1 + groups[0].max()).expand_as(drawn.support_y).flatten())
        return parts, torch.cat(labels), torch.cat(groups)

    def training_tasks(self, training: Training, seed: int) -> Any:
        kind = GroupedTrainingTasks if self.grouped else ClassificationTrainingTasks
        real = kind(self, training, seed)
        return MixedTrainingTasks(real, self, training, seed) if self.spec.drawn else real

    def draw_evaluation_tasks(
        self, split: str, dataset: SequenceDataset, column: Shots, tasks: int
    ) -> TaskBatch:
        draw = GroupedProblem if self.grouped else ClassificationProblem
        return draw.draw_evaluation_tasks(self, split, dataset, column, tasks)

    def left_out(self, number: int, folds: int) -> tuple[SeriesProblem, PairedClasses]:
        """Leave some training datasets out: return the problem without them, and their series.

        The datasets, each with all its channels, take turns in the order of their numbers of
        classes, so that the folds of a cross-validation have as many classes each.

        Args:
            number: the number of the fold.
            folds: the number of folds.
        """
        data: GroupedDataset = self.train.grouped  # type: ignore[attr-defined]
        present = data.grouping.counts.unflatten(0, (len(data.group_names), -1)) > 0
        classes: dict[str, int] = {}
        for name, found in zip(data.group_names, present.sum(-1).tolist(), strict=True):
            base = name.split("[")[0]
            classes[base] = classes.get(base, 0) + found
        held = sorted(classes, key=lambda base: -classes[base])[number::folds]
        out = torch.tensor([name.split("[")[0] in held for name in data.group_names])
        made = copy.copy(self)
        made.__dict__.pop("items", None)  # of all training series
        made.train = PairedClasses(of_groups(data, ~out))
        made.shared = FoldTrainings(self, number)  # type: ignore[assignment]
        made.memo, made._evaluation_tasks = {}, {}
        return made, PairedClasses(of_groups(data, out))

    def validation_tasks(
        self, ways: int, shots: int, tasks: int, data: SequenceDataset | None = None
    ) -> TaskBatch | None:
        """Return validation tasks of items, with fewer classes if there are not as many.

        It returns None if no two classes of a group have enough items.

        Args:
            ways, shots: classes, and support examples of each.
            tasks: number of tasks.
            data: the series; None uses the validation split.
        """
        data, samples = data or self.validation, shots + self.spec.queries
        if self.grouped:
            grouped: GroupedDataset = data.grouped  # type: ignore[attr-defined]
            counts = grouped.grouping.counts.unflatten(0, (len(grouped.group_names), -1))
            most = int((counts >= samples).sum(-1).max())
        else:
            most = int((data.grouping.counts >= samples).sum())
        ways = min(ways, most)
        if ways < 2:
            return None
        return self.draw_evaluation_tasks("validation", data, Shots(shots, ways), tasks)

    def drawn_tasks(self, ways: int, shots: int, tasks: int) -> TaskBatch:
        """Return tasks of drawn series that no training has, the same in every call."""
        generator = generator_of(self.seed, "drawn validation", ways, shots)
        return Shapelets(ways, self.steps).draw(tasks, shots, self.spec.queries, generator)


def of_groups(data: GroupedDataset, chosen: Tensor) -> GroupedDataset:
    """Return the items of the groups that are True in `chosen`, `(groups,)`."""
    rows = chosen[data.groups].nonzero().flatten()
    numbers = chosen.cumsum(0)[data.groups[rows]] - 1
    names = [name for name, keep in zip(data.group_names, chosen.tolist(), strict=True) if keep]
    return GroupedDataset(data.inputs[rows], data.targets[rows], numbers, data.classes, names)


def centered_prior(
    vectors: Tensor, labels: Tensor, groups: Tensor, shrinkage: float
) -> GaussianPrior:
    """Fit a prior to vectors from which the mean of their group is subtracted.

    Then classes differ as much as those of one dataset do, not as those of different ones. If all
    vectors belong to one group, nothing is subtracted.

    Shapes:
        vectors `(items, E)`, labels and groups `(items,)`.
    """
    if int(groups.max()) == 0:
        return GaussianPrior(vectors.shape[1], shrinkage).fit(vectors, labels)
    return GaussianPrior(vectors.shape[1], shrinkage).fit(without_means(vectors, groups), labels)


def without_means(vectors: Tensor, groups: Tensor) -> Tensor:
    """Subtract the mean of their group from vectors: `(items, E)`, `(items,)` -> `(items, E)`."""
    sums = vectors.new_zeros(int(groups.max()) + 1, vectors.shape[1]).index_add_(0, groups, vectors)
    return vectors - (sums / groups.bincount().clamp_min(1).unsqueeze(-1))[groups]
