"""Confidence intervals of means over tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_Z = 1.96  # the 97.5% quantile of the normal distribution


def confidence_interval(scores: Tensor | Sequence[float]) -> tuple[float, float]:
    """Compute the mean over tasks and half the width of its 95% confidence interval.

    The interval is `mean ± 1.96 std / sqrt(N)`, with the standard deviation over tasks. For a
    paired difference of two learners on the same tasks, pass the difference of their scores.

    Args:
        scores: the score of each task, `(N,)`.

    Returns:
        The mean, and the half width; it is 0 for a single task.

    Example:
        >>> mean, half = confidence_interval([0.25, 0.5, 0.75])
        >>> f"{mean:.2f} ± {half:.2f}"
        '0.50 ± 0.28'
    """
    values = torch.as_tensor(scores, dtype=torch.float64)
    std = values.std().item() if len(values) > 1 else 0.0
    return values.mean().item(), _Z * std / math.sqrt(len(values))
