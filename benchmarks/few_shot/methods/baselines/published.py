"""Scores from a paper, shown beside the measured ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from benchmarks.few_shot.methods.method import Method


class PublishedScores(Method):
    """Scores that were published for other tasks of the same kind; nothing is run.

    They are marked in tables and figures, and never compared with measured scores.

    Args:
        scores: the scores, by name of the column.
        source: authors, year, and where the numbers stand.
    """

    def __init__(self, problem: Any, label: str, *, scores: dict[str, float], source: str) -> None:
        super().__init__(problem, label)
        self.scores, self.source = scores, source

    def evaluate(self, column: Any) -> Tensor:
        raise TypeError("PublishedScores: there are no test tasks; read the attribute scores")

    def details(self) -> dict[str, Any]:
        return {"source": self.source}
