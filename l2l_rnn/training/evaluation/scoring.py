"""Scoring of predictions by name, with checks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from l2l_rnn.algorithms.inner_loop.checks import listed
from l2l_rnn.data import TaskBatch
from l2l_rnn.errors import AdaptationError, ArgumentError, ShapeError
from l2l_rnn.training.evaluation.metrics import METRICS, Score
from l2l_rnn.training.evaluation.tasks import EvaluationTasks, check_tasks, has_classes
from l2l_rnn.training.learning.non_finite import invalid_data
from l2l_rnn.training.per_task import PerTask


class Scorer:
    """Computes the scores of predictions by name.

    Args:
        who: begins error messages.
        drawn: the tasks.
        score: as in `evaluate`.
    """

    def __init__(
        self, who: str, drawn: EvaluationTasks, score: str | Score | Sequence[str | Score] | None
    ) -> None:
        y, family = drawn.first.query_y, drawn.family
        self.classes = has_classes(y)
        check_tasks(who, drawn.first, self.classes)
        if score is None:
            score = "accuracy" if self.classes else "mse" if family is None else "error"
        chosen = [score] if isinstance(score, str) or callable(score) else list(score)
        if not chosen:
            raise ArgumentError(f"{who}: score must name a score, got {score!r}; leave it out")
        self.functions: dict[str, Score] = {}
        for one in chosen:
            if callable(one):
                name = getattr(one, "__name__", type(one).__name__)
                self.functions[name] = PerTask(one, who, f"score {name!r}")
            elif one == "error" and family is not None:
                self.functions[one] = PerTask(family.error, who, "score 'error'")
            else:
                metric = METRICS[one]
                if metric.of_classes != self.classes:
                    known = [n for n, m in METRICS.items() if m.of_classes == self.classes]
                    known += [] if family is None else ["error"]
                    kinds = "classes" if metric.of_classes else "numbers"
                    raise ArgumentError(
                        f"{who}: score {one!r} needs targets that are {kinds}, got {y.dtype} "
                        f"targets of shape {tuple(y.shape[1:])}; use {' or '.join(known)}"
                    )
                self.functions[one] = metric.function

    def __call__(self, who: str, outputs: Tensor, batch: TaskBatch, first: int) -> list[Tensor]:
        """Return each score of each task, `(N,)`; `first` is the number of the first task.

        Raises:
            AdaptationError: an output or a score is NaN or infinite.
            ShapeError: a score does not have one value for each task.
        """
        y, mask, found = batch.query_y, batch.query_mask, []
        bad = outputs.isnan().flatten(2).any(-1)
        _check_finite(who, "outputs", (bad if mask is None else bad & mask).any(1), first, batch)
        for name, function in self.functions.items():
            values = function(outputs, y, mask)
            if not isinstance(values, Tensor) or values.shape != (len(batch),):
                came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
                raise ShapeError(
                    f"{who}: score {name!r} must return one value for each of {len(batch)} tasks, "
                    f"({len(batch)},), got {came}; take means over rows, not over tasks"
                )
            _check_finite(who, f"scores {name!r}", ~values.isfinite(), first, batch)
            found.append(values.detach().double().cpu())
        return found


def _check_finite(who: str, what: str, bad: Tensor, first: int, batch: TaskBatch) -> None:
    which = bad.nonzero().flatten().tolist()
    if which:
        numbers = listed([first + n for n in which])
        data = next(invalid_data(batch.slice(which[0], which[0] + 1)), None)
        entry = "" if data is None else f" ({data} in task {first + which[0]})"
        raise AdaptationError(
            f"{who}: the {what} of task {numbers} are NaN or infinite{entry}; lower lr, take fewer "
            "steps, or check the inputs"
        )
