"""The classic baseline: character n-grams, TF-IDF weights, logistic regression."""

from __future__ import annotations

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmarks.few_shot.methods.method import Classification
from benchmarks.few_shot.problems.problem import Episodes, Problem
from l2l_rnn.data import TaskBatch


class NgramRegression(Classification):
    """Fits TF-IDF weights and a logistic regression on each support set, and sees no other class.

    Args:
        longest: the longest n-gram, in characters.
        lowercase: whether case is dropped.
        regularisation: the inverse strength C of the regression's penalty.
    """

    def __init__(
        self,
        problem: Problem,
        label: str,
        *,
        longest: int = 3,
        lowercase: bool = False,
        regularisation: float = 1.0,
    ) -> None:
        super().__init__(problem, label)
        self.longest, self.lowercase = longest, lowercase
        self.regularisation = regularisation

    def predict(self, batch: TaskBatch) -> Tensor:
        raise TypeError("NgramRegression reads raw strings: call accuracies")

    def accuracies(self, episodes: Episodes) -> Tensor:
        scores = []
        index = episodes.index
        for task in range(len(index)):
            vectorizer = TfidfVectorizer(
                analyzer="char", ngram_range=(1, self.longest), lowercase=self.lowercase
            )
            support = vectorizer.fit_transform(episodes.texts(index.support_x[task]))
            model = LogisticRegression(C=self.regularisation, max_iter=1000)
            model.fit(support, index.support_y[task].numpy())
            query = vectorizer.transform(episodes.texts(index.query_x[task]))
            scores.append(model.score(query, index.query_y[task].numpy()))
        return torch.tensor(scores)
