"""Prototypical networks with a recurrent encoder."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.methods.method import Method
from benchmarks.problem import Problem, seed_everything
from benchmarks.spec import Training
from benchmarks.training import History, train
from l2l_rnn.algorithms import GaussianPrior, ProtoNet
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import SequenceEncoder


class SideBySide(nn.Module):
    """Several encoders whose vectors stand side by side, so that squared distances add up.

    Args:
        encoders: the encoders; their vectors may differ in size.

    Shapes:
        as the encoders, the last axis the sum of theirs.
    """

    def __init__(self, encoders: list[SequenceEncoder]) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(encoders)
        self.output_size = sum(encoder.output_size for encoder in encoders)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([encoder(x) for encoder in self.encoders], -1)


class MetaLearnedMetric(Method):
    """Meta-learns a space in which the class means of the support set classify the query.

    Entries of one spec that are trained alike share the trained encoders.

    Args:
        model: options of `SequenceEncoder`.
        training: how it is meta-trained; its ways may exceed the test tasks'.
        members: how many encoders are trained, from different seeds, and set side by side.
        shrinkage: that of the `GaussianPrior` which is fitted to the meta-train classes once the
            encoders are trained; None judges by the class means alone.
        prior_examples: at most how many examples of a meta-train class it is fitted to.
    """

    def __init__(
        self,
        problem: Problem,
        label: str,
        *,
        model: dict[str, Any],
        training: Training,
        members: int = 1,
        shrinkage: float | None = None,
        prior_examples: int = 60,
    ) -> None:
        super().__init__(problem, label)
        self.model, self.training, self.members = model, training, members
        self.shrinkage, self.prior_examples = shrinkage, prior_examples
        self.prior: GaussianPrior | None = None
        self.encoder: SequenceEncoder | SideBySide

    def fit(self) -> History:
        encoders, histories = zip(*map(self._member, range(self.members)), strict=True)
        self.encoder = encoders[0] if self.members == 1 else SideBySide(list(encoders))
        if self.shrinkage is not None:
            self.prior = fitted_prior(
                self.problem, self.encoder, self.shrinkage, self.prior_examples
            )
        seconds = sum(history.seconds for history in histories)
        return dataclasses.replace(histories[0], seconds=seconds)

    def _member(self, number: int) -> tuple[SequenceEncoder, History]:
        """Train one encoder, once for each problem."""
        key = ("prototypical", str(self.model), self.training, number)
        if key not in self.problem.memo:
            seed_everything(self.problem.seed + number)
            encoder = SequenceEncoder(vocab_size=self.problem.vocab_size, **self.model)
            self.encoder, self.prior = encoder.to(self.problem.device), None
            history = train(
                self.encoder,
                self.training,
                self._loss,
                lambda: self.validation_accuracy(self.training.validation_tasks),
                label=self.label if self.members == 1 else f"{self.label}: {number + 1}",
                tasks_per_step=self.training.tasks,
            )
            self.problem.memo[key] = (self.encoder, history)
        return self.problem.memo[key]

    def _loss(self, step: int) -> tuple[Tensor, Tensor]:
        batch = self.problem.training_batch(self.training, step)
        self.encoder.train()
        scores = self._scores(batch, self.training.ways)
        loss = cross_entropy(scores, batch.query_y).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def predict(self, batch: TaskBatch) -> Tensor:
        self.encoder.eval()
        with torch.no_grad():
            return self._scores(batch, self.problem.spec.ways)

    def _scores(self, batch: TaskBatch, ways: int) -> Tensor:
        learner = ProtoNet(self.encoder, ways, self.prior).clone(tasks=len(batch))
        learner.write(batch.support_x, batch.support_y)
        return learner(batch.query_x)


def fitted_prior(
    problem: Problem, encoder: SequenceEncoder | SideBySide, shrinkage: float, examples: int
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
