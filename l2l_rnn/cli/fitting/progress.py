"""Progress of a training run: lines on stderr and a history of validations."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from l2l_rnn.cli.output import log
from l2l_rnn.files import write_json
from l2l_rnn.optional import require

_lightning: Any = require("pytorch_lightning", extra="training", purpose="l2l-rnn fit")


class Progress(_lightning.Callback):
    """Logs steps, validations and the time left; works with and without a terminal.

    Args:
        folder: where `history.json` is written after each validation.
        steps: steps of the whole training.
        score: name of the score, for the lines.
        every: seconds between two lines.
    """

    def __init__(self, folder: Path, steps: int, score: str, every: float = 10.0) -> None:
        self.folder, self.steps, self.score, self.every = folder, steps, score, every
        self.history: list[dict[str, Any]] = []
        self._before = 0.0  # seconds of training before this process
        self._start = self._last = time.monotonic()
        self._first_step = 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start the clock."""
        self._start = time.monotonic()
        self._last = self._start + 2 - self.every  # the first line comes after 2 seconds
        self._first_step = int(trainer.global_step)

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Log a line if it is time to."""
        now = time.monotonic()
        if now - self._last >= self.every:
            self._last = now
            log(f"{self._at(trainer)}{self._left(trainer)}")

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the scores, and add them to the history."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = self._before + time.monotonic() - self._start
        row = {"step": int(trainer.global_step), **metrics, "seconds": round(seconds, 2)}
        self.history.append(row)
        write_json(self.folder / "history.json", {"validations": self.history}, indent=1)
        self._last = time.monotonic()
        log(
            f"{self._at(trainer)}, validation {self.score} {row['val_score']:.4g}"
            f"{self._left(trainer)}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the history and the time."""
        seconds = self._before + time.monotonic() - self._start
        return {"history": self.history, "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue a history."""
        self.history = [dict(row) for row in state_dict["history"]]
        self._before = float(state_dict["seconds"])

    def _at(self, trainer: Any) -> str:
        loss = trainer.callback_metrics.get("train_loss")
        text = "" if loss is None else f": loss {float(loss):.4g}"
        return f"step {trainer.global_step} of {self.steps}{text}"

    def _left(self, trainer: Any) -> str:
        done = int(trainer.global_step) - self._first_step
        if done < 1 or trainer.global_step >= self.steps:
            return ""
        seconds = (time.monotonic() - self._start) / done * (self.steps - trainer.global_step)
        return f", {_duration(seconds)} left"


def _duration(seconds: float) -> str:
    """Return a duration for people.

    Example:
        >>> _duration(5), _duration(125), _duration(7300)
        ('5 s', '2 min 5 s', '2 h 1 min')
    """
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
