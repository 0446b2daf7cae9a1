"""Drawings as maps: where the ink is and which way it runs, whatever order it was drawn in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SIZE = 12  # rows and columns of a map
DIRECTIONS = 4  # maps of a drawing: along 0, 45, 90 and 135 degrees
REACH = 0.9  # a map goes from -REACH to REACH, in heights of a capital
POINTS = 64  # along the ink of a drawing


def stroke_maps(sequences: Tensor, scale: float) -> Tensor:
    """Compute maps of drawings that are given as the steps of a pen.

    The ink is sampled at as many points for every drawing, each of which is spread over the map as
    a Gaussian, by how near the ink's direction there is to the map's. A line has no forth and back.

    Args:
        sequences: steps `(dx, dy, lift)`, as `tasksets.Strokes` has them, padded with NaN.
        scale: what offsets were divided by.

    Shapes:
        sequences (items, S, 3) -> (items, SIZE, SIZE * DIRECTIONS), a row of the maps a step.
    """
    return torch.cat([_maps(*_ink(part, scale)) for part in sequences.split(1000)])


def _ink(sequences: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Points along the ink and the angle of the ink at each: `(items, P, 2)` and `(items, P)`."""
    there = ~sequences[..., 0].isnan()
    steps = sequences.nan_to_num()
    points = (steps[..., :2] * scale).cumsum(1)
    offsets = points[:, 1:] - points[:, :-1]
    drawn = there[:, 1:] & (steps[:, :-1, 2] == 0)  # the pen was down on the way
    lengths = offsets.norm(dim=-1) * drawn
    ends = lengths.cumsum(1)  # (items, S - 1)
    whole = ends[:, -1:]
    at = (torch.arange(POINTS) + 0.5) / POINTS * whole
    piece = torch.searchsorted(ends, at).clamp_max(ends.shape[1] - 1)
    length = lengths.gather(1, piece)
    part = 1 - (ends.gather(1, piece) - at) / length.clamp_min(1e-9)
    along = offsets.gather(1, piece.unsqueeze(-1).expand(-1, -1, 2))
    start = points.gather(1, piece.unsqueeze(-1).expand(-1, -1, 2))
    return start + part.unsqueeze(-1) * along, torch.atan2(along[..., 1], along[..., 0])


def _maps(points: Tensor, angles: Tensor) -> Tensor:
    places = torch.linspace(-REACH, REACH, SIZE)
    spread = 0.7 * (places[1] - places[0])
    across, up = (
        torch.exp(-0.5 * ((points[..., i : i + 1] - places) / spread) ** 2) for i in (0, 1)
    )
    turned = 2 * angles.unsqueeze(-1) - 2 * math.pi / DIRECTIONS * torch.arange(DIRECTIONS)
    near = (0.5 + 0.5 * turned.cos()) ** 2  # (items, P, DIRECTIONS)
    ink = up.mT @ (near.unsqueeze(-1) * across.unsqueeze(-2)).flatten(-2)
    return ink / (1 + ink)  # lines drawn twice are hardly blacker
