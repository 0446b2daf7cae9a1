"""Prototypical networks with a recurrent encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from benchmarks.few_shot.methods.episodic import EpisodicMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.training import History, combined
from l2l_rnn.algorithms import EnsemblePrior, GaussianPrior, ProtoNet
from l2l_rnn.models import EncoderEnsemble


class ProtoNetMethod(EpisodicMethod):
    """Meta-learns features that classify the queries by the class means of the support set.

    Args:
        members: number of encoders, trained with different seeds; their scores are summed.
        shrinkage: shrinkage of the `GaussianPrior` that is fitted to each encoder's features of the
            training classes; None uses the class means without a prior.
        prior_examples: maximum number of examples per training class to fit the prior.
        episodic: options of `EpisodicMethod`.
    """

    kind = "prototypical"

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        members: int = 1,
        shrinkage: float | None = None,
        prior_examples: int = 60,
        **episodic: Any,
    ) -> None:
        super().__init__(problem, label, **episodic)
        self.members, self.shrinkage, self.prior_examples = members, shrinkage, prior_examples
        self.encoders: list[nn.Module] = []

    def train(self) -> History:
        several = self.members > 1
        trained = [
            self.member(
                self.training_options, n, f"{self.label}: {n + 1}" if several else self.label
            )
            for n in range(self.members)
        ]
        self.encoders = [encoder for encoder, _ in trained]
        priors = [
            None
            if self.shrinkage is None
            else problem_prior(self.problem, encoder, self.shrinkage, self.prior_examples)
            for encoder in self.encoders
        ]
        self.learner = prototype_learner(
            self.encoders, priors, self.problem.spec.ways, self.problem.centered_priors
        )
        return combined([history for _, history in trained])

    def make(self, encoder: nn.Module) -> nn.Module:
        return encoder

    def learner_of(self, made: nn.Module) -> ProtoNet:
        return prototype_learner([made], [None], self.problem.spec.ways)

    def episode_learner(self, made: nn.Module, tasks: int) -> tuple[nn.Module, ProtoNet]:
        return made, ProtoNet(nn.Identity(), self.training.most_ways).clone(tasks=tasks)


def prototype_learner(
    encoders: list[nn.Module],
    priors: Sequence[GaussianPrior | None],
    ways: int,
    center: bool = False,
) -> ProtoNet:
    """Return a ProtoNet that sums the scores of encoders with their priors, or without any.

    With `center`, the priors were fitted to vectors centered by group.
    """
    encoder = encoders[0] if len(encoders) == 1 else EncoderEnsemble(encoders)
    found = [prior for prior in priors if prior is not None]
    prior = EnsemblePrior(found) if len(found) > 1 else found[0] if found else None
    return ProtoNet(encoder, ways, prior, center and prior is not None)


def problem_prior(
    problem: ClassificationProblem, encoder: nn.Module, shrinkage: float, examples: int
) -> GaussianPrior:
    """Fit a `GaussianPrior` to an encoder's features of the training classes of a problem.

    Args:
        problem: the tasks.
        encoder: the trained encoder.
        shrinkage: shrinkage of the prior.
        examples: maximum number of examples per class.
    """
    return problem.prior(encoder, shrinkage, examples)
