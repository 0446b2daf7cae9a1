"""Methods over a pretrained encoder of texts that is not trained, such as MiniLM."""

from __future__ import annotations

import copy
import os
import re
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.baselines.sentence_vectors import MAX_LENGTH, MINILM
from benchmarks.few_shot.methods.episodic import support_scores
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.protonet import prototype_learner
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History
from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.data import SequenceDataset, TaskBatch, encoder_pipeline
from l2l_rnn.models import EncodedSequence, FrozenEncoder, FrozenSentenceEncoder, SequenceEncoder
from l2l_rnn.training import TextInputs, fitted_prior


class FrozenProblem(ClassificationProblem):
    """The items of another problem, as token ids of a frozen encoder whose states are cached.

    Args:
        problem: the other problem, whose items are texts.
        source, cache, max_length: as in `FrozenEncoder`.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        source: str,
        cache: str | os.PathLike[str] | None,
        max_length: int,
    ) -> None:
        self.__dict__ = copy.copy(problem.__dict__)
        for name in ("items", "input_options"):  # those of the other token ids
            self.__dict__.pop(name, None)
        self._evaluation_tasks: dict[Any, EvaluationTasks] = {}
        self.frozen = FrozenEncoder(source, cache=cache, max_length=max_length)
        for split in ("train", "validation", "test"):
            setattr(self, split, self._tokenized(getattr(problem, split)))

    def _tokenized(self, data: SequenceDataset) -> SequenceDataset:
        pipeline = encoder_pipeline(self.frozen)
        texts: list[str] = data.texts  # type: ignore[attr-defined]
        ids = TextInputs(pipeline, self.frozen.max_length, None, empty="unknown")(texts)
        self.frozen.fill(ids)
        found = SequenceDataset(ids, data.labels, data.classes)
        found.texts, found.vocabulary = texts, pipeline  # type: ignore[attr-defined]
        return found

    def encoder(self, **options: Any) -> nn.Module:
        """Make an encoder over the frozen one: a recurrent one, or without options the mean."""
        if not options:
            return FrozenSentenceEncoder(self.frozen)
        head = SequenceEncoder(input_size=self.frozen.output_size, **options)
        return EncodedSequence(self.frozen, head)


def frozen_problem(
    problem: ClassificationProblem,
    source: str = MINILM,
    cache: str | os.PathLike[str] | None = None,
    max_length: int = MAX_LENGTH,
) -> FrozenProblem:
    """Return a `FrozenProblem`; methods share it."""
    key = ("frozen", source, cache, max_length)
    if key not in problem.memo:
        problem.memo[key] = FrozenProblem(problem, source, cache, max_length)
    found: FrozenProblem = problem.memo[key]
    return found


class FrozenPrior(ClassificationMethod):
    """Classifies by the class means of frozen sentence vectors, with a Gaussian prior.

    Args:
        shrinkage: shrinkage of the `GaussianPrior`, fitted to the training classes; None uses the
            class means without a prior.
        prior_examples: maximum number of examples per training class to fit the prior.
        prior_classes: regular expression of the names of the training classes to fit it to.
        source, cache, max_length: as in `FrozenEncoder`.
    """

    has_learner = True
    learner: ProtoNet

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        shrinkage: float | None = None,
        prior_examples: int = 1000,
        prior_classes: str = ".*",
        **encoder: Any,
    ) -> None:
        super().__init__(frozen_problem(problem, **encoder), label)
        self.shrinkage, self.prior_examples = shrinkage, prior_examples
        self.prior_classes = prior_classes

    def train(self) -> None:
        encoder, prior = self.problem.encoder(), None
        if self.shrinkage is not None:
            data = self.problem.train
            wanted = [bool(re.fullmatch(self.prior_classes, name)) for name in data.classes]
            items = torch.tensor(wanted)[data.labels]
            some = SequenceDataset(data.sequences[items], data.labels[items], data.classes)
            examples, seed = self.prior_examples, self.problem.seed
            prior = fitted_prior(encoder, some, self.shrinkage, examples, seed)
        self.learner = prototype_learner([encoder], [prior], self.problem.spec.ways)

    def predict(self, batch: TaskBatch) -> Tensor:
        return support_scores(self.learner, batch)

    def encoder_place(self) -> tuple[ProtoNet, str]:
        return self.learner, "module"


class OverFrozenEncoder(ClassificationMethod):
    """Another method whose encoder reads the states of a frozen encoder.

    Args:
        method: the other method, such as `ClosedFormMethod`.
        options: its options.
        source, cache, max_length: as in `FrozenEncoder`.
    """

    has_learner = True

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        method: Any,
        options: dict[str, Any],
        **encoder: Any,
    ) -> None:
        super().__init__(frozen_problem(problem, **encoder), label)
        self.method: ClassificationMethod = method(self.problem, label, **options)

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        found: dict[str, Training] = options["method"].trainings(options["options"])
        return found

    def train(self) -> History | None:
        history = self.method.train()
        self.learner, self.adaptation_steps = self.method.learner, self.method.adaptation_steps
        return history

    def predict(self, batch: TaskBatch) -> Tensor:
        return self.method.predict(batch)

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        return self.method.accuracies(tasks)
