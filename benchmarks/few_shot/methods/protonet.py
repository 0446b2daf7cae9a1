"""Prototypical networks with a recurrent encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem, ways_of
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, combined, run_training
from l2l_rnn.algorithms import EnsemblePrior, GaussianPrior, ProtoNet
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.models import EncoderEnsemble
from l2l_rnn.training import adapted


class ProtoNetMethod(ClassificationMethod):
    """Meta-learns features that classify the queries by the class means of the support set.

    Entries of one spec with the same training share the trained encoders.

    Args:
        model: options of the problem's encoder.
        training: settings of the meta-training; its ways may exceed those of the test tasks.
        class_weight: weight of a second training loss, the cross-entropy of a linear head over all
            training classes.
        members: number of encoders, trained with different seeds; their scores are summed.
        shrinkage: shrinkage of the `GaussianPrior` that is fitted to each encoder's features of the
            training classes; None uses the class means without a prior.
        prior_examples: maximum number of examples per training class to fit the prior.
    """

    has_learner = True

    def __init__(
        self,
        problem: ClassificationProblem,
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

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        model, training = options["model"], options["training"]
        class_weight, members = options.get("class_weight", 0.0), options.get("members", 1)
        return {_key(model, training, class_weight, n): training for n in range(members)}

    def train(self) -> History:
        trained = [self._member(number) for number in range(self.members)]
        self.encoders = [encoder for encoder, _ in trained]
        priors = [
            None
            if self.shrinkage is None
            else fitted_prior(self.problem, encoder, self.shrinkage, self.prior_examples)
            for encoder in self.encoders
        ]
        self.learner = prototype_learner(self.encoders, priors, self.problem.spec.ways)
        return combined([history for _, history in trained])

    def _member(self, number: int) -> tuple[nn.Module, History]:
        """Return an encoder and its history; entries with the same training share both."""
        seed = self.problem.seed + number

        def make() -> nn.ModuleList:
            seed_everything(seed)
            encoder = self.problem.encoder(**self.model)
            head = nn.Linear(encoder.output_size, len(self.problem.train.classes))
            return nn.ModuleList([encoder, head]).to(self.problem.device)

        def train(both: nn.ModuleList) -> History:
            encoder, head = both
            tasks = self.problem.training_tasks(self.training, seed)
            self.learner = prototype_learner([encoder], [None], self.problem.spec.ways)
            return run_training(
                both,
                self.training,
                lambda step, progress: self._loss(encoder, head, tasks.batch(step, progress)),
                lambda: self.validation_score(self.training.validation_tasks),
                label=self.label if self.members == 1 else f"{self.label}: {number + 1}",
                tasks_per_step=self.training.tasks,
            )

        key = _key(self.model, self.training, self.class_weight, number)
        both, history = self.problem.shared.get(key, make, train)
        return both[0], history

    def _loss(
        self, encoder: nn.Module, head: nn.Linear, batches: tuple[TaskBatch, TaskBatch]
    ) -> tuple[Tensor, Tensor]:
        batch, classes = batches
        encoder.train()
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner = ProtoNet(nn.Identity(), ways_of(batch)).clone(tasks=len(batch))
        learner.write(support, batch.support_y)
        scores = learner(query)
        loss = cross_entropy(scores, batch.query_y).mean()
        if self.class_weight:
            labels = torch.cat([classes.support_y, classes.query_y], 1)
            loss = loss + self.class_weight * cross_entropy(head(vectors), labels).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def encoder_place(self) -> tuple[nn.Module, str]:
        return self.learner, "module"

    def predict(self, batch: TaskBatch) -> Tensor:
        return prototype_scores(self.learner, batch)


def _key(model: dict[str, Any], training: Training, class_weight: float, number: int) -> str:
    """Return the key of an encoder in the problem's shared trainings."""
    return f"prototypical {model} {training} {class_weight} {number}"


def prototype_learner(
    encoders: list[nn.Module], priors: Sequence[GaussianPrior | None], ways: int
) -> ProtoNet:
    """Return a ProtoNet that sums the scores of encoders with their priors, or without any."""
    encoder = encoders[0] if len(encoders) == 1 else EncoderEnsemble(encoders)
    found = [prior for prior in priors if prior is not None]
    prior = EnsemblePrior(found) if len(found) > 1 else found[0] if found else None
    return ProtoNet(encoder, ways, prior)


def prototype_scores(learner: ProtoNet, batch: TaskBatch) -> Tensor:
    """Compute the scores of the queries by the class means of the support sets."""
    learner.eval()
    learner.ways, own = ways_of(batch), learner.ways
    try:
        with torch.no_grad():
            copy = adapted(learner, batch.support_x, batch.support_y, tasks=len(batch))
            return copy(batch.query_x)
    finally:
        learner.ways = own


def fitted_prior(
    problem: ClassificationProblem, encoder: nn.Module, shrinkage: float, examples: int
) -> GaussianPrior:
    """Fit a `GaussianPrior` to an encoder's features of the training classes.

    Args:
        problem: the tasks.
        encoder: the trained encoder.
        shrinkage: shrinkage of the prior.
        examples: maximum number of examples per class.
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
