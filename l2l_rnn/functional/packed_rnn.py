"""The simple recurrence over packed blocks, its first and second derivative by hand.

With `a_t = g_t + W h_{t-1}` and `h_t = phi(a_t)`, phi being tanh or relu, whose slope
`s_t = phi'(a_t)` is a function of `h_t`:

- adjoint, t from S down, given the cotangents of h: `lambda_t = dh_t + da_{t+1} W`,
  `da_t = s_t lambda_t`; `dW = sum_t da_t^T h_{t-1}`, one product.
- tangent, t from 1 up, given the cotangents v of da and V of dW:
  `h'_t = s_t (v_t + V h_{t-1} + W h'_{t-1})`, the gradient with respect to dh; those with respect
  to h and W are products of quantities known.

The outputs h are what the second derivative's gradients meet in, and one more adjoint pass takes
them to the inputs.

Shapes, with P packed steps in blocks of n_t rows: g `(A, P, H)`, W `(A, H, H)`, h `(A, P, H)`,
initial state `(A, B, H)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.functional.packed_steps import (
    blocks,
    shifted,
    third_derivative,
    unshifted,
    without_autocast,
)


def packed_rnn(
    projected: Tensor, weight_hh: Tensor, h0: Tensor, batch_sizes: Sequence[int], nonlinearity: str
) -> Tensor:
    """Compute the outputs h of all packed steps, `(A, P, H)`.

    Differentiable twice; a third derivative raises a DerivativeError. See the module for the
    shapes; `nonlinearity` is `"tanh"` or `"relu"`.
    """
    others = [tensor.to(projected.dtype) for tensor in (weight_hh, h0)]
    with without_autocast(projected):
        return _Recurrence.apply(projected, *others, tuple(batch_sizes), nonlinearity)


class _Recurrence(Function):
    """From the projections to h."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, weight: Tensor, h0: Tensor, sizes: tuple[int, ...], nonlinearity: str
    ) -> Tensor:
        phi = torch.tanh_ if nonlinearity == "tanh" else torch.relu_
        h = torch.empty_like(g, memory_format=torch.contiguous_format)
        recurrent = weight.mT
        before = h0
        for start, end in blocks(sizes):
            output = h[:, start:end]
            torch.add(g[:, start:end], torch.bmm(before[:, : end - start], recurrent), out=output)
            before = phi(output)
        ctx.save_for_backward(weight, h0, h)
        ctx.sizes, ctx.nonlinearity = sizes, nonlinearity
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> Any:
        weight, h0, h = ctx.saved_tensors
        with without_autocast(h):
            gradients = _Adjoint.apply(dh, weight, h0, h, ctx.sizes, ctx.nonlinearity)
        return *gradients, None, None


class _Adjoint(Function):
    """From the cotangents of h to those of the recurrence's inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        dh: Tensor,
        weight: Tensor,
        h0: Tensor,
        h: Tensor,
        sizes: tuple[int, ...],
        nonlinearity: str,
    ) -> tuple[Tensor, Tensor, Tensor]:
        slopes = _slopes(h, nonlinearity)
        lam = dh.clone(memory_format=torch.contiguous_format)
        da = torch.empty_like(lam)
        after: Tensor | None = None  # da of the step after
        for start, end in reversed(list(blocks(sizes))):
            of_h = lam[:, start:end]
            if after is not None:
                of_h[:, : after.shape[1]] += torch.bmm(after, weight)
            after = da[:, start:end]
            torch.mul(of_h, slopes[:, start:end], out=after)

        first = sizes[0]
        dh0 = torch.zeros_like(h0)
        dh0[:, :first] = torch.bmm(da[:, :first], weight)
        dweight = torch.bmm(da.mT, shifted(h, h0, sizes))
        ctx.save_for_backward(weight, h0, h, lam, da)
        ctx.sizes, ctx.nonlinearity = sizes, nonlinearity
        return da, dweight, dh0

    @staticmethod
    def backward(ctx: Any, v: Tensor, vweight: Tensor, vh0: Tensor) -> Any:
        with without_autocast(v):
            gradients = _Tangent.apply(
                v, vweight, vh0, *ctx.saved_tensors, ctx.sizes, ctx.nonlinearity
            )
        return *gradients, None, None


class _Tangent(Function):
    """From the cotangents of the adjoint's results to those of what it was given."""

    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        vweight: Tensor,
        vh0: Tensor,
        weight: Tensor,
        h0: Tensor,
        h: Tensor,
        lam: Tensor,
        da: Tensor,
        sizes: tuple[int, ...],
        nonlinearity: str,
    ) -> tuple[Tensor, ...]:
        slopes = _slopes(h, nonlinearity)
        total = torch.baddbmm(v, shifted(h, h0, sizes), vweight.mT)  # of the pre-activations
        tangent = torch.empty_like(h)
        recurrent = weight.mT
        before = vh0
        for start, end in blocks(sizes):
            block = total[:, start:end]
            block += torch.bmm(before[:, : end - start], recurrent)
            before = tangent[:, start:end]
            torch.mul(block, slopes[:, start:end], out=before)

        h0_gradient, h_gradient = unshifted(torch.bmm(da, vweight), h0, sizes)
        if nonlinearity == "tanh":
            h_gradient.addcmul_(total.mul_(lam), h, value=-2)  # the slope 1 - h^2 in h
        weight_gradient = torch.bmm(da.mT, shifted(tangent, vh0, sizes))
        return tangent, weight_gradient, h0_gradient, h_gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise third_derivative("packed_rnn")


def _slopes(h: Tensor, nonlinearity: str) -> Tensor:
    """Derivative of each output in its pre-activation, from the output: `1 - h^2`, or 0 and 1."""
    if nonlinearity == "tanh":
        return torch.addcmul(h.new_ones(()), h, h, value=-1)
    return (h > 0).to(h.dtype)
