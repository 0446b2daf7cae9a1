"""Estimate of the rest of a run, from time limits at first and then from measured times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

from benchmarks.few_shot.spec import Entry

MEASURABLE = 0.05  # fraction of a training after which its speed tells its duration


def duration_text(seconds: float) -> str:
    """Format a duration, rounded up to seconds, minutes or tenths of an hour."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if seconds < 90 * 60:
        return f"{math.ceil(seconds / 60)} min"
    return f"{math.ceil(seconds / 360) / 10:.1f} h"


def time_limits(
    entries: Iterable[Entry], is_done: Callable[[str], bool] = lambda key: False
) -> dict[str, float]:
    """Return the time limits of each method's trainings in seconds, by label.

    A training that several methods share counts for the first of them.

    Args:
        entries: the methods, in the order in which they run.
        is_done: tells which trainings, by key, need not be done.
    """
    limits: dict[str, float] = {}
    seen: set[str] = set()
    for entry in entries:
        new = {k: t for k, t in entry.trainings.items() if k not in seen and not is_done(k)}
        seen |= set(new)
        limits[entry.label] = 60 * sum(training.minutes for training in new.values())
    return limits


class TimeLeft:
    """Time that the methods of a run still take.

    At first, only the time limits of the trainings are known. Measured times then tell what
    fraction of their limits trainings take, and what a method takes besides its trainings, which is
    mostly evaluation.

    Args:
        limits: the time limits of the trainings of each method to run, in seconds, by label.
        clock: returns the time in seconds.
    """

    def __init__(
        self, limits: Mapping[str, float], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._limits, self._clock = dict(limits), clock
        self._method_start = self._method_trained = self._method_limits = 0.0
        self._training_start: float | None = None
        self._training_limit = self._fraction = 0.0
        self._trained = self._trained_limits = 0.0  # total of all finished trainings
        self._others: list[float] = []  # what each finished method took besides its trainings

    @property
    def methods(self) -> int:
        """The number of methods that are not finished."""
        return len(self._limits)

    def start_method(self) -> None:
        """Begin the next method."""
        self._method_start, self._method_trained, self._method_limits = self._clock(), 0.0, 0.0

    def end_method(self, label: str) -> None:
        """Finish a method."""
        self._others.append(self._clock() - self._method_start - self._method_trained)
        del self._limits[label]
        self._method_limits = 0.0

    def start_training(self, limit: float) -> None:
        """Begin a training with a time limit in seconds."""
        self._training_start, self._training_limit, self._fraction = self._clock(), limit, 0.0
        self._method_limits += limit

    def train_until(self, fraction: float) -> None:
        """Record that this fraction of the present training is done."""
        self._fraction = fraction

    def end_training(self) -> None:
        """Finish the present training."""
        if self._training_start is not None:
            seconds = self._clock() - self._training_start
            self._method_trained += seconds
            self._trained += seconds
            self._trained_limits += self._training_limit
            self._training_start = None

    def training(self) -> tuple[float, bool]:
        """Return the seconds of training left, and whether they are more than a limit."""
        now, trained, limits = 0.0, self._trained, self._trained_limits
        if self._training_start is not None:
            elapsed, expected = self._clock() - self._training_start, self._training_limit
            if self._fraction >= MEASURABLE:
                expected = min(expected, elapsed / self._fraction)
                trained, limits = trained + expected, limits + self._training_limit
            now = max(0.0, expected - elapsed)
        later = max(0.0, sum(self._limits.values()) - self._method_limits)
        used = min(1.0, trained / limits) if limits else 1.0
        return now + used * later, bool(limits) or now + later == 0

    def other(self) -> float | None:
        """Return the seconds that are left besides trainings, or None if nothing is measured."""
        if not self._others:
            return None
        return self.methods * sum(self._others) / len(self._others)

    def __str__(self) -> str:
        """The time left, in words."""
        training, measured = self.training()
        other = self.other()
        if measured and other is not None:
            return f"about {duration_text(training + other)} left"
        if training == 0:
            return "no training left, only evaluation"
        evaluation = "evaluation" if other is None else f"{duration_text(other)} of evaluation"
        kind = "about" if measured else "at most"
        return f"{kind} {duration_text(training)} of training left, plus {evaluation}"

    @property
    def short(self) -> str:
        """The time left, in few words."""
        training, measured = self.training()
        return f"{'' if measured else '< '}{duration_text(training + (self.other() or 0))} left"
