"""Dilated and strided convolutions over the steps of series, with an optional task axis."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional.layer_calls import NotScripted, layer_call
from l2l_rnn.mapped_axis import takes_mapped_axis


@configurable
class StepConvolution(NotScripted):
    """Convolution over steps: `y_t = b + sum_k W_k x_{t stride + k dilation}`, without padding.

    With parameters `(N, …)`, each task has its own `W` and `b`. All derivatives are those of one
    matrix product over windows of the input.

    Args:
        in_channels: `F`, features of an input step.
        out_channels: `H`, features of an output step.
        kernel_size: `K`, steps that one output reads.
        stride: steps from one window to the next.
        dilation: steps from one value in a window to the next.

    Attributes:
        weight: `(H, K F)`; the values of one step of a window are together.
        bias: `(H,)`.
        reach: the steps that a window spans, `(K - 1) dilation + 1`.

    Shapes:
        `(…, S, F)` -> `(…, (S - reach) // stride + 1, H)`; with parameters `(N, …)`, the input is
        `(N, B, S, F)`.

    Raises:
        ArgumentError: a size is not a positive integer.
        ShapeError: the input has other features, fewer steps than the reach, or no task axis.

    Example:
        >>> StepConvolution(3, 8, kernel_size=5, stride=2)(torch.zeros(4, 21, 3)).shape
        torch.Size([4, 9, 8])

    Source: `torch.nn.Conv1d`, with the same initialization; the axes are those of the recurrent
    layers.
    """

    task_axis: ClassVar[bool] = True
    _script_fix: ClassVar[str] = "use torch.export.export"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        who = "StepConvolution"
        self.in_channels = check_int(who, "in_channels", in_channels)
        self.out_channels = check_int(who, "out_channels", out_channels)
        self.kernel_size = check_int(who, "kernel_size", kernel_size)
        self.stride = check_int(who, "stride", stride)
        self.dilation = check_int(who, "dilation", dilation)
        self.reach = (self.kernel_size - 1) * self.dilation + 1
        size = self.kernel_size * self.in_channels
        self.weight = nn.Parameter(torch.empty(self.out_channels, size))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        bound = 1 / math.sqrt(size)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the lengths of the outputs of series with these lengths; 0 if too short."""
        return (lengths - self.reach).div(self.stride, rounding_mode="floor").clamp_min(-1) + 1

    @layer_call
    @takes_mapped_axis(applies=lambda x: x.dim() > 1)
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.in_channels,) or x.dim() < 2 or x.shape[-2] < self.reach:
            raise ShapeError(
                f"StepConvolution: x must be (…, S, F) with F={self.in_channels} features and at "
                f"least {self.reach} steps, got shape {tuple(x.shape)}; set in_channels, or pass "
                "longer series"
            )
        weight = self.weight
        if weight.dim() > 2 and (x.dim() < 3 or len(x) != len(weight)):
            raise ShapeError(
                f"StepConvolution: x must be (N, …) with N={len(weight)} tasks first, like the "
                f"parameters, got shape {tuple(x.shape)}; add the task axis"
            )
        return functional.linear(self._windows(x), weight, self.bias)

    def _forward_jit(self, x: Tensor) -> Tensor:
        return functional.linear(self._windows(x), self.weight, self.bias)

    def _windows(self, x: Tensor) -> Tensor:
        """Return the values of each window: `(…, S, F)` -> `(…, T, K F)`."""
        steps = (x.shape[-2] - self.reach) // self.stride + 1
        last = (steps - 1) * self.stride + 1
        parts = [
            x[..., start : start + last : self.stride, :]
            for start in range(0, self.reach, self.dilation)
        ]
        return torch.cat(parts, -1)
