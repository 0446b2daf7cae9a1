"""Scores over the number of adaptation steps, and over the number of shots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from l2l_rnn.algorithms.saving import outside_inference_mode
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError
from l2l_rnn.training.evaluation.evaluation import Evaluation
from l2l_rnn.training.evaluation.metrics import Score
from l2l_rnn.training.evaluation.runs import Run, check_learner
from l2l_rnn.training.evaluation.scoring import Scorer
from l2l_rnn.training.evaluation.tasks import EvaluationTasks
from l2l_rnn.training.per_task import Loss


@dataclass(frozen=True)
class Curve:
    """Evaluations of a learner over a number of steps or shots.

    Attributes:
        axis: `"steps"` or `"shots"`.
        values: the numbers of steps or shots, in ascending order.
        evaluations: the evaluation for each of them; `compare` takes any two of a curve over steps.
    """

    axis: str
    values: tuple[int, ...]
    evaluations: tuple[Evaluation, ...]

    @property
    def means(self) -> tuple[float, ...]:
        """The mean of the first score for each value."""
        return tuple(evaluation.mean for evaluation in self.evaluations)

    @property
    def ci95(self) -> tuple[float, ...]:
        """Half the widths of the 95% confidence intervals of `means`."""
        return tuple(evaluation.ci95 for evaluation in self.evaluations)

    def __str__(self) -> str:
        score = self.evaluations[0].score
        rows = zip(self.values, self.means, self.ci95, strict=True)
        lines = [f"{value:>5}  {mean:.3f} ± {half:.3f}" for value, mean, half in rows]
        return "\n".join([f"{self.axis:>5}  {score}", *lines])

    def to_json(self) -> dict[str, Any]:
        """Return the curve as JSON values; see `Evaluation.to_json`."""
        evaluations = [evaluation.to_json() for evaluation in self.evaluations]
        return {"axis": self.axis, "values": list(self.values), "evaluations": evaluations}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Curve:
        """Return the curve that `to_json` described.

        Raises:
            ArgumentError: the values do not come from `to_json`.
        """
        try:
            evaluations = tuple(map(Evaluation.from_json, values["evaluations"]))
            return cls(str(values["axis"]), tuple(map(int, values["values"])), evaluations)
        except (KeyError, TypeError, ValueError) as error:
            raise ArgumentError(
                "Curve.from_json: values must come from to_json(), got something else "
                f"({type(error).__name__}: {error}); save the curve again"
            ) from error


def adaptation_curve(
    learner: nn.Module,
    taskset: Any,
    shots: Any = None,
    steps: Iterable[int] = range(11),
    tasks: int = 600,
    *,
    ways: Any = None,
    queries: Any = None,
    imbalanced: bool = False,
    loss: Loss | None = None,
    score: str | Score | Sequence[str | Score] | None = None,
    seed: int = 0,
    tasks_at_once: int = 50,
    device: torch.device | str | None = None,
) -> Curve:
    """Evaluate a learner after each of several numbers of steps, in one pass over the tasks.

    Args:
        steps: numbers of gradient steps, or of writes of a `MemoryLearner`. With 0, the learner is
            evaluated before it adapts; the head of a `ProtoMAML` is then set to the class means. A
            `ProtoNet`, `R2D2` or `LRD2` adapts in a single step.
        learner, taskset, shots, tasks, ways, queries, imbalanced: as in `evaluate`.
        loss, score, seed, tasks_at_once, device: as in `evaluate`.

    Returns:
        A curve of the evaluations that `evaluate` gives for each number of steps; their time is
        that of the whole pass.

    Raises:
        ArgumentError: `steps` is empty or has something other than non-negative integers.
        other errors: as in `evaluate`.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> from l2l_rnn.tasksets import Sinusoids
        >>> maml = MAML(nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)), lr=0.01)
        >>> curve = adaptation_curve(maml, Sinusoids(), 10, steps=(0, 1, 5), tasks=20, queries=10)
        >>> curve.values, [evaluation.tasks for evaluation in curve.evaluations]
        ((0, 1, 5), [20, 20, 20])
    """
    who = "adaptation_curve"
    chosen = _numbers(who, "steps", steps, least=0)
    size = check_int(who, "tasks_at_once", tasks_at_once)
    check_learner(who, learner)
    with outside_inference_mode():
        drawn = EvaluationTasks(who, taskset, shots, tasks, ways, queries, seed, imbalanced)
        scorer = Scorer(who, drawn, score)
        run = Run(who, learner, drawn, scorer, max(chosen[-1], 1), loss, size, device, chosen)
        found, seconds = run.scores()
    evaluations = [
        Evaluation(scores, seconds, drawn.fingerprint, {**run.settings, "steps": value})
        for value, scores in zip(chosen, found, strict=True)
    ]
    return Curve("steps", tuple(chosen), tuple(evaluations))


def shots_curve(
    learner: nn.Module,
    taskset: Any,
    shots: Iterable[int] = (1, 2, 5, 10, 20),
    tasks: int = 600,
    *,
    ways: Any = None,
    queries: Any = None,
    imbalanced: bool = False,
    steps: int | None = None,
    loss: Loss | None = None,
    score: str | Score | Sequence[str | Score] | None = None,
    seed: int = 0,
    tasks_at_once: int = 50,
    device: torch.device | str | None = None,
) -> Curve:
    """Evaluate a learner with each of several numbers of shots.

    The tasks have the same classes and the same query sets for all shots, and the support set of
    fewer shots is a part of that of more shots. The curve is therefore smoother than separate
    evaluations.

    Args:
        shots: numbers of support examples per class, or per task if there are no classes. A task
            set must have more samples than the largest one.
        learner, tasks, ways, queries, imbalanced, steps: as in `evaluate`.
        taskset: as in `evaluate`, but neither a `TaskLoader` nor a `TaskBatch`.
        loss, score, seed, tasks_at_once, device: as in `evaluate`.

    Raises:
        ArgumentError: `shots` is empty or has something other than positive integers.
        other errors: as in `evaluate`.

    Example:
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> from l2l_rnn.tasksets import DelayedRecall
        >>> learner = ProtoNet(nn.Flatten(-2), ways=5)
        >>> curve = shots_curve(learner, DelayedRecall(lag=2), (1, 5), tasks=20, queries=3)
        >>> curve.axis, curve.values
        ('shots', (1, 5))
    """
    who = "shots_curve"
    chosen = _numbers(who, "shots", shots, least=1)
    size = check_int(who, "tasks_at_once", tasks_at_once)
    check_learner(who, learner)
    evaluations = []
    for value in chosen:
        with outside_inference_mode():
            drawn = EvaluationTasks(
                who, taskset, chosen[-1], tasks, ways, queries, seed, imbalanced, first_shots=value
            )
            run = Run(who, learner, drawn, Scorer(who, drawn, score), steps, loss, size, device)
            found, seconds = run.scores()
        evaluations.append(Evaluation(found[0], seconds, drawn.fingerprint, run.settings))
    return Curve("shots", tuple(chosen), tuple(evaluations))


def _numbers(who: str, name: str, values: Iterable[int], least: int) -> list[int]:
    """Return numbers in ascending order."""
    try:
        numbers = sorted({check_int(who, name, value, least=least) for value in values})
    except TypeError:
        numbers = []
    if not numbers:
        raise ArgumentError(
            f"{who}: {name} must be a list of integers, got {values!r}; pass several, such as "
            f"{name}=(1, 5)"
        )
    return numbers
