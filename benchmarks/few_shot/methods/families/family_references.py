"""Methods for task families without a network: means, Gaussian processes, exact solutions."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from torch import Generator, Tensor

from benchmarks.few_shot.methods.families.family_method import FamilyMethod
from benchmarks.few_shot.methods.families.harmonics_posterior import posterior_mean
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.training import History
from l2l_rnn.data import TaskBatch


class FamilyReference(FamilyMethod):
    """A method of one kind of tasks that has no network.

    Args:
        kind: one of the spec's kinds of tasks.
    """

    def __init__(self, problem: FamilyProblem, label: str, *, kind: str) -> None:
        super().__init__(problem, label, kind=kind, network={}, steps=0)


class FamilyMean(FamilyReference):
    """Predicts the mean of the support targets."""

    def predict(self, batch: TaskBatch) -> Tensor:
        return batch.support_y.mean(1, keepdim=True).expand_as(batch.query_y)


class FamilyGaussianProcess(FamilyReference):
    """Gaussian process of scikit-learn; its mean is that of kernel ridge regression.

    The kernel is squared exponential. Its length scale and the variances of the signal and the
    noise are the best ones on validation tasks, for all numbers of points together.

    Args:
        kind: one of the spec's kinds of tasks.
        lengths, variances, noises: the candidates.
        validation_tasks: number of validation tasks.
    """

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        kind: str,
        lengths: tuple[float, ...] = (0.05, 0.1, 0.2, 0.4, 0.8),
        variances: tuple[float, ...] = (1.0,),
        noises: tuple[float, ...] = (0.01, 0.1, 1.0),
        validation_tasks: int = 100,
    ) -> None:
        super().__init__(problem, label, kind=kind)
        self.candidates = tuple(itertools.product(lengths, variances, noises))
        self.validation_tasks = validation_tasks
        self.chosen = self.candidates[0]

    def train(self) -> History | None:
        errors = {}
        for candidate in self.candidates:
            self.chosen = candidate
            errors[candidate] = self.validation_score(self.validation_tasks)
        self.chosen = min(errors, key=errors.__getitem__)
        return None

    def predict(self, batch: TaskBatch) -> Tensor:
        length, variance, noise = self.chosen
        kernel = ConstantKernel(variance) * RBF(length)
        process = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
        found = [
            process.fit(x.numpy(), y[:, 0].numpy()).predict(query.numpy())
            for x, y, query in zip(
                batch.support_x.cpu(), batch.support_y.cpu(), batch.query_x.cpu(), strict=True
            )
        ]
        means = torch.stack([torch.from_numpy(mean) for mean in found]).unsqueeze(-1)
        return means.to(batch.query_y)

    def details(self) -> dict[str, Any]:
        return dict(zip(("length_scale", "variance", "noise"), self.chosen, strict=True))


class SineFit(FamilyReference):
    """Fits amplitude and phase of a sine wave of frequency 1 by least squares.

    `a sin(x - p)` is linear in `sin x` and `cos x`, so two points determine a wave without noise.
    """

    def predict(self, batch: TaskBatch) -> Tensor:
        def waves(x: Tensor) -> Tensor:
            return torch.cat([x.double().sin(), x.double().cos()], -1)

        fit = torch.linalg.lstsq(waves(batch.support_x), batch.support_y.double()).solution
        return (waves(batch.query_x) @ fit).to(batch.query_y)


class HarmonicsPosterior(FamilyReference):
    """Bayes-optimal predictions of `tasksets.Harmonics`: no method can have a lower mean error.

    Args:
        kind: one of the spec's kinds of tasks.
        frequencies, phases: grid points, see `posterior_mean`.
    """

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        kind: str,
        frequencies: int = 128,
        phases: int = 64,
    ) -> None:
        super().__init__(problem, label, kind=kind)
        self.frequencies, self.phases = frequencies, phases
        self.effective: dict[int, list[float]] = {}

    def predict(self, batch: TaskBatch) -> Tensor:
        family: Any = self.family
        generator = Generator().manual_seed(self.problem.seed)
        means, shots = [], batch.support_x.shape[1]
        parts = batch.support_x, batch.support_y, batch.query_x
        for task in zip(*(part.cpu().double().squeeze(-1) for part in parts), strict=True):
            found = posterior_mean(
                *task,
                family.noise,
                frequencies=self.frequencies,
                phases=self.phases,
                generator=generator,
            )
            means.append(found.mean)
            self.effective.setdefault(shots, []).append(found.effective)
        return torch.stack(means).unsqueeze(-1).to(batch.query_y)

    def details(self) -> dict[str, Any]:
        """Return the size of the grid, and the least and the median effective number of points."""
        effective = {
            str(shots): {"least": min(found), "median": sorted(found)[len(found) // 2]}
            for shots, found in self.effective.items()
        }
        return {"grid": [self.frequencies, self.phases, self.phases], "effective": effective}
