"""Dynamic time warping of many pairs of series at once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_CELLS = 2**22  # cells of an anti-diagonal, of all pairs that are computed at once


def dtw(
    x: Tensor,
    y: Tensor,
    window: float = 1.0,
    x_lengths: Tensor | None = None,
    y_lengths: Tensor | None = None,
) -> Tensor:
    """Compute the squared distance of each pair of series under dynamic time warping.

    `D[i, j] = |x_i - y_j|^2 + min(D[i-1, j-1], D[i-1, j], D[i, j-1])`, and the distance is the last
    `D`. The cells of an anti-diagonal of all pairs are computed together. Not differentiable.

    Args:
        x, y: the series of each pair.
        window: Sakoe-Chiba band: `|i / (S - 1) - j / (T - 1)| <= window`. 1 is no band, and 0 only
            the diagonal.
        x_lengths, y_lengths: number of valid steps of each series; None uses all.

    Shapes:
        x `(P, S, F)`, y `(P, T, F)`, lengths `(P,)` -> `(P,)`.

    Example:
        >>> x, y = torch.tensor([[[0.0], [1.0], [1.0]]]), torch.tensor([[[0.0], [0.0], [1.0]]])
        >>> dtw(x, y), dtw(x, y, window=0.0)
        (tensor([0.]), tensor([1.]))

    Source: H. Sakoe and S. Chiba, 1978, Dynamic Programming Algorithm Optimization for Spoken Word
    Recognition.
    """
    pairs = len(x)
    lengths = [
        torch.full((pairs,), series.shape[1], device=x.device) if given is None else given
        for series, given in ((x, x_lengths), (y, y_lengths))
    ]
    chunk = max(1, _CELLS // x.shape[1])
    parts = [part.split(chunk) for part in (x, y, *lengths)]
    with torch.no_grad():
        found = [_dtw(*part, window) for part in zip(*parts, strict=True)]
    return torch.cat(found) if found else x.new_zeros(0)


def _dtw(x: Tensor, y: Tensor, x_lengths: Tensor, y_lengths: Tensor, window: float) -> Tensor:
    steps, others = x.shape[1], y.shape[1]
    # Column p of `mirrored` is y from its end, so that cell (i, d - i) is next to (i + 1, d - i - 1).
    mirrored = F.pad(y.flip(1), (0, 0, steps - 1, steps - 1))
    position = torch.arange(steps, device=x.device)
    x_scale = (x_lengths - 1).clamp_min(1).unsqueeze(-1)
    y_scale = (y_lengths - 1).clamp_min(1).unsqueeze(-1)
    infinite = x.new_full((len(x), steps + 1), torch.inf)
    before, last = infinite.clone(), infinite.clone()  # D of diagonals d - 2 and d - 1, shifted by 1
    result = x.new_zeros(len(x))
    end, row = x_lengths + y_lengths - 2, (x_lengths - 1).clamp_min(0)
    reached = torch.bincount(end.clamp_min(0), minlength=steps + others).tolist()
    for diagonal in range(int(end.max()) + 1 if len(end) else 0):
        start = steps + others - 2 - diagonal
        cost = (x - mirrored[:, start : start + steps]).square().sum(-1)
        column = diagonal - position
        outside = (column < 0) | (column >= others)
        if window < 1:
            far = (position / x_scale - column / y_scale).abs() > window + 1e-6
            outside = outside | far
        best = torch.minimum(before[:, :-1], torch.minimum(last[:, :-1], last[:, 1:]))
        if diagonal == 0:
            best[:, 0] = 0
        now = (cost + best).masked_fill_(outside, torch.inf)
        before, last = last, F.pad(now, (1, 0), value=torch.inf)
        if reached[diagonal]:
            value = now.gather(1, row.unsqueeze(-1)).squeeze(-1)
            result = torch.where(end == diagonal, value, result)
    return result
