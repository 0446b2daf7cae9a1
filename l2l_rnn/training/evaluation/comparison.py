"""Paired comparison of two learners on the same tasks."""

from __future__ import annotations

from dataclasses import dataclass

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.training.evaluation.evaluation import Evaluation
from l2l_rnn.training.evaluation.intervals import confidence_interval


@dataclass(frozen=True)
class Comparison:
    """The paired difference of two evaluations on the same tasks, the first minus the second.

    Attributes:
        score: the name of the score.
        differences: the difference on each task.
    """

    score: str
    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean difference."""
        return confidence_interval(self.differences)[0]

    @property
    def ci95(self) -> float:
        """Half the width of the 95% confidence interval of the mean difference."""
        return confidence_interval(self.differences)[1]

    @property
    def significant(self) -> bool:
        """Whether the interval excludes 0."""
        return abs(self.mean) > self.ci95

    def __str__(self) -> str:
        verdict = "differ" if self.significant else "no significant difference"
        return (
            f"{self.score}: {self.mean:+.4g} ± {self.ci95:.2g} (95% interval of the paired "
            f"difference, {len(self.differences)} tasks; {verdict})"
        )


def compare(a: Evaluation, b: Evaluation, score: str | None = None) -> Comparison:
    """Compute the paired difference of two evaluations, `a - b`, with its 95% interval.

    Both learners have seen the same tasks, so the difficulty of the tasks cancels, and the interval
    is narrower than those of the two means.

    Args:
        a, b: evaluations on the same tasks: the same task set, shots, queries, ways, number of
            tasks and seed.
        score: the name of the score to compare; None takes the first one of `a`.

    Raises:
        ArgumentTypeError: an argument is not an `Evaluation`.
        ArgumentError: the tasks differ, or an evaluation does not have the score.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> from l2l_rnn.tasksets import Sinusoids
        >>> from l2l_rnn.training import evaluate
        >>> from torch import nn
        >>> maml = MAML(nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)), lr=0.05)
        >>> one, five = (evaluate(maml, Sinusoids(), 10, 40, queries=10, steps=n) for n in (1, 5))
        >>> compare(five, one).score
        'error'
    """
    for evaluation in (a, b):
        if not isinstance(evaluation, Evaluation):
            raise ArgumentTypeError(
                "compare: a and b must be what evaluate() returned, got "
                f"{type(evaluation).__name__}; call evaluate first"
            )
    name = a.score if score is None else score
    for evaluation in (a, b):
        if name not in evaluation.per_task:
            raise ArgumentError(
                f"compare: both evaluations must have the score {name!r}, got "
                f"{', '.join(evaluation.per_task)}; evaluate with score={name!r}"
            )
    if a.fingerprint != b.fingerprint:
        settings = ("taskset", "shots", "queries", "ways", "tasks", "seed", "imbalanced")
        found = [
            f"{n}={a.settings.get(n)!r} and {b.settings.get(n)!r}"
            for n in settings
            if a.settings.get(n) != b.settings.get(n)
        ]
        raise ArgumentError(
            "compare: both learners must be evaluated on the same tasks, got "
            f"{', '.join(found) or 'tasks of other data'}; evaluate them with the same arguments"
        )
    pairs = zip(a.per_task[name], b.per_task[name], strict=True)
    return Comparison(name, tuple(one - other for one, other in pairs))
