"""Finite differences, for comparison with meta-gradients."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def central_difference(
    value: Callable[[], Tensor], parameters: Sequence[Tensor], directions: Sequence[Tensor]
) -> float:
    """Return the slope of `value()` along directions in its parameters, which are restored."""
    size, ends = 1e-5, []
    for step in (size, -2 * size, size):
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += step * direction
        if len(ends) < 2:
            ends.append(value().item())
    return (ends[0] - ends[1]) / (2 * size)
