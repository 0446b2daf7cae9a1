"""The gated recurrent unit over packed blocks, its first and second derivative by hand.

With `[a_r a_z] = g_rz + W_rz h_{t-1}`, `r z = sigmoid(a)`, `q = W_n h_{t-1} + b`,
`n = tanh(g_n + r q)`, `h_t = n + z (h_{t-1} - n)`:

- adjoint, t from S down, given the cotangents of h and of r, z, n, q: `lambda_t = dh_t +
  lambda_{t+1} z_{t+1} + [da_r da_z dq]_{t+1} W`, then `da_n`, `dq`, `da_r`, `da_z` from it and the
  slopes of the activations; `dW = sum_t [da_r da_z dq]_t^T h_{t-1}`, one product, and
  `db = sum_t dq_t`.
- tangent, t from 1 up, given the cotangents of the adjoint's results: the tangents of r, z, n, q
  and h, which are the gradients with respect to the cotangents that the adjoint was given. Those
  with respect to r, z, n, q, h and W are products of quantities known.

r, z, n and q are outputs of the recurrence in autograd's eyes, so that the second derivative's
gradients meet there and one more adjoint pass takes them all to the inputs.

Shapes, with P packed steps in blocks of n_t rows: g `(A, P, 3H)` and W `(A, 3H, H)`, stacked
r, z, n; b `(A, H)`; the units r, z, n, q stacked in `(A, P, 4H)`; h `(A, P, H)`; initial state
`(A, B, H)`.
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


def packed_gru(
    projected: Tensor,
    weight_hh: Tensor,
    bias_hn: Tensor,
    h0: Tensor,
    batch_sizes: Sequence[int],
) -> Tensor:
    """Compute the outputs h of all packed steps, `(A, P, H)`.

    Differentiable twice; a third derivative raises a DerivativeError. See the module for the
    shapes; `bias_hn` is b.
    """
    others = [tensor.to(projected.dtype) for tensor in (weight_hh, bias_hn, h0)]
    with without_autocast(projected):
        h, _ = _Recurrence.apply(projected, *others, tuple(batch_sizes))
    return h


class _Recurrence(Function):
    """From the projections to h and the units r, z, n, q."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, weight: Tensor, bias: Tensor, h0: Tensor, sizes: tuple[int, ...]
    ) -> tuple[Tensor, Tensor]:
        size = h0.shape[-1]
        units = g.new_empty(*g.shape[:2], 4 * size)
        h = g.new_empty(*g.shape[:2], size)
        recurrent = weight.mT
        bias = bias.unsqueeze(-2)
        before = h0
        for start, end in blocks(sizes):
            before = before[:, : end - start]
            product = torch.bmm(before, recurrent)
            inputs, block = g[:, start:end], units[:, start:end]
            rz, n, q = block.split([2 * size, size, size], -1)
            r, z = rz.chunk(2, -1)
            torch.add(product[..., : 2 * size], inputs[..., : 2 * size], out=rz).sigmoid_()
            torch.add(product[..., 2 * size :], bias, out=q)
            torch.addcmul(inputs[..., 2 * size :], r, q, out=n).tanh_()
            before = torch.lerp(n, before, z, out=h[:, start:end])
        ctx.save_for_backward(weight, h0, h, units)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)
        return h, units

    @staticmethod
    def backward(ctx: Any, dh: Tensor | None, dunits: Tensor | None) -> Any:
        weight, h0, h, units = ctx.saved_tensors
        if dh is None:
            dh = torch.zeros_like(h)
        with without_autocast(h):
            da, *gradients = _Adjoint.apply(dh, dunits, weight, h0, h, units, ctx.sizes)
        size = h.shape[-1]
        return da[..., : 3 * size], gradients[0], da[..., 3 * size :].sum(1), gradients[1], None


