"""Base class of the methods for translation."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from benchmarks import report
from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.translation_problem import (
    TranslationProblem,
    TranslationTasks,
    first_tasks,
)
from benchmarks.few_shot.text_measures import MEASURES, measures

_MOST_PAIRS = 1000  # support pairs of the tasks translated at once, which limits the memory


class TranslationMethod(Method):
    """Translates the queries of each task.

    The score is exact match. Character error rate and chrF are in the row of the result, as
    `measures`.
    """

    problem: TranslationProblem

    def __init__(self, problem: TranslationProblem, label: str) -> None:
        super().__init__(problem, label)
        self.measured: dict[str, dict[str, Any]] = {}

    @abstractmethod
    def translate(self, tasks: TranslationTasks, column: Pairs) -> list[list[str]]:
        """Translate the queries of each task."""

    def evaluate(self, column: Pairs) -> Tensor:
        tasks = self.problem.evaluation_tasks("test", column, self.problem.test_tasks)
        found = self.measures(tasks, column)
        self.measured[column.name] = {name: report.interval(found[name]) for name in MEASURES}
        return found["exact match"]

    def measures(self, tasks: TranslationTasks, column: Pairs) -> dict[str, Tensor]:
        """Return the measures of each task, `(N,)`, by name."""
        rows = []
        size = max(1, min(self.chunk, _MOST_PAIRS // column.pairs))
        for start in range(0, len(tasks), size):
            part = first_tasks(tasks, start, start + size)
            translations = self.translate(part, column)
            rows += [measures(*pair) for pair in zip(translations, part.references, strict=True)]
        return {
            name: torch.tensor([row[name] for row in rows], dtype=torch.float64)
            for name in MEASURES
        }

    def validation_score(self, tasks: int) -> float:
        """Return exact match minus a tenth of the character error rate, averaged over the columns.

        The error rate tells methods apart that translate nothing exactly yet.
        """
        total = 0.0
        for column in self.problem.columns:
            found = self.measures(
                self.problem.evaluation_tasks("validation", column, tasks), column
            )
            total += (found["exact match"] - 0.1 * found["character error rate"]).mean().item()
        return total / len(self.problem.columns)

    def texts(self, tokens: Tensor) -> list[list[str]]:
        """Return the texts of token ids `(N, B, T)`."""
        decode = self.problem.train.decode
        return [decode(task) for task in tokens]

    def details(self) -> dict[str, Any]:
        return {"measures": self.measured}
