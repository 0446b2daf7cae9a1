"""The course of a training loss: convergence, later climbs, and restoring the best weights."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

_WINDOW = 1000  # sequences that the smoothed loss averages over
_NEAR_BEST, _SAVE_EVERY = 1.2, 50  # save when the loss is at most so many times its best; steps
_WORSE = 1.3  # restore again before the pause ends if the loss is so many times that of the last


class LossMonitor:
    """Tracks the smoothed loss, when it converges, and how far it climbs afterwards.

    Args:
        threshold: the network has converged when the smoothed loss is lower.
        batch: sequences of a step.

    Attributes:
        smoothed: exponential average of the loss over about the last 1,000 sequences.
        best: its minimum, once 1,000 sequences were seen.
        converged_at: sequences seen when the network converged, or None.
        climb: the largest ratio of the smoothed loss to its best since then, or None.
    """

    def __init__(self, threshold: float, batch: int) -> None:
        self.threshold = threshold
        self.decay = 1 - min(1.0, batch / _WINDOW)
        self.restart()

    def restart(self) -> None:
        """Forget everything, since the training sequences change."""
        self.smoothed = self.best = math.nan
        self.converged_at: int | None = None
        self.climb: float | None = None
        self._steps = 0

    def add(self, nats: float, seen: int) -> None:
        """Add the loss of a step, after which `seen` sequences were seen."""
        self._steps += 1
        # The first steps have equal weight.
        decay = min(self.decay, 1 - 1 / self._steps)
        self.smoothed = nats if self._steps == 1 else decay * self.smoothed + (1 - decay) * nats
        if self._steps * (1 - self.decay) <= 1:
            self.best = self.smoothed
        if self.climb is not None:
            self.climb = max(self.climb, self.smoothed / max(self.best, 1e-12))
        elif self.smoothed < self.threshold and self._steps * (1 - self.decay) >= 1:
            self.converged_at, self.climb = seen, 1.0
        self.best = min(self.best, self.smoothed)


class BestWeights:
    """Restores the best weights when a converged network loses what it has learned.

    One rare mistake of a network that makes none otherwise can undo the training in a single step,
    and learning again may take as long as before. Each restoration halves the learning rate.

    Args:
        climb: restore when the smoothed loss is above this multiple of its best, and above the
            threshold of convergence.
        batch: sequences of a step.
        parts: everything that the training changes and that has a `state_dict`.

    Attributes:
        restored: number of restorations.
    """

    def __init__(self, climb: float, batch: int, *parts: nn.Module | torch.optim.Optimizer) -> None:
        self.climb, self.parts, self.restored = climb, parts, 0
        self._pause = _WINDOW // batch  # steps that the smoothed loss needs to come down again
        self._saved: list[dict[str, Any]] = []  # filled as soon as the network has converged
        self._steps = self._save_from = self._restore_from = 0
        self._last = math.inf  # the smoothed loss at the last restoration

    @property
    def lr_factor(self) -> float:
        """The factor of the learning rate."""
        return 0.5**self.restored

    def update(self, monitor: LossMonitor) -> None:
        """Save or restore the parts, as the loss demands. Call it after each step."""
        self._steps += 1
        if monitor.climb is None:
            return
        if monitor.smoothed <= _NEAR_BEST * monitor.best and self._steps >= self._save_from:
            self._saved = [copy.deepcopy(part.state_dict()) for part in self.parts]
            self._save_from = self._steps + _SAVE_EVERY
        elif monitor.smoothed > max(monitor.threshold, self.climb * monitor.best) and (
            self._steps >= self._restore_from or monitor.smoothed > _WORSE * self._last
        ):
            for part, saved in zip(self.parts, self._saved, strict=True):
                part.load_state_dict(copy.deepcopy(saved))
            self.restored += 1
            self._last = monitor.smoothed
            self._restore_from = self._steps + self._pause
