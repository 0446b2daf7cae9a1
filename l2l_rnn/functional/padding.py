"""Lengths and masks of padded sequences.

Token ids are padded with 0 and real-valued steps with NaN, always at the end of a sequence.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def token_lengths(tokens: Tensor) -> Tensor:
    """Compute the length of each token sequence: the position after its last nonzero id.

    Args:
        tokens: token ids, padded with 0.

    Shapes:
        tokens `(…, S)` -> `(…)`.

    Example:
        >>> token_lengths(torch.tensor([[3, 4, 0], [5, 0, 6], [0, 0, 0]])).tolist()
        [2, 3, 0]
    """
    return _lengths(tokens != 0)


def step_lengths(x: Tensor) -> Tensor:
    """Compute the length of each real-valued sequence: the position after its last non-NaN step.

    A step counts as padding only if all its features are NaN.

    Args:
        x: real-valued steps, padded with NaN.

    Shapes:
        x `(…, S, F)` -> `(…)`.

    Example:
        >>> step_lengths(torch.tensor([[[1.0], [2.0], [float("nan")]]])).tolist()
        [2]
    """
    return _lengths(~x.isnan().all(-1))


def step_mask(lengths: Tensor, steps: int) -> Tensor:
    """Return a mask that is True at the steps inside each sequence.

    Args:
        lengths: number of valid steps of each sequence.
        steps: `S`, the padded length.

    Shapes:
        lengths `(…)` -> `(…, S)`, bool.

    Example:
        >>> step_mask(torch.tensor([2]), 3).tolist()
        [[True, True, False]]
    """
    return torch.arange(steps, device=lengths.device) < lengths.unsqueeze(-1)


def _lengths(filled: Tensor) -> Tensor:
    """Compute the position after the last True along the last axis: `(…, S)` -> `(…)`."""
    positions = torch.arange(1, filled.shape[-1] + 1, device=filled.device)
    return F.pad(filled * positions, (1, 0)).amax(-1)  # padded, because S may be 0
