"""Prototypical networks with a recurrent encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.method import Classification
from benchmarks.few_shot.problems.problem import Problem, seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, all_of, train
from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy


class MetaLearnedMetric(Classification):
    """Meta-learns a space in which the class means of the support set classify the query.

    Entries of one spec that are trained alike share the trained encoders.

    Args:
        model: options of the problem's encoder.
        training: how it is meta-trained; its ways may exceed the test tasks'.
        class_weight: weight of a second loss in meta-training, the cross-entropy of a linear head
            that tells all meta-train classes apart.
        members: how many encoders are trained, from different seeds; their scores add up.
        shrinkage: that of the `GaussianPrior` which is fitted to the meta-train classes in each
            trained encoder's space; None judges by the class means alone.
        prior_examples: at most how many examples of a meta-train class it is fitted to.
    """

    def __init__(
        self,
        problem: Problem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        class_weight: float = 0.0,
        members: int = 1,
        shrinkage: float | None = None,
        prior_examples: int = 60,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.training, self.class_weight = model, training, class_weight
        self.members, self.shrinkage, self.prior_examples = members, shrinkage, prior_examples
        self.encoders: list[nn.Module] = []
        self.priors: list[GaussianPrior | None] = []

    def fit(self) -> History:
        trained = [self._member(number) for number in range(self.members)]
        self.encoders = [encoder for encoder, _ in trained]
        self.priors = [
            None
            if self.shrinkage is None
            else fitted_prior(self.problem, encoder, self.shrinkage, self.prior_examples)
            for encoder in self.encoders
        ]
        return all_of([history for _, history in trained])

    def _member(self, number: int) -> tuple[nn.Module, History]:
        """Train one encoder, once for each problem."""
        key = ("prototypical", str(self.model), self.training, self.class_weight, number)
        if key not in self.problem.memo:
            seed_everything(self.problem.seed + number)
            encoder = self.problem.encoder(**self.model)
            head = nn.Linear(encoder.output_size, len(self.problem.train.classes))
            both = nn.ModuleList([encoder, head]).to(self.problem.device)
            self.encoders, self.priors = [encoder], [None]
            history = train(
                both,
                self.training,
                lambda step, progress: self._loss(encoder, head, step),
                lambda: self.validation_accuracy(self.training.validation_tasks),
                label=self.label if self.members == 1 else f"{self.label}: {number + 1}",
                tasks_per_step=self.training.tasks,
            )
            self.problem.memo[key] = (encoder, history)
        return self.problem.memo[key]

    def _loss(self, encoder: nn.Module, head: nn.Linear, step: int) -> tuple[Tensor, Tensor]:
        batch, classes = self.problem.training_batch(self.training, step)
        encoder.train()
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner = ProtoNet(nn.Identity(), self.training.ways).clone(tasks=len(batch))
        learner.write(support, batch.support_y)
        scores = learner(query)
        loss = cross_entropy(scores, batch.query_y).mean()
        if self.class_weight:
            labels = torch.cat([classes.support_y, classes.query_y], 1)
            loss = loss + self.class_weight * cross_entropy(head(vectors), labels).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def predict(self, batch: TaskBatch) -> Tensor:
        return prototype_scores(self.encoders, self.priors, batch, self.problem.spec.ways)


def prototype_scores(
    encoders: list[nn.Module],
    priors: Sequence[GaussianPrior | None],
    batch: TaskBatch,
    ways: int,
) -> Tensor:
    """Score the query by class means in each encoder's space, summed over the encoders."""
    total = torch.zeros((), device=batch.query_x.device)
    for encoder, prior in zip(encoders, priors, strict=True):
        encoder.eval()
        with torch.no_grad():
            learner = ProtoNet(encoder, ways, prior).clone(tasks=len(batch))
            learner.write(batch.support_x, batch.support_y)
            total = total + learner(batch.query_x)
    return total


def fitted_prior(
    problem: Problem, encoder: nn.Module, shrinkage: float, examples: int
) -> GaussianPrior:
    """Fit a `GaussianPrior` to an encoder's vectors of the meta-train classes.

    Args:
        problem: the tasks.
        encoder: the trained encoder.
        shrinkage: that of the prior.
        examples: at most how many of each class.
    """
    encoder.eval()
    seed_everything(problem.seed)
    items = problem.training_sample(examples)
    data = problem.train
    with torch.no_grad():
        vectors = torch.cat(
            [encoder(data.sequences[part].to(problem.device)) for part in items.split(500)]
        )
    prior = GaussianPrior(encoder.output_size, shrinkage).to(problem.device)
    return prior.fit(vectors, data.labels[items].to(problem.device))
