"""Classic text baseline: TF-IDF weights of n-grams and logistic regression."""

from __future__ import annotations

import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import (
    ClassificationProblem,
    EvaluationTasks,
)
from l2l_rnn.data import TaskBatch


class NgramRegression(ClassificationMethod):
    """Fits TF-IDF weights and a logistic regression to each support set, without training tasks.

    Args:
        longest: length of the longest n-gram, in characters or words.
        analyzer: `"char"`, `"char_wb"` for characters within words, or `"word"`.
        lowercase: whether to lowercase the text.
        regularization: inverse strength C of the regression's penalty.
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
    ) -> None:
        super().__init__(problem, label)
        self.longest, self.analyzer, self.lowercase = longest, analyzer, lowercase
        self.regularization = regularization

    def predict(self, batch: TaskBatch) -> Tensor:
        raise TypeError("NgramRegression: predict() requires raw strings; call accuracies()")

    def accuracies(self, tasks: EvaluationTasks) -> Tensor:
        scores = []
        index = tasks.index
        for task in range(len(index)):
            vectorizer = TfidfVectorizer(
                analyzer=self.analyzer, ngram_range=(1, self.longest), lowercase=self.lowercase
            )
            support = vectorizer.fit_transform(tasks.texts(index.support_x[task]))
            model = LogisticRegression(C=self.regularization, max_iter=1000)
            model.fit(support, index.support_y[task].numpy())
            query = vectorizer.transform(tasks.texts(index.query_x[task]))
            scores.append(model.score(query, index.query_y[task].numpy()))
        return torch.tensor(scores)
