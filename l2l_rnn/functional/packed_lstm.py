"""The long short-term memory over packed blocks, its first and second derivative by hand.

Three sequential passes serve every order: the recurrence forward, its adjoint backward through
time, and the adjoint of that adjoint, which is a tangent and runs forward again. Each does one
product with the recurrent weight a step; what has no recurrence in it is computed for all steps
at once.

With `a_t = g_t + W h_{t-1}` the pre-activations, `i f o = sigmoid(a)`, `u = tanh(a)`,
`c_t = f c_{t-1} + i u`, `tau_t = tanh(c_t)`, `h_t = o tau_t`:

- adjoint, t from S down, given the cotangents of h, c and the gates:
  `lambda_t = dh_t + da_{t+1} W`, `mu_t = dc_t + mu_{t+1} f_{t+1} + lambda_t o (1 - tau^2)`, and
  `da_t` from them and the slopes of the activations; `dW = sum_t da_t^T h_{t-1}`, one product.
- tangent, t from 1 up, given the cotangent `v_t` of `da_t`: `a'_t = v_t + h'_{t-1} W^T` and the
  tangents of gates, c and h. They are the gradients with respect to the cotangents that the
  adjoint was given; those with respect to gates, c, h and W are products of quantities known.

The gates and cells are outputs of the recurrence in autograd's eyes, so that the second
derivative's gradients meet there and one more adjoint pass takes them all to the inputs.

Shapes, with P packed steps in blocks of n_t rows: g `(A, P, 4H)`, W `(A, 4H, H)`, h, c
`(A, P, H)`, initial states `(A, B, H)`. Gates are stacked i, f, u, o.
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


def packed_lstm(
    projected: Tensor, weight_hh: Tensor, h0: Tensor, c0: Tensor, batch_sizes: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Compute the outputs h and cells c of all packed steps, `(A, P, H)` each.

    Differentiable twice; a third derivative raises a DerivativeError. See the module for the
    shapes.
    """
    others = [tensor.to(projected.dtype) for tensor in (weight_hh, h0, c0)]
    with without_autocast(projected):
        h, c, _ = _Recurrence.apply(projected, *others, tuple(batch_sizes))
    return h, c


