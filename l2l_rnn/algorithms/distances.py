"""Squared distances between vectors and classes, without a tensor of all differences."""

from __future__ import annotations

import torch
from torch import Tensor

_MOST_DIFFERENCES = 2**22  # that are computed as one tensor
_PER_PART = 2**18  # as one of several tensors, which then fits into a processor's cache


def squared_distances(x: Tensor, y: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return `sum_e w_ce (x_be - y_ce)^2`.

    Small problems are computed as they are written. For large ones, the square is expanded into
    matrix products in float64, after the mean of `y` is subtracted. This is at least as accurate
    as the float32 sum. Large problems in float64 are computed for some classes at a time.

    Args:
        x, y: vectors.
        weights: `w`; None for ones.

    Shapes:
        x `(…, B, E)`, y and weights `(…, C, E)` -> `(…, B, C)`.

    Example:
        >>> squared_distances(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0], [1.0, 4.0]]))
        tensor([[5., 4.]])
    """
    size = max(x.numel() * y.shape[-2], y.numel() * x.shape[-2])
    if size <= _MOST_DIFFERENCES:
        return _differences(x, y, weights)
    if x.dtype != torch.float64 and x.device.type != "mps":  # mps has no float64
        return _expanded(x, y, weights)
    classes = max(1, _PER_PART * y.shape[-2] // size)
    parts = y.split(classes, -2)
    scales = [None] * len(parts) if weights is None else weights.split(classes, -2)
    return torch.cat([_differences(x, p, w) for p, w in zip(parts, scales, strict=True)], -1)


def mean_distance(prototypes: Tensor, present: Tensor) -> Tensor:
    """Return the mean squared distance between different classes: `(…, C, E)` -> `(…)`.

    It is twice the sum of the variances over classes, `2 sum_c |p_c - mean|^2 / (C - 1)`.

    Args:
        prototypes: a vector for each class.
        present: which classes count, `(…, C)` bool.
    """
    inside, number = present.unsqueeze(-1), present.sum(-1)
    mean = (prototypes * inside).sum(-2) / number.clamp_min(1).unsqueeze(-1)
    squares = ((prototypes - mean.unsqueeze(-2)) * inside).square().sum((-1, -2))
    return 2 * squares / (number - 1).clamp_min(1)


def _differences(x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    squares = (x.unsqueeze(-2) - y.unsqueeze(-3)).square()
    return (squares if weights is None else squares * weights.unsqueeze(-3)).sum(-1)


def _expanded(x: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
    dtype = torch.promote_types(x.dtype, y.dtype)
    x, y = x.double(), y.double()
    center = y.detach().mean(-2, keepdim=True)  # distances do not depend on it
    x, y = x - center, y - center
    if weights is None:
        of_x, scaled = x.square().sum(-1, keepdim=True), y
    else:
        weights = weights.double()
        of_x, scaled = x.square() @ weights.mT, y * weights
    found = of_x - 2 * (x @ scaled.mT) + (y * scaled).sum(-1).unsqueeze(-2)
    negative = found.detach().clamp_max(0)  # by rounding
    return (found - negative).to(dtype)
