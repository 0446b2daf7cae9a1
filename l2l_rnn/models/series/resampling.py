"""Resampling and normalization of univariate series of different lengths."""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.functional import step_mask


def instance_normalized(rows: Tensor, lengths: Tensor, eps: float = 1e-6) -> Tensor:
    """Scale each series to mean 0 and standard deviation 1; a constant series becomes 0.

    Args:
        rows: series; values past the length are ignored, and become 0.
        lengths: number of valid steps of each.
        eps: a standard deviation below `eps` times the largest absolute value counts as 0.

    Shapes:
        rows `(…, S)`, lengths `(…)` -> `(…, S)`.

    Example:
        >>> instance_normalized(torch.tensor([[1.0, 3.0, 9.0]]), torch.tensor([2]))
        tensor([[-1.,  1.,  0.]])
    """
    inside = step_mask(lengths, rows.shape[-1])
    count = lengths.clamp_min(1).unsqueeze(-1).to(rows.dtype)
    rows = rows.where(inside, 0)
    mean = rows.sum(-1, keepdim=True) / count
    centered = (rows - mean).where(inside, 0)
    variance = centered.square().sum(-1, keepdim=True) / count
    size = rows.detach().abs().amax(-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    constant = variance.detach() <= (eps * size).square()
    return centered / variance.where(~constant, 1).sqrt() * ~constant


def resampled(rows: Tensor, lengths: Tensor, steps: int) -> Tensor:
    """Resample each series to `steps` steps, by linear interpolation between its own steps.

    A series that already has `steps` steps is unchanged. The first and the last step are kept.

    Args:
        rows: series; values past the length are ignored. A series without steps becomes 0.
        lengths: number of valid steps of each.
        steps: the new number of steps.

    Shapes:
        rows `(…, S)`, lengths `(…)` -> `(…, steps)`.

    Example:
        >>> resampled(torch.tensor([[0.0, 2.0, 9.0]]), torch.tensor([2]), 3)
        tensor([[0., 1., 2.]])
    """
    rows = rows.where(step_mask(lengths, rows.shape[-1]), 0)
    share = torch.linspace(0, 1, steps, dtype=torch.float64, device=rows.device)
    at = share * (lengths.double().unsqueeze(-1) - 1).clamp_min(0)
    low = (at + 1e-9).floor()
    weight = (at - low).clamp_min(0).to(rows.dtype)
    low = low.long()
    high = (low + 1).minimum((lengths.unsqueeze(-1) - 1).clamp_min(0))
    below, above = rows.gather(-1, low), rows.gather(-1, high)
    return below + (above - below) * weight
