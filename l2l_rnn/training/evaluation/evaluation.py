"""The result of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.errors import ArgumentError
from l2l_rnn.training.evaluation.intervals import confidence_interval

_FORMAT = "l2l_rnn evaluation 1"


@dataclass(frozen=True)
class Evaluation:
    """The scores of a learner on tasks, with 95% confidence intervals of their means.

    Attributes:
        per_task: the score of each task, by the name of the score.
        seconds_per_task: the mean time to adapt to a task and to predict its query set.
        fingerprint: identifies the tasks; `compare` checks it.
        settings: the arguments of the evaluation and the kind of learner, as JSON.

    Example:
        >>> evaluation = Evaluation({"accuracy": (0.5, 0.75, 1.0)}, 0.01, "", {"shots": 5})
        >>> evaluation.mean, evaluation.tasks
        (0.75, 3)
        >>> print(evaluation)
        accuracy 0.750 ± 0.283 (95% interval, 3 tasks, shots=5, 10.0 ms per task)
        >>> Evaluation.from_json(evaluation.to_json()) == evaluation
        True
    """

    per_task: Mapping[str, tuple[float, ...]]
    seconds_per_task: float
    fingerprint: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> str:
        """The name of the first score."""
        return next(iter(self.per_task))

    @property
    def mean(self) -> float:
        """The mean of the first score over tasks."""
        return confidence_interval(self.per_task[self.score])[0]

    @property
    def ci95(self) -> float:
        """Half the width of the 95% confidence interval of `mean`."""
        return confidence_interval(self.per_task[self.score])[1]

    @property
    def scores(self) -> Tensor:
        """The first score of each task, `(N,)` float64."""
        return torch.tensor(self.per_task[self.score], dtype=torch.float64)

    @property
    def tasks(self) -> int:
        """The number of tasks, `N`."""
        return len(self.per_task[self.score])

    def summary(self) -> dict[str, dict[str, float]]:
        """Return `mean` and `ci95` of each score, by name."""
        found = {name: confidence_interval(scores) for name, scores in self.per_task.items()}
        return {name: {"mean": mean, "ci95": ci95} for name, (mean, ci95) in found.items()}

    def __str__(self) -> str:
        parts = [
            f"{name} {one['mean']:.3f} ± {one['ci95']:.3f}" for name, one in self.summary().items()
        ]
        shown = [
            f"{name}={self.settings[name]}"
            for name in ("ways", "shots", "steps")
            if self.settings.get(name) is not None
        ]
        shown = ["95% interval", f"{self.tasks} tasks", *shown]
        time = f"{1000 * self.seconds_per_task:.1f} ms per task"
        return f"{', '.join(parts)} ({', '.join([*shown, time])})"

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as JSON values: dicts, lists, strings and finite numbers.

        `files.write_json` writes them to a file. The entry `scores` has `mean` and `ci95` of each
        score, for readers of the file; `from_json` computes them again.
        """
        return {
            "format": _FORMAT,
            "scores": self.summary(),
            "per_task": {name: list(scores) for name, scores in self.per_task.items()},
            "seconds_per_task": self.seconds_per_task,
            "fingerprint": self.fingerprint,
            "settings": dict(self.settings),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Evaluation:
        """Return the evaluation that `to_json` described.

        Raises:
            ArgumentError: the values do not come from `to_json`.
        """
        try:
            if values["format"] != _FORMAT:
                raise ValueError(f"the format {values['format']!r}")
            per_task = {
                str(name): tuple(map(float, scores)) for name, scores in values["per_task"].items()
            }
            if not per_task or len(set(map(len, per_task.values()))) != 1:
                raise ValueError("no scores, or scores of different tasks")
            seconds = float(values["seconds_per_task"])
            return cls(per_task, seconds, str(values["fingerprint"]), dict(values["settings"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArgumentError(
                f"Evaluation.from_json: values must come from to_json(), with {_FORMAT!r}, got "
                f"something else ({type(error).__name__}: {error}); save the evaluation again"
            ) from error
