"""Numbers of parameters, and sizes of networks that match them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def parameter_count(module: nn.Module) -> int:
    """Return the number of parameters of a module."""
    return sum(parameter.numel() for parameter in module.parameters())


def matching_size(make: Callable[[int], nn.Module], parameters: int) -> int:
    """Return the size, at least 1, that brings a network closest to a number of parameters.

    Args:
        make: makes a network of a given size; larger networks have more parameters.
        parameters: the desired number of parameters.
    """

    def count(size: int) -> int:
        with torch.device("meta"):  # allocates no memory and draws no random numbers
            return parameter_count(make(size))

    low, high = 1, 2
    while count(high) < parameters:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < parameters else (low, middle)
    return min(low, high, key=lambda size: abs(count(size) - parameters))
