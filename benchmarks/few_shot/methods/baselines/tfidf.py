"""Classic text baseline: TF-IDF weights of n-grams and logistic regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import normalize
from torch import Tensor

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from l2l_rnn.data import TaskBatch

Vectors = Any  # a sparse matrix, (texts, n-grams)


class NgramRegression(ClassificationMethod):
    """Fits TF-IDF weights and a logistic regression to each support set, without training tasks.

    Args:
        longest: length of the longest n-gram, in characters or words.
        analyzer: `"char"`, `"char_wb"` for characters within words, or `"word"`.
        lowercase: whether to lowercase the text.
        regularization: inverse strength C of the regression's penalty.
        sublinear: whether a count enters as `1 + log(count)`.
        stop_words: `"english"` ignores frequent English words.
        training_idf: whether the frequencies of n-grams are those of the training texts and the
            support set together, instead of the support set alone.
        idf_power: exponent of the inverse document frequencies of the training texts.
    """

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        longest: int = 3,
        analyzer: str = "char",
        lowercase: bool = False,
        regularization: float = 1.0,
        sublinear: bool = False,
        stop_words: str | None = None,
        training_idf: bool = False,
        idf_power: float = 1.0,
    ) -> None:
        super().__init__(problem, label)
        self.regularization, self.sublinear = regularization, sublinear
        self.training_idf, self.idf_power = training_idf, idf_power
        self.options = {
            "analyzer": analyzer,
            "ngram_range": (1, longest),
            "lowercase": lowercase,
            "stop_words": stop_words,
        }

    def predict(self, batch: TaskBatch) -> Tensor:
        raise TypeError("NgramRegression: predict() requires raw strings; call accuracies()")

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        scores = []
        index = tasks.index
        vectors = self._with_training_idf if self.training_idf else self._with_own_idf
        for task in range(len(index)):
            texts = (tasks.texts(index.support_x[task]), tasks.texts(index.query_x[task]))
            support, query = vectors(*texts)
            model = LogisticRegression(C=self.regularization, max_iter=1000)
            model.fit(support, index.support_y[task].numpy())
            scores.append(model.score(query, index.query_y[task].numpy()))
        return torch.tensor(scores)

    def _with_own_idf(self, support: list[str], query: list[str]) -> tuple[Vectors, Vectors]:
        vectorizer = TfidfVectorizer(sublinear_tf=self.sublinear, **self.options)
        return vectorizer.fit_transform(support), vectorizer.transform(query)

    def _with_training_idf(self, support: list[str], query: list[str]) -> tuple[Vectors, Vectors]:
        texts, counts = self._training_counts()
        vectorizer = CountVectorizer(**self.options)
        found = [vectorizer.fit_transform(support), vectorizer.transform(query)]
        own = np.asarray((found[0] > 0).sum(0)).ravel()
        known = np.array([counts.get(ngram, 0) for ngram in vectorizer.get_feature_names_out()])
        idf = 1 + np.log((1 + texts + len(support)) / (1 + known + own))
        for part in found:
            part.data = 1 + np.log(part.data) if self.sublinear else part.data.astype(float)
        weighted = [normalize(part.multiply(idf**self.idf_power).tocsr()) for part in found]
        return weighted[0], weighted[1]

    def _training_counts(self) -> tuple[int, dict[str, int]]:
        """Return the number of training texts, and in how many each n-gram occurs."""
        key = ("n-gram counts", str(self.options))
        memo = self.problem.memo
        if key not in memo:
            vectorizer = CountVectorizer(binary=True, **self.options)
            totals = np.asarray(vectorizer.fit_transform(self.problem.train.texts).sum(0)).ravel()
            names = vectorizer.get_feature_names_out()
            memo[key] = dict(zip(names, totals.tolist(), strict=True))
        return len(self.problem.train), memo[key]
