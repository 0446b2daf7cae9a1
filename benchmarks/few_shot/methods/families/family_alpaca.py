"""ALPaCA on task families: Bayesian linear regression with a learned prior."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.families.family_method import MetaTrainedMethod
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from l2l_rnn.algorithms import ALPaCA, ALPaCAMixture
from l2l_rnn.data import TaskBatch


class FamilyALPaCA(MetaTrainedMethod):
    """Meta-learns features, and the prior of a linear regression on them.

    Args:
        kind, network: as in `FamilyMethod`; the network's encoder computes the features.
        training: settings of the meta-training.
        likelihood: whether the loss is the negative log-likelihood of the queries instead of the
            squared error of their means, which does not learn the variance of the noise.
        noise, regularization: as in `ALPaCA`.
        components: the components of an `ALPaCAMixture`, which share the network's units; None for
            an `ALPaCA`.
    """

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        training: Training,
        likelihood: bool = True,
        noise: float = 0.1,
        regularization: float = 1.0,
        components: int | None = None,
        **family: Any,
    ) -> None:
        super().__init__(problem, label, steps=1, **family)
        self.likelihood = likelihood
        encoder, outputs = self.network().encoder, self.family.output_size
        size, prior = (
            self.options["hidden_size"],
            {"noise": noise, "regularization": regularization},
        )
        learner: ALPaCA | ALPaCAMixture
        if components is None:
            learner = ALPaCA(encoder, outputs, features=size, **prior)
        else:
            per_component = {"features": size // components, **prior}
            learner = ALPaCAMixture(encoder, outputs, components, **per_component)
        self.prepare(learner.to(problem.device), training, encoder)

    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        encoder: nn.Module = self.learner.module
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner = self.learner.clone(tasks=len(batch))
        learner.module = nn.Identity()  # the sequences are already encoded
        learner.write(support, batch.support_y)
        if not self.likelihood:
            outputs = learner(query)
            return self.family.loss(outputs, batch.query_y).mean(), outputs
        found = learner.predictive(query)
        return -found.log_prob(batch.query_y).mean(), found.mean

    def predict(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            return self._adapted(batch)(batch.query_x)

    def details(self) -> dict[str, Any]:
        """Return which fraction of the targets is inside of the 90% intervals, by column."""
        if not self.likelihood:
            return super().details()
        found = {}
        for column in self.problem.columns:
            batch = self.problem.evaluation_tasks(
                self.kind, column, "test", self.problem.test_tasks
            )
            with torch.no_grad():
                below = self._adapted(batch).predictive(batch.query_x).cdf(batch.query_y)
            found[column.name] = ((below - 0.5).abs() < 0.45).float().mean().item()
        return {**super().details(), "coverage_of_90": found}

    def _adapted(self, batch: TaskBatch) -> ALPaCA | ALPaCAMixture:
        learner: ALPaCA | ALPaCAMixture = self.learner.clone(tasks=len(batch))
        learner.write(batch.support_x, batch.support_y)
        return learner
