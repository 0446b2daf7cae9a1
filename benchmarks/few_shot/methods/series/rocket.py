"""MiniRocket with a ridge classifier, the usual pipeline for time series."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import EvaluationTasks
from benchmarks.few_shot.problems.problem import generator_of
from benchmarks.few_shot.problems.series_problem import SeriesProblem
from l2l_rnn.data import SequenceDataset, TaskBatch
from l2l_rnn.models import MiniRocket

FITTED_SERIES = 1000  # training series that biases and scales are computed from


class RocketRidge(ClassificationMethod):
    """Fits a ridge classifier to the MiniRocket features of each support set.

    The regularization is chosen by leave-one-out cross-validation, as in the paper.

    Args:
        features: number of features of a channel; that of the paper by default.
        own_biases: whether the biases are quantiles on the support set, as the transform is usually
            fitted, instead of on the training series.
        normalize: whether each channel of a series is scaled to mean 0 and standard deviation 1.
    """

    problem: SeriesProblem

    def __init__(
        self,
        problem: SeriesProblem,
        label: str,
        *,
        features: int = 9996,
        own_biases: bool = False,
        normalize: bool = True,
    ) -> None:
        super().__init__(problem, label)
        self.features, self.own_biases, self.normalize = features, own_biases, normalize

    def predict(self, batch: TaskBatch) -> Tensor:
        raise TypeError("RocketRidge: predict() requires items; call accuracies()")

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        table = None if self.own_biases else self._table(tasks.dataset)
        scores = []
        for task in range(len(tasks)):
            index = tasks.index.slice(task, task + 1)
            support, query = index.support_x.flatten(), index.query_x.flatten()
            if table is None:
                series = tasks.dataset.sequences
                generator = generator_of(self.problem.seed, "biases", task)
                rocket = self._rocket().fit(series[support], generator)
                x, q = rocket(series[support]), rocket(series[query])
            else:
                x, q = table[support], table[query]
            model = make_pipeline(
                StandardScaler(with_mean=False), RidgeClassifierCV(alphas=np.logspace(-3, 3, 10))
            )
            model.fit(x.double().numpy(), index.support_y[0].numpy())
            scores.append(model.score(q.double().numpy(), index.query_y[0].numpy()))
        return torch.tensor(scores)

    def _rocket(self) -> MiniRocket:
        channels = self.problem.channels
        return MiniRocket(channels, features=self.features, normalize=self.normalize)

    def _table(self, data: SequenceDataset) -> Tensor:
        """Return the features of all items of a split, computed once."""
        key = ("MiniRocket", id(data), self.features, self.normalize)
        memo = self.problem.memo
        if key not in memo:
            rocket = fitted_rocket(self.problem, self._rocket())
            start = time.perf_counter()
            memo[key] = torch.cat([rocket(part) for part in data.sequences.split(200)])
            self.saved_seconds -= time.perf_counter() - start
        found: Tensor = memo[key]
        return found


def fitted_rocket(problem: Any, rocket: MiniRocket) -> MiniRocket:
    """Fit an encoder to training series of a problem: as many of each class, chosen at random."""
    data, generator = problem.train, generator_of(problem.seed, "MiniRocket")
    weights = 1.0 / torch.bincount(data.labels).double()[data.labels]
    most = min(FITTED_SERIES, len(data))
    items = torch.multinomial(weights, most, generator=generator)
    return rocket.fit(data.sequences[items], generator)
