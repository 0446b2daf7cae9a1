"""Distributional signatures joined with classical features of words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from benchmarks.few_shot.methods.baselines.sentence_vectors import MINILM
from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.methods.signatures import IdfMeans, SignaturesMethod, idf, word_table
from benchmarks.few_shot.methods.stacked import StackedMethod
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History
from l2l_rnn.algorithms import LRD2, R2D2, StackedLearner, TfIdfLearner
from l2l_rnn.data import TaskBatch


class JoinedSignatures(StackedMethod):
    """Combines distributional signatures, regressions of IDF-weighted means, and TF-IDF.

    The weights of all four, as a function of shots, are learned on tasks of the validation classes.

    Args:
        vectors, training, options: as in `SignaturesMethod`, whose training is shared.
        ngrams, regularization, sublinear_tf, shots, validation_tasks: as in `StackedMethod`.
    """

    chunk = 4  # the vectors of all words of a task take 60 MB

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        vectors: str = MINILM,
        training: Training,
        options: dict[str, Any] | None = None,
        **stacked: Any,
    ) -> None:
        super().__init__(problem, label, base="signatures", options={}, **stacked)
        self.signatures = SignaturesMethod(
            problem, label, vectors=vectors, training=training, options=options
        )

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        names = ("vectors", "training", "options")
        return SignaturesMethod.trainings({n: options[n] for n in names if n in options})

    def train(self) -> History:
        history = self.signatures.train()
        problem, ways = self.problem, self.problem.spec.ways
        means = IdfMeans(word_table(problem, self.signatures.vectors), idf(problem))
        heads = [R2D2(nn.Identity(), ways), LRD2(nn.Identity(), ways, 0.1)]
        tfidf = TfIdfLearner(ways, self.ngrams, self.regularization, sublinear_tf=self.sublinear_tf)
        tfidf.fit_background(problem.train)
        learner = StackedLearner(means, ways, heads, [self.signatures.learner, tfidf])
        self.learner = learner.to(problem.device).eval()
        self._fit_weights()
        return history

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        return ClassificationMethod.accuracies(self, tasks)

    def _fit_weights(self) -> None:
        sequences = self.problem.validation.sequences
        batches = [self._validation_batch(self.problem.spec.ways, k) for k in self.shots]
        tasks = [task for batch in batches if batch is not None for task in batch.chunks(1)]
        self.learner.fit_weights(sequences_of(sequences, task) for task in tasks)


def sequences_of(sequences: Tensor, items: TaskBatch) -> TaskBatch:
    """Return tasks of sequences, from tasks of their numbers `(N, B, 1)`."""
    support, query = (sequences[x.squeeze(-1)] for x in (items.support_x, items.query_x))
    return replace(items, support_x=support, query_x=query)