class _Adjoint(Function):
    """From the cotangents of h and the units to those of a_r, a_z, a_n, q, and of W and h0."""

    @staticmethod
    def forward(
        ctx: Any,
        dh: Tensor,
        dunits: Tensor | None,
        weight: Tensor,
        h0: Tensor,
        h: Tensor,
        units: Tensor,
        sizes: tuple[int, ...],
    ) -> tuple[Tensor, Tensor, Tensor]:
        size = h.shape[-1]
        r, z, n, q = units.split(size, -1)
        before = shifted(h, h0, sizes)
        slopes_rz, slope_n = _slopes(units, size)
        through_n = (1 - z) * slope_n  # of h in a_n
        through_z = (before - n) * slopes_rz[..., size:]  # of h in a_z
        through_r = q * slopes_rz[..., :size]  # of r q in a_r
        if dunits is not None:  # what the units' cotangents add to da, before time
            given = dunits.clone(memory_format=torch.contiguous_format)
            given[..., : 2 * size] *= slopes_rz
            given[..., 2 * size : 3 * size] *= slope_n

        lam = dh.clone(memory_format=torch.contiguous_format)
        da = torch.empty_like(units)
        at_product = [da[..., : 2 * size], da[..., 3 * size :]]  # da_r da_z dq
        weights = weight.split([2 * size, size], 1)
        last: tuple[int, int] | None = None  # the block of the step after
        for start, end in reversed(list(blocks(sizes))):
            of_h = lam[:, start:end]
            if last is not None:
                step = slice(*last)
                of_h = of_h[:, : last[1] - last[0]]
                of_h.addcmul_(lam[:, step], z[:, step])
                for part, rows in zip(at_product, weights, strict=True):
                    of_h += torch.bmm(part[:, step], rows)
                of_h = lam[:, start:end]
            step = slice(start, end)
            da_r, da_z, da_n, dq = da[:, step].split(size, -1)
            torch.mul(of_h, through_n[:, step], out=da_n)
            torch.mul(of_h, through_z[:, step], out=da_z)
            if dunits is not None:
                da_n += given[:, step, 2 * size : 3 * size]
            torch.mul(da_n, r[:, step], out=dq)
            torch.mul(da_n, through_r[:, step], out=da_r)
            if dunits is not None:
                da[:, step, : 2 * size] += given[:, step, : 2 * size]
                dq += given[:, step, 3 * size :]
            last = (start, end)

        first = slice(0, sizes[0])
        dh0 = torch.zeros_like(h0)
        dh0[:, first] = lam[:, first] * z[:, first]
        for part, rows in zip(at_product, weights, strict=True):
            dh0[:, first] += torch.bmm(part[:, first], rows)
        dweight = torch.cat([torch.bmm(part.mT, before) for part in at_product], 1)
        ctx.save_for_backward(weight, h0, h, units, lam, da, dunits)
        ctx.sizes = sizes
        return da, dweight, dh0

    @staticmethod
    def backward(ctx: Any, v: Tensor, vweight: Tensor, vh0: Tensor) -> Any:
        with without_autocast(v):
            h_tangent, moved, *others = _Tangent.apply(
                v, vweight, vh0, *ctx.saved_tensors, ctx.sizes
            )
        return h_tangent, None if ctx.saved_tensors[-1] is None else moved, *others, None


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
        units: Tensor,
        lam: Tensor,
        da: Tensor,
        dunits: Tensor | None,
        sizes: tuple[int, ...],
    ) -> tuple[Tensor, ...]:
        size = h.shape[-1]
        r, z, n, q = units.split(size, -1)
        before = shifted(h, h0, sizes)
        slopes_rz, slope_n = _slopes(units, size)

        # Tangent, forward through time: r', z', n', q' and h'.
        total = v.clone(memory_format=torch.contiguous_format)  # of a_r, a_z, a_n and q
        pushed = torch.bmm(before, vweight.mT)
        total[..., : 2 * size] += pushed[..., : 2 * size]
        total[..., 3 * size :] += pushed[..., 2 * size :]
        moved = torch.empty_like(units)
        h_tangent = torch.empty_like(h)
        recurrent = weight.mT
        gap = before - n
        last = vh0
        for start, end in blocks(sizes):
            step = slice(start, end)
            last = last[:, : end - start]
            product = torch.bmm(last, recurrent)
            block, change = total[:, step], moved[:, step]
            block[..., : 2 * size] += product[..., : 2 * size]
            torch.mul(block[..., : 2 * size], slopes_rz[:, step], out=change[..., : 2 * size])
            dr, dz, dn, dq = change.split(size, -1)
            torch.add(block[..., 3 * size :], product[..., 2 * size :], out=dq)
            of_n = block[..., 2 * size : 3 * size]
            of_n.addcmul_(dr, q[:, step]).addcmul_(dq, r[:, step])
            torch.mul(of_n, slope_n[:, step], out=dn)
            output = torch.lerp(dn, last, z[:, step], out=h_tangent[:, step])
            last = output.addcmul_(dz, gap[:, step])

        # Gradients in what the adjoint read, for all steps at once.
        dr, dz, dn, dq = moved.split(size, -1)
        da_r, da_z, da_n, _ = da.split(size, -1)
        of_r, of_z, of_n = da_n * q, lam * gap, lam * (1 - z)  # cotangents of r, z and n
        if dunits is not None:
            of_r += dunits[..., :size]
            of_z += dunits[..., size : 2 * size]
            of_n += dunits[..., 2 * size : 3 * size]
        of_r *= 1 - 2 * r
        of_z *= 1 - 2 * z
        of_n *= -2 * n
        units_gradient = torch.cat([of_r, of_z, of_n, da_n], -1)
        units_gradient[..., : 3 * size] *= total[..., : 3 * size]
        in_r, in_z, in_n, in_q = units_gradient.split(size, -1)
        in_r.addcmul_(da_n, dq)
        in_z.addcmul_(lam, shifted(h_tangent, vh0, sizes) - dn)
        in_n.addcmul_(lam, dz, value=-1)
        in_q.mul_(dr)
        at_product = torch.cat([da_r, da_z, da[..., 3 * size :]], -1)
        h0_gradient, h_gradient = unshifted(torch.baddbmm(lam * dz, at_product, vweight), h0, sizes)
        weight_gradient = torch.bmm(at_product.mT, shifted(h_tangent, vh0, sizes))
        return h_tangent, moved, weight_gradient, h0_gradient, h_gradient, units_gradient

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise third_derivative("packed_gru")


def _slopes(units: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Derivatives of r and z, and of n, in their pre-activations: `s (1 - s)` and `1 - n^2`."""
    rz, n = units[..., : 2 * size], units[..., 2 * size : 3 * size]
    return rz - rz * rz, torch.addcmul(n.new_ones(()), n, n, value=-1)
