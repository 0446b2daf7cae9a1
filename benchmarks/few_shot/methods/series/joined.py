"""A learned vector, MiniRocket features and nearest neighbors, combined by learned weights."""

from __future__ import annotations

import copy
import time
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.persons.population import PopulationModel
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.series.rocket import fitted_rocket
from benchmarks.few_shot.methods.stacked import Items, stacked_scores
from benchmarks.few_shot.problems.classification_problem import EvaluationTasks
from benchmarks.few_shot.problems.series_problem import (
    SeriesProblem,
    centered_prior,
    without_means,
)
from benchmarks.few_shot.shared_trainings import fold_key
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, combined
from l2l_rnn.algorithms import (
    R2D2,
    FixedClassifier,
    NearestNeighbor,
    PriorCoordinates,
    ProtoNet,
    RidgeCV,
    StackedLearner,
)
from l2l_rnn.data import SequenceDataset, TaskBatch
from l2l_rnn.functional import accuracy
from l2l_rnn.models import EncoderEnsemble, MiniRocket, ResampledSeries, VectorPart
from l2l_rnn.nn import Linear

_SEQUENCES = 5000  # of the tasks that are solved at once, which limits the memory
_PRIOR_EXAMPLES = 60  # of each training class


class JoinedSeries(ClassificationMethod):
    """Combines heads of a learned vector, of MiniRocket features and of the series themselves.

    The members are a `ProtoNet` with a Gaussian prior and a ridge regression on the vector of a
    `ProtoNetMethod`; class means of both this vector and MiniRocket components, with another prior;
    class means and a ridge regression on MiniRocket features; and the nearest neighbor by Euclidean
    distance and by time warping. Their weights, as a function of shots and ways, are learned on
    tasks of the validation groups.

    Args:
        options: options of the `ProtoNetMethod`; its training is shared.
        population: options of a `PopulationModel` that knows the classes of all tasks, which
            becomes a member; None for tasks of unseen classes.
        features: number of MiniRocket features of a channel.
        components: number of principal components of these features that, with the learned vector,
            a second prior is fitted to.
        shrinkage: shrinkage of the second prior.
        window: Sakoe-Chiba band of time warping; None leaves this member out.
        neighbors: whether the nearest neighbors are members.
        normalize: whether MiniRocket and the neighbors read each channel of a series scaled to mean
            0 and standard deviation 1.
        shots: support examples per class of the validation tasks, as far as there are enough.
        validation_tasks: most validation tasks for each number of shots.
        cross_fit: number of folds of the training datasets. For each, the members are fitted to the
            others, and tasks of the fold are added to those that the weights are learned on.
        fold_trainings: whether the encoder is trained again for each fold, which is not needed if
            it is trained on drawn tasks alone.
    """

    has_learner = True
    learner: StackedLearner

    def __init__(
        self,
        problem: SeriesProblem,
        label: str,
        *,
        options: dict[str, Any],
        population: dict[str, Any] | None = None,
        features: int = 2520,
        components: int = 192,
        shrinkage: float = 0.1,
        window: float | None = 0.1,
        neighbors: bool = True,
        normalize: bool = True,
        shots: tuple[int, ...] = (1, 2, 5, 10, 20, 50),
        validation_tasks: int = 30,
        cross_fit: int = 0,
        fold_trainings: bool = True,
    ) -> None:
        super().__init__(problem, label)
        self.options, self.population, self.features = options, population, features
        self.components, self.shrinkage = components, shrinkage
        self.window, self.neighbors, self.normalize = window, neighbors, normalize
        self.shots, self.validation_tasks = shots, validation_tasks
        self.cross_fit, self.fold_trainings = cross_fit, fold_trainings
        self._tables: dict[int, Tensor] = {}  # of the items of a split, by the split's identity
        self._seconds_of: dict[int, float] = {}  # to encode one item

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        found = ProtoNetMethod.trainings(options["options"])
        if options.get("population") is not None:
            found |= PopulationModel.trainings(options["population"])
        again = options.get("fold_trainings", True)
        folds = range(options.get("cross_fit", 0) if again else 0)
        return found | {fold_key(n, key): found[key] for n in folds for key in found}

    def train(self) -> History:
        histories = [self._build()]
        batches = self._weight_tasks(self.problem.validation)
        learners = [self.learner] * len(batches)
        for number in range(self.cross_fit):
            part = copy.copy(self)
            part.problem, held_out = self.problem.left_out(number, self.cross_fit)
            if not self.fold_trainings:
                part.problem.shared = self.problem.shared
            part.label = f"{self.label}, fold {number}"
            histories.append(part._build())
            more = part._weight_tasks(held_out)
            batches += more
            learners += [part.learner] * len(more)
        self.learner.fit_weights(batches, learners=map(_of_vectors, learners))
        self.saved_seconds = 0.0  # of the evaluation alone
        return combined(histories) if self.cross_fit and self.fold_trainings else histories[0]

    def _build(self) -> History:
        """Train the members and put them together, with weights that are not learned yet."""
        base = ProtoNetMethod(self.problem, self.label, **self.options)
        history = base.train()
        encoder: Any = base.learner.module
        rocket = MiniRocket(
            self.problem.channels,
            features=self.features,
            normalize=self.normalize,
            standardize=True,
        )
        fitted_rocket(self.problem, rocket)
        encoders = [encoder, rocket]
        members = self._members(encoder, rocket, base.learner.prior)
        start, ways = encoder.output_size + rocket.output_size, self.problem.spec.ways
        if self.population is not None:
            population = PopulationModel(self.problem, self.label, **self.population)
            before = population.train()
            history = combined([history, before])
            encoders.append(population.classifier)
            known = VectorPart(start, start + ways)
            members.append(FixedClassifier(known, ways, self.problem.train.classes))
            start += ways
        if self.neighbors:  # last, because their vectors are as long as there are channels
            encoders.append(ResampledSeries(normalize=self.normalize))
            members.append(NearestNeighbor(VectorPart(start), ways))
            if self.window is not None:
                members.append(NearestNeighbor(VectorPart(start), ways, self.window))
        learner = StackedLearner(EncoderEnsemble(encoders), ways, members)
        self.learner = learner.to(self.problem.device).eval()
        return history

    def _members(self, encoder: Any, rocket: MiniRocket, prior: Any) -> list[Any]:
        """Return the members, which read parts of the joined vectors."""
        ways, size = self.problem.spec.ways, encoder.output_size
        after = size + rocket.output_size
        learned = VectorPart(0, size)
        center = prior is not None and self.problem.centered_priors
        if prior is None or center:
            ridge = RidgeCV(learned, ways)
        else:
            space = VectorPart(0, size, PriorCoordinates(prior))
            ridge = R2D2(space, ways, regularization=0.1)
        return [
            ProtoNet(learned, ways, prior, center),
            ridge,
            self._joint_prior(encoder, rocket, after),
            ProtoNet(VectorPart(size, after), ways),
            RidgeCV(VectorPart(size, after), ways),
        ]

    def _joint_prior(self, encoder: nn.Module, rocket: MiniRocket, stop: int) -> ProtoNet:
        """Return class means with a prior, of the learned vector and of MiniRocket components."""
        problem, size = self.problem, stop - rocket.output_size
        both = EncoderEnsemble([encoder, rocket])
        vectors, labels, groups = problem.prior_vectors(both, _PRIOR_EXAMPLES)
        learned, fixed = without_means(vectors, groups).tensor_split([size], -1)
        number = min(self.components, len(vectors) - 1, fixed.shape[1])
        with torch.random.fork_rng():
            torch.manual_seed(problem.seed)
            basis = torch.pca_lowrank(fixed, number, niter=4)[2]
        projection = Linear(stop, size + number, bias=False).requires_grad_(False)
        weight = torch.zeros_like(projection.weight)
        weight[:size, :size] = torch.eye(size) * (fixed @ basis).std() / learned.std()
        weight[size:, size:] = basis.mT
        projection.weight.copy_(weight)
        prior = centered_prior(vectors @ weight.mT, labels, groups, self.shrinkage)
        model = VectorPart(0, stop, projection)
        return ProtoNet(model, problem.spec.ways, prior, problem.centered_priors)

    def predict(self, batch: TaskBatch) -> Tensor:
        return stacked_scores(self.learner, batch)

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        index, device = tasks.index, self.problem.device
        learner = self._of_items(tasks.dataset)
        each = index.support_x.shape[1] + index.query_x.shape[1]
        self.saved_seconds += self._seconds_of[id(tasks.dataset)] * each * len(index)
        parts = []
        for batch in index.chunks(max(1, min(self.chunk, _SEQUENCES // each))):
            batch = batch.to(device)
            parts.append(accuracy(stacked_scores(learner, batch), batch.query_y).cpu())
        return torch.cat(parts)

    def _weight_tasks(self, data: SequenceDataset) -> list[TaskBatch]:
        """Return tasks of vectors of some series, with each number of ways and shots."""
        problem, most = self.problem, self.validation_tasks
        every = sorted({problem.spec.ways, *problem.spec.more_ways})
        sizes = [(ways, shots) for shots in self.shots for ways in every]
        found = [problem.validation_tasks(*size, most, data) for size in sizes]
        batches = [batch for batch in found if batch is not None]
        parts = [part.flatten() for b in batches for part in (b.support_x, b.query_x)]
        items, places = torch.cat(parts).unique(return_inverse=True)
        vectors = self._vectors(data.sequences[items])
        rows = iter(places.split([len(part) for part in parts]))
        return [
            TaskBatch(
                vectors[next(rows)].unflatten(0, b.support_y.shape),
                b.support_y,
                vectors[next(rows)].unflatten(0, b.query_y.shape),
                b.query_y,
            ).to(problem.device)
            for b in batches
        ]

    def _vectors(self, series: Tensor) -> Tensor:
        """Return the joined vectors of series, `(items, E)`."""
        with torch.no_grad():
            parts = series.to(self.problem.device).split(200)
            return torch.cat([self.learner.module(part) for part in parts])

    def _table(self, data: SequenceDataset) -> Tensor:
        """Return the joined vectors of the items of a split, encoded once."""
        if id(data) not in self._tables:
            start = time.perf_counter()
            self._tables[id(data)] = self._vectors(data.sequences)
            seconds = time.perf_counter() - start
            self._seconds_of[id(data)] = seconds / len(data)
            self.saved_seconds -= seconds
        return self._tables[id(data)]

    def _of_items(self, data: SequenceDataset) -> StackedLearner:
        """Return the learner for inputs `(…, B, 1)` that are items of a split."""
        learner = copy.copy(self.learner)
        learner._modules = {**self.learner._modules, "module": Items(self._table(data))}
        return learner


def _of_vectors(learner: StackedLearner) -> StackedLearner:
    """Return a learner with the same members and weights, for inputs that are encoded already."""
    found = copy.copy(learner)
    found._modules = {**learner._modules, "module": nn.Identity()}
    return found
