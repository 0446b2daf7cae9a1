"""Maps of drawings: position and direction of the ink, independent of drawing order."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIZE = 12  # rows and columns per map
DIRECTIONS = 4  # maps per drawing, for 0, 45, 90 and 135 degrees
REACH = 0.9  # a map covers -REACH to REACH, in cap heights
POINTS = 64  # sampled points per drawing


def stroke_maps(sequences: Tensor, scale: float) -> Tensor:
    """Compute maps of drawings from pen steps.

    Every drawing is sampled at the same number of points along its ink. Each point adds a Gaussian
    blob to every map, weighted by the similarity of the ink's direction and the map's direction.
    Opposite directions are equivalent.

    Args:
        sequences: steps `(dx, dy, lift)` as in `tasksets.Strokes`, padded with NaN.
        scale: the divisor of the offsets.

    Shapes:
        sequences (items, S, 3) -> (items, SIZE, SIZE * DIRECTIONS), one row of all maps per step.
    """
    return torch.cat([_maps(*_ink(part, scale)) for part in sequences.split(1000)])


def _ink(sequences: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Sample points along the ink, `(items, POINTS, 2)`, and their angles, `(items, POINTS)`."""
    steps = sequences.nan_to_num()
    points = (steps[..., :2] * scale).cumsum(1)
    offsets = points[:, 1:] - points[:, :-1]
    pen_down = steps[:, :-1, 2] == 0
    lengths = offsets.norm(dim=-1) * pen_down  # 0 in the padding
    ends = lengths.cumsum(1)  # (items, S - 1)
    at = (torch.arange(POINTS) + 0.5) / POINTS * ends[:, -1:]
    segment = torch.searchsorted(ends, at).clamp_max(ends.shape[1] - 1)
    length = lengths.gather(1, segment)
    part = 1 - (ends.gather(1, segment) - at) / length.clamp_min(1e-9)
    index = segment.unsqueeze(-1).expand(-1, -1, 2)
    offset, start = offsets.gather(1, index), points.gather(1, index)
    return start + part.unsqueeze(-1) * offset, torch.atan2(offset[..., 1], offset[..., 0])


def _maps(points: Tensor, angles: Tensor) -> Tensor:
    centers = torch.linspace(-REACH, REACH, SIZE)
    std = 0.7 * (centers[1] - centers[0])
    columns, rows = (
        torch.exp(-0.5 * ((points[..., i : i + 1] - centers) / std) ** 2) for i in (0, 1)
    )
    # Doubling the angles makes opposite directions equal.
    doubled = 2 * angles.unsqueeze(-1) - 2 * math.pi / DIRECTIONS * torch.arange(DIRECTIONS)
    weights = (0.5 + 0.5 * doubled.cos()) ** 2  # (items, POINTS, DIRECTIONS)
    ink = rows.mT @ (weights.unsqueeze(-1) * columns.unsqueeze(-2)).flatten(-2)
    return ink / (1 + ink)  # saturates, so that retraced lines are only slightly darker
