"""Progress of a run on stderr: which method of how many, and how long the rest takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from tqdm import tqdm

from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.time_left import TimeLeft

SECONDS_PER_LINE = 30.0  # between two lines about a training, if stderr is not a terminal


class Progress:
    """Prints a line when a method starts, and when its evaluation starts.

    Args:
        left: the time left.
        methods: number of methods, with those that are already finished.
    """

    current: ClassVar[Progress | None] = None  # the run that a `TrainingBar` belongs to

    def __init__(self, left: TimeLeft, methods: int) -> None:
        self.left, self.methods = left, methods

    @contextmanager
    def method(self, label: str) -> Iterator[None]:
        """Run a method in the block."""
        self.left.start_method()
        Progress.current = self
        self.say(f"{label}: {self.left}")
        try:
            yield
        finally:
            Progress.current = None
        self.left.end_method(label)

    @property
    def number(self) -> str:
        """The number of the present method, such as `2/9`."""
        return f"{self.methods - self.left.methods + 1}/{self.methods}"

    def say(self, text: str) -> None:
        """Print a line with the number of the present method."""
        print(f"[{self.number}] {text}", file=sys.stderr, flush=True)


class TrainingBar:
    """Progress of a training: a bar in a terminal, and a line every half minute elsewhere.

    Args:
        label: what is trained.
        training: its settings.
        tasks_per_step: number of tasks per step.
    """

    def __init__(self, label: str, training: Training, tasks_per_step: int) -> None:
        self.label, self.training = label, training
        self.total, self.done = training.steps * tasks_per_step, 0
        self.progress = Progress.current
        self.terminal = sys.stderr.isatty()
        self.bar = tqdm(
            total=self.total,
            desc=label,
            unit="task",
            dynamic_ncols=True,
            disable=not self.terminal,
        )
        self.shown: dict[str, str] = {}
        self._said = time.perf_counter()

    def __enter__(self) -> Self:
        if self.progress is not None:
            self.progress.left.start_training(60 * self.training.minutes)
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        if self.progress is not None:
            self.progress.left.end_training()

    def set_postfix(self, shown: dict[str, Any]) -> None:
        """Show these values with the progress."""
        self.shown = shown
        self.bar.set_postfix(shown)

    def update(self, tasks: int) -> None:
        """Count tasks as done."""
        self.done += tasks
        if self.progress is not None:
            self.progress.left.train_until(self.done / self.total)
        waits = 1.0 if self.terminal else SECONDS_PER_LINE
        if time.perf_counter() - self._said > waits:
            self._said = time.perf_counter()
            self._say()
        self.bar.update(tasks)

    def _say(self) -> None:
        if self.progress is None:
            return
        if self.terminal:
            text = f"[{self.progress.number}, {self.progress.left.short}] {self.label}"
            self.bar.set_description(text, refresh=False)
            return
        values = "".join(f", {name} {value}" for name, value in self.shown.items())
        self.progress.say(
            f"{self.label}: {self.done / self.total:.0%} trained{values}; {self.progress.left}"
        )
