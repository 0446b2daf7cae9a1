"""Monitoring of the training loss: convergence, later increases, and restoring of the best weights.

A climb is the ratio of the smoothed loss to its minimum so far.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

_WINDOW = 1000  # number of sequences over which the loss is smoothed
_NEAR_BEST = 1.2  # save the weights if the smoothed loss is at most this multiple of its best
_SAVE_EVERY = 50  # minimum number of steps between saves
_WORSE = 1.3  # restore during the pause if the loss exceeds the last restored one by this factor


class LossMonitor:
    """Tracks the smoothed loss, when it converges, and how far it climbs afterwards.

    Args:
        threshold: the network has converged when the smoothed loss is below this value.
        batch: sequences per step.

    Attributes:
        smoothed: exponential moving average of the loss over about the last 1,000 sequences.
        best: its minimum, after the first 1,000 sequences.
        converged_at: number of sequences seen when the network converged, or None.
        climb: largest ratio of the smoothed loss to its best after convergence, or None.
    """

    def __init__(self, threshold: float, batch: int) -> None:
        self.threshold = threshold
        self.decay = 1 - min(1.0, batch / _WINDOW)
        self.restart()

    def restart(self) -> None:
        """Reset all state. Call it when the training sequences change."""
        self.smoothed = self.best = math.nan
        self.converged_at: int | None = None
        self.climb: float | None = None
        self._steps = 0

    def add(self, nats: float, seen: int) -> None:
        """Add the loss of a step, with the number of sequences seen after it."""
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
    """Restores the best weights if a converged network deteriorates.

    A single rare mistake can undo the training of a converged network in one step, and learning it
    again may take as long as before. Each restoration halves the learning rate.

    Args:
        climb: restore if the smoothed loss is above this multiple of its best, and above the
            threshold of convergence.
        batch: sequences per step.
        parts: all objects with a `state_dict` that training modifies.

    Attributes:
        restored: number of restorations.
    """

    def __init__(self, climb: float, batch: int, *parts: nn.Module | torch.optim.Optimizer) -> None:
        self.climb, self.parts, self.restored = climb, parts, 0
        self._pause = _WINDOW // batch  # steps that the smoothed loss takes to decrease again
        self._saved: list[dict[str, Any]] = []  # filled when the network has converged
        self._steps = self._save_from = self._restore_from = 0
        self._last = math.inf  # the smoothed loss at the last restoration

    @property
    def lr_factor(self) -> float:
        """Factor of the learning rate."""
        return 0.5**self.restored

    def update(self, monitor: LossMonitor) -> None:
        """Save or restore the parts, depending on the loss. Call it after each step."""
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