class _Recurrence(Function):
    """From the projections to h, c and the gates."""

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, weight: Tensor, h0: Tensor, c0: Tensor, sizes: tuple[int, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        size = h0.shape[-1]
        gates = torch.empty_like(g, memory_format=torch.contiguous_format)
        h = g.new_empty(*g.shape[:2], size)
        c = torch.empty_like(h)
        recurrent = weight.mT
        h_before, c_before = h0, c0
        for start, end in blocks(sizes):
            rows = end - start
            a = torch.bmm(h_before[:, :rows], recurrent)
            a += g[:, start:end]
            block = gates[:, start:end]
            torch.sigmoid(a, out=block)
            torch.tanh(a[..., 2 * size : 3 * size], out=block[..., 2 * size : 3 * size])
            i, f, u, o = block.split(size, -1)
            cell = c[:, start:end]
            torch.mul(f, c_before[:, :rows], out=cell)
            cell.addcmul_(i, u)
            output = h[:, start:end]
            torch.tanh(cell, out=output)
            output *= o
            h_before, c_before = output, cell
        ctx.save_for_backward(weight, h0, c0, h, c, gates)
        ctx.sizes = sizes
        ctx.set_materialize_grads(False)
        return h, c, gates

    @staticmethod
    def backward(ctx: Any, dh: Tensor | None, dc: Tensor | None, dgates: Tensor | None) -> Any:
        weight, h0, c0, h, c, gates = ctx.saved_tensors
        if dh is None:
            dh = torch.zeros_like(h)
        with without_autocast(h):
            gradients = _Adjoint.apply(dh, dc, dgates, weight, h0, c0, h, c, gates, ctx.sizes)
        return *gradients, None


class _Adjoint(Function):
    """From the cotangents of h, c and the gates to those of the recurrence's inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        dh: Tensor,
        dc: Tensor | None,
        dgates: Tensor | None,
        weight: Tensor,
        h0: Tensor,
        c0: Tensor,
        h: Tensor,
        c: Tensor,
        gates: Tensor,
        sizes: tuple[int, ...],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        size = h.shape[-1]
        i, f, u, o = gates.split(size, -1)
        tau = c.tanh()
        slope = o * (1 - tau * tau)  # of h in c
        before = shifted(c, c0, sizes)  # c_{t-1}
        factors = torch.cat([u, before, i, tau], -1)  # of mu, mu, mu, lambda in the gates
        slopes = _slopes(gates, size)

        lam = dh.clone(memory_format=torch.contiguous_format)
        mu = (
            torch.zeros_like(lam) if dc is None else dc.clone(memory_format=torch.contiguous_format)
        )
        dg = torch.empty_like(gates)
        rows_after = 0
        for start, end in reversed(list(blocks(sizes))):
            rows = end - start
            of_h, of_c = lam[:, start:end], mu[:, start:end]
            if rows_after:
                after = slice(end, end + rows_after)
                of_h[:, :rows_after] += torch.bmm(dg[:, after], weight)
                of_c[:, :rows_after].addcmul_(mu[:, after], f[:, after])
            of_c.addcmul_(of_h, slope[:, start:end])
            block = dg[:, start:end].unflatten(-1, (4, size))
            known = factors[:, start:end].unflatten(-1, (4, size))
            torch.mul(known[..., :3, :], of_c.unsqueeze(-2), out=block[..., :3, :])
            torch.mul(known[..., 3, :], of_h, out=block[..., 3, :])
            if dgates is not None:
                dg[:, start:end] += dgates[:, start:end]
            dg[:, start:end] *= slopes[:, start:end]
            rows_after = rows

        first = sizes[0]
        dh0, dc0 = torch.zeros_like(h0), torch.zeros_like(c0)
        dh0[:, :first] = torch.bmm(dg[:, :first], weight)
        dc0[:, :first] = mu[:, :first] * f[:, :first]
        dweight = torch.bmm(dg.mT, shifted(h, h0, sizes))
        ctx.save_for_backward(weight, h0, c0, h, c, gates, lam, mu, dg, dgates)
        ctx.sizes, ctx.has_dc = sizes, dc is not None
        return dg, dweight, dh0, dc0

    @staticmethod
    def backward(ctx: Any, v: Tensor, vweight: Tensor, vh0: Tensor, vc0: Tensor) -> Any:
        with without_autocast(v):
            gradients = _Tangent.apply(v, vweight, vh0, vc0, *ctx.saved_tensors, ctx.sizes)
        (h_tangent, c_tangent, moved, *others) = gradients
        given = ctx.saved_tensors[-1] is not None
        return h_tangent, c_tangent if ctx.has_dc else None, moved if given else None, *others, None


class _Tangent(Function):
    """From the cotangents of the adjoint's results to those of what it was given."""

    @staticmethod
    def forward(
        ctx: Any,
        v: Tensor,
        vweight: Tensor,
        vh0: Tensor,
        vc0: Tensor,
        weight: Tensor,
        h0: Tensor,
        c0: Tensor,
        h: Tensor,
        c: Tensor,
        gates: Tensor,
        lam: Tensor,
        mu: Tensor,
        dg: Tensor,
        dgates: Tensor | None,
        sizes: tuple[int, ...],
    ) -> tuple[Tensor, ...]:
        size = h.shape[-1]
        i, f, u, o = gates.split(size, -1)
        tau = c.tanh()
        gap = 1 - tau * tau
        slope = o * gap
        c_before = shifted(c, c0, sizes)
        slopes = _slopes(gates, size)

        # Tangent, forward through time: V = v + V_W h_{t-1} + h' W^T, then gates', c', h'.
        total = torch.baddbmm(v, shifted(h, h0, sizes), vweight.mT)  # (A, P, 4H)
        moved = torch.empty_like(gates)  # tangents of the gates
        c_tangent, h_tangent = torch.empty_like(c), torch.empty_like(h)
        recurrent = weight.mT
        h_last, c_last = vh0, vc0
        for start, end in blocks(sizes):
            rows = end - start
            block = total[:, start:end]
            block += torch.bmm(h_last[:, :rows], recurrent)
            change = moved[:, start:end]
            torch.mul(block, slopes[:, start:end], out=change)
            di, df, du, do = change.split(size, -1)
            cell = c_tangent[:, start:end]
            torch.mul(f[:, start:end], c_last[:, :rows], out=cell)
            cell.addcmul_(di, u[:, start:end])
            cell.addcmul_(df, c_before[:, start:end])
            cell.addcmul_(du, i[:, start:end])
            output = h_tangent[:, start:end]
            torch.mul(do, tau[:, start:end], out=output)
            output.addcmul_(cell, slope[:, start:end])
            h_last, c_last = output, cell

        # Gradients in what the adjoint read, for all steps at once.
        di, df, du, do = moved.split(size, -1)
        raw = torch.cat([mu * u, mu * c_before, mu * i, lam * tau], -1)  # of the gates
        if dgates is not None:
            raw += dgates
        gates_gradient = total.mul_(raw).mul_(_curvatures(gates, size))
        gi, gf, gu, go = gates_gradient.split(size, -1)
        gi.addcmul_(du, mu)
        gf.addcmul_(shifted(c_tangent, vc0, sizes), mu)
        gu.addcmul_(di, mu)
        push = c_tangent * lam  # of the slope of h in c
        go.addcmul_(push, gap)
        c0_gradient, c_gradient = unshifted(df * mu, c0, sizes)
        c_gradient += gap * (do * lam - 2 * push * o * tau)
        h0_gradient, h_gradient = unshifted(torch.bmm(dg, vweight), h0, sizes)
        weight_gradient = torch.bmm(dg.mT, shifted(h_tangent, vh0, sizes))
        return (
            h_tangent,
            c_tangent,
            moved,
            weight_gradient,
            h0_gradient,
            c0_gradient,
            h_gradient,
            c_gradient,
            gates_gradient,
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise third_derivative("packed_lstm")


def _slopes(gates: Tensor, size: int) -> Tensor:
    """Derivative of each gate in its pre-activation, from the gate: `s (1 - s)` or `1 - u^2`."""
    slopes = gates - gates * gates
    u = gates[..., 2 * size : 3 * size]
    torch.addcmul(u.new_ones(()), u, u, value=-1, out=slopes[..., 2 * size : 3 * size])
    return slopes


def _curvatures(gates: Tensor, size: int) -> Tensor:
    """Derivative of each slope in its gate: `1 - 2 s` or `-2 u`."""
    curvatures = 1 - 2 * gates
    curvatures[..., 2 * size : 3 * size] -= 1
    return curvatures
