"""Dynamic time warping of many pairs of series at once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_CELLS = 2**18  # cells of an anti-diagonal, of all pairs that are computed at once
_ROUNDING = 1e-6  # of positions in the band


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
    starts = range(0, pairs, chunk)
    with torch.no_grad():
        found = [
            _dtw(*(part[at : at + chunk] for part in (x, y, lengths[0], lengths[1])), window=window)
            for at in starts
        ]
    return torch.cat(found) if found else x.new_zeros(0)


def _dtw(x: Tensor, y: Tensor, x_lengths: Tensor, y_lengths: Tensor, *, window: float) -> Tensor:
    (pairs, steps), others = x.shape[:2], y.shape[1]
    x = x.transpose(0, 1).contiguous()  # steps first, so that slices of them are contiguous
    y = y.flip(1).transpose(0, 1).contiguous()  # from the end, in the order of anti-diagonals
    x_scale, y_scale = (x_lengths - 1).clamp_min(1), (y_lengths - 1).clamp_min(1)
    equal = bool((x_lengths == steps).all()) and bool((y_lengths == others).all())
    # D of three anti-diagonals by row i, with one row before the first and one after the last.
    before, last, now = x.new_full((3, steps + 2, pairs), torch.inf)
    result = x.new_zeros(pairs)
    end, row = x_lengths + y_lengths - 2, (x_lengths - 1).clamp_min(0)
    reached = torch.bincount(end.clamp_min(0), minlength=steps + others).tolist()
    for diagonal in range(int(end.max()) + 1 if pairs else 0):
        low, high = max(0, diagonal - others + 1), min(steps, diagonal + 1)
        if window < 1 and equal:
            low, high = _band(diagonal, low, high, steps, others, window)
        start = others - 1 - diagonal  # of row 0
        cost = x[low:high] - y[start + low : start + high]
        cost = cost.square().sum(-1) if x.shape[-1] > 1 else cost.squeeze(-1).square_()
        if diagonal:
            best = torch.minimum(last[low:high], last[low + 1 : high + 1])
            cost += torch.minimum(best, before[low:high])
        if window < 1 and not equal:
            position = torch.arange(low, high, device=x.device).unsqueeze(-1)
            off = position / x_scale - (diagonal - position) / y_scale
            cost.masked_fill_(off.abs() > window + _ROUNDING, torch.inf)
        now[low + 1 : high + 1] = cost
        now[low], now[high + 1] = torch.inf, torch.inf  # the next two diagonals read no further
        if reached[diagonal]:
            value = now.gather(0, row.unsqueeze(0) + 1).squeeze(0)
            result = torch.where(end == diagonal, value, result)
        before, last, now = last, now, before
    return result


def _band(
    diagonal: int, low: int, high: int, steps: int, others: int, window: float
) -> tuple[int, int]:
    """Return the rows of an anti-diagonal that are inside the band."""
    one, other = max(1, steps - 1), max(1, others - 1)
    # |i / one - (d - i) / other| <= w  <=>  |i (1 / one + 1 / other) - d / other| <= w
    rate = 1 / one + 1 / other
    least = math.ceil((diagonal / other - window - _ROUNDING) / rate)
    most = math.floor((diagonal / other + window + _ROUNDING) / rate)
    return max(low, least), min(high, most + 1)
