"""Baselines on the sentence vectors of all-MiniLM-L6-v2, which is not trained."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from l2l_rnn.checks import check_choice
from l2l_rnn.data import TaskBatch, encoder_pipeline
from l2l_rnn.errors import L2LRNNError
from l2l_rnn.models import FrozenEncoder, FrozenSentenceEncoder
from l2l_rnn.training import TextInputs

MINILM = "all-MiniLM-L6-v2"
MAX_LENGTH = 200  # word pieces
CLASSIFIERS = ("logistic regression", "class means")


def why_unavailable(
    texts: Iterable[str] = (),
    *,
    source: str = MINILM,
    cache: str | os.PathLike[str] | None = None,
    max_length: int = MAX_LENGTH,
) -> str | None:
    """Return why the sentence vectors of texts cannot be had here, or None if they can.

    Args:
        texts: the texts of the benchmark; none asks only for an encoder or a cache.
        source: the encoder.
        cache: folder of its states; None for one under `models.encoders_folder()`, which is
            ~/data/encoders or the environment variable L2L_RNN_ENCODERS.
        max_length: largest number of token ids of a text.
    """
    try:
        encoder = FrozenEncoder(source, cache=cache, max_length=max_length)
        texts = list(texts)
        if texts:
            encoder.check(_ids(encoder, texts))
    except L2LRNNError as error:
        return str(error)
    return None


def is_available(texts: Iterable[str] = (), **options: Any) -> bool:
    """Return whether the sentence vectors of texts can be had here, see `why_unavailable`."""
    return why_unavailable(texts, **options) is None


class SentenceVectors(ClassificationMethod):
    """Classifies the frozen sentence vectors of a pretrained encoder, without training tasks.

    Vectors are means of token states, scaled to norm 1. The states are read from a cache; those
    that are missing are computed, which needs the extra `encoders`.

    Args:
        classifier: `"logistic regression"`, fitted to each support set, or `"class means"`, the
            nearest mean.
        regularization: inverse strength C of the regression's penalty.
        source: the encoder.
        cache: folder of its states, as in `why_unavailable`.
        max_length: largest number of token ids of a text.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        classifier: str = "logistic regression",
        regularization: float = 1.0,
        source: str = MINILM,
        cache: str | os.PathLike[str] | None = None,
        max_length: int = MAX_LENGTH,
    ) -> None:
        super().__init__(problem, label)
        self.classifier = check_choice("SentenceVectors", "classifier", classifier, CLASSIFIERS)
        self.regularization = regularization
        self.encoder = FrozenEncoder(source, cache=cache, max_length=max_length)

    def predict(self, batch: TaskBatch) -> Tensor:
        raise TypeError("SentenceVectors: predict() requires raw strings; call accuracies()")

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        vectors = self.vectors(tasks)
        index = tasks.index
        scores = []
        for task in range(len(index)):
            support = vectors[index.support_x[task].flatten()]
            query = vectors[index.query_x[task].flatten()]
            predicted = self._predicted(support, index.support_y[task], query)
            scores.append((predicted == index.query_y[task]).double().mean())
        return torch.stack(scores)

    def vectors(self, tasks: EvaluationTasks) -> Tensor:
        """Return the vector of every item of the tasks' dataset, `(items, E)`."""
        key = ("sentence vectors", self.encoder.source, self.encoder.max_length, id(tasks.dataset))
        if key not in self.problem.memo:
            texts: list[str] = tasks.dataset.texts
            encode = FrozenSentenceEncoder(self.encoder)
            ids = _ids(self.encoder, texts)
            self.encoder.fill(ids)
            self.problem.memo[key] = torch.cat([encode(part) for part in ids.split(256)])
        return self.problem.memo[key]

    def _predicted(self, support: Tensor, y: Tensor, query: Tensor) -> Tensor:
        if self.classifier == "logistic regression":
            model = LogisticRegression(C=self.regularization, max_iter=1000)
            model.fit(support.numpy(), y.numpy())
            return torch.from_numpy(model.predict(query.numpy()))
        means = torch.stack([support[y == label].mean(0) for label in range(int(y.max()) + 1)])
        return torch.cdist(query, means).argmin(-1)


def _ids(encoder: FrozenEncoder, texts: list[str]) -> Tensor:
    inputs = TextInputs(encoder_pipeline(encoder), encoder.max_length, None, empty="unknown")
    return inputs(texts)
