"""Resampling and normalization of univariate series of different lengths."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.functional import step_mask
from l2l_rnn.models.series.channels import channel_rows


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


@configurable
class ResampledSeries(nn.Module):
    """Represent each series by its own values: resampled, normalized, the channels one by one.

    It has no parameters, and is the encoder of baselines such as `NearestNeighbor`.

    Args:
        length: steps to which each channel is resampled.
        normalize: whether each channel of a series is scaled to mean 0 and standard deviation 1.

    Attributes:
        output_size: the size of a vector of one channel, `length`.

    Shapes:
        x `(…, B, S, F)`, padded with NaN -> `(…, B, F length)`.

    Raises:
        ArgumentError: `length` is not a positive integer, or a series is all padding or has a NaN
            inside.

    Example:
        >>> ResampledSeries(3)(torch.tensor([[[1.0], [2.0], [4.0], [5.0], [3.0]]])).shape
        torch.Size([1, 3])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, length: int = 128, normalize: bool = True) -> None:
        super().__init__()
        self.length = self.output_size = check_int("ResampledSeries", "length", length)
        self.normalize = bool(normalize)

    def forward(self, x: Tensor) -> Tensor:
        rows, lengths, _ = channel_rows("ResampledSeries", x)
        if self.normalize:
            rows = instance_normalized(rows, lengths)
        found = resampled(rows, lengths, self.length)
        return found.reshape(*x.shape[:-2], -1)
