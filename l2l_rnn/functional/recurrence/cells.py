"""The packed cells: the pointwise parts of the recurrences with first and second derivatives.

Each method of a `PackedCell` works in place on views of one step, `(A, n, ·)`; see `cell` for its
arguments and results. A prime marks a tangent: `h'` is the tangent of h.

The derivations are in `csrc/rnn_passes.h`, `csrc/gru.h` and `csrc/lstm.h`, which have the same
equations for one element. Here every operation writes into existing memory, so that the operands
of a step stay in the processor's cache.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from l2l_rnn.functional.recurrence.cell import Cotangents, PackedCell, Step, Tangents, Views

_ONE = torch.ones(())


class PackedTanhCell(PackedCell):
    """`h = tanh(a)`, with the derivative `dh/da = 1 - h^2`."""

    stacked: ClassVar[int] = 1
    kept: ClassVar[int] = 0
    scratch: ClassVar[int] = 1

    def forward(self, step: Step, a: Views) -> None:
        torch.tanh(a[0], out=step.h)

    def adjoint(self, step: Step, cotangents: Cotangents, scratch: Views) -> None:
        lam, (w,) = cotangents.lam, scratch
        torch.mul(lam, step.h, out=w)
        torch.addcmul(lam, w, step.h, value=-1, out=cotangents.da[0])

    def tangent(
        self, step: Step, cotangents: Cotangents, tangents: Tangents, dc: Tensor, scratch: Views
    ) -> None:
        (a,), (w,) = tangents.a, scratch
        torch.mul(a, step.h, out=w)
        torch.addcmul(a, w, step.h, value=-1, out=tangents.h)
        torch.mul(w, cotangents.da[0], out=a).mul_(-2)


class PackedReluCell(PackedCell):
    """`h = max(a, 0)`, with the derivative `dh/da = 1` where h is positive and 0 elsewhere."""

    stacked: ClassVar[int] = 1
    kept: ClassVar[int] = 0
    scratch: ClassVar[int] = 1

    def forward(self, step: Step, a: Views) -> None:
        torch.clamp_min(a[0], 0, out=step.h)

    def adjoint(self, step: Step, cotangents: Cotangents, scratch: Views) -> None:
        torch.mul(cotangents.lam, torch.sign(step.h, out=scratch[0]), out=cotangents.da[0])

    def tangent(
        self, step: Step, cotangents: Cotangents, tangents: Tangents, dc: Tensor, scratch: Views
    ) -> None:
        (a,) = tangents.a
        torch.mul(a, torch.sign(step.h, out=scratch[0]), out=tangents.h)
        a.zero_()


class PackedGRUCell(PackedCell):
    """`r, z = sigmoid(a_r), sigmoid(a_z)`, `n = tanh(a_n + r q)`, `h = n + z (h_before - n)`.

    The pre-activations stack r, z, the input part of n (a_n) and the state part of n (q). The cell
    keeps r, z, n and q.
    """

    stacked: ClassVar[int] = 4
    kept: ClassVar[int] = 4
    scratch: ClassVar[int] = 7

    def parts(self, x: Tensor, size: int) -> Views:
        """Return r and z together, then r, z, n and q."""
        return x[..., : 2 * size], *x.split(size, -1)

    def scratch_parts(self, x: Tensor, size: int) -> Views:
        slopes, tangents, rest = x.split([2 * size, 2 * size, 3 * size], -1)
        return (
            *(slopes, *slopes.split(size, -1)),
            *(tangents, *tangents.split(size, -1)),
            *rest.split(size, -1),
        )

    def forward(self, step: Step, a: Views) -> None:
        rz, r, z, n, q = step.gates
        a_rz, _, _, a_n, a_q = a
        torch.sigmoid(a_rz, out=rz)
        q.copy_(a_q)
        torch.tanh(a_n.addcmul_(r, a_q), out=n)
        torch.lerp(n, step.h_before, z, out=step.h)

    def adjoint(self, step: Step, cotangents: Cotangents, scratch: Views) -> None:
        lam, _, da, dh_before, _ = cotangents
        rz, r, z, n, q = step.gates
        d_rz, d_r, d_z, d_n, d_q = da
        *_, w, w2, _ = scratch
        torch.addcmul(lam, lam, z, value=-1, out=w)  # dn = lambda (1 - z)
        torch.mul(w, n, out=w2)
        torch.addcmul(w, w2, n, value=-1, out=d_n)
        torch.mul(d_n, r, out=d_q)
        torch.addcmul(rz, rz, rz, value=-1, out=d_rz)  # the slopes s (1 - s)
        d_r.mul_(d_n).mul_(q)
        d_z.mul_(torch.sub(step.h_before, n, out=w)).mul_(lam)
        dh_before.addcmul_(lam, z)

    def tangent(
        self, step: Step, cotangents: Cotangents, tangents: Tangents, dc: Tensor, scratch: Views
    ) -> None:
        lam, _, da, dh_before, _ = cotangents
        h_tangent_before, _, a, h_tangent, _ = tangents
        rz, r, z, n, q = step.gates
        d_rz, _, _, d_n, _ = da
        a_rz, a_r, a_z, y, a_q = a  # y starts as a_n' and becomes the tangent of a_n + r q
        slopes, slope_r, slope_z, rz_tangent, r_tangent, z_tangent, slope_n, n_tangent, w = scratch
        torch.addcmul(rz, rz, rz, value=-1, out=slopes)
        torch.mul(a_rz, slopes, out=rz_tangent)
        y.addcmul_(r_tangent, q).addcmul_(r, a_q)
        torch.sub(_ONE, torch.mul(n, n, out=slope_n), out=slope_n)
        torch.mul(y, slope_n, out=n_tangent)
        torch.lerp(n_tangent, h_tangent_before, z, out=h_tangent)
        h_tangent.addcmul_(z_tangent, torch.sub(step.h_before, n, out=w))

        torch.mul(lam, z_tangent, out=w)
        dh_before.add_(w)
        y.mul_(n).mul_(d_n).mul_(-2).addcmul_(w, slope_n, value=-1)  # gradient w.r.t. a_n + r q
        a_rz.mul_(d_rz)
        a_rz.addcmul_(a_rz, rz, value=-2)  # d/da s (1 - s) = s (1 - s) (1 - 2 s)
        torch.sub(h_tangent_before, n_tangent, out=w).mul_(lam)
        a_z.addcmul_(w, slope_z)
        torch.mul(a_q, d_n, out=w).addcmul_(q, y)
        a_r.addcmul_(w, slope_r)
        torch.mul(d_n, r_tangent, out=a_q).addcmul_(r, y)


class PackedLSTMCell(PackedCell):
    """`i, f, o = sigmoid(a)`, `g = tanh(a_g)`, `c = f c_before + i g`, `h = o tanh(c)`.

    The pre-activations stack i, f, g, o. The cell keeps these gates and `tau = tanh(c)`.
    """

    stacked: ClassVar[int] = 4
    kept: ClassVar[int] = 5
    has_cell: ClassVar[bool] = True
    scratch: ClassVar[int] = 10

    def parts(self, x: Tensor, size: int) -> Views:
        """Return all four gates; i, f, g on a separate axis; i and f together; then i, f, g, o."""
        three = x[..., : 3 * size].unflatten(-1, (3, size))
        return x[..., : 4 * size], three, x[..., : 2 * size], *x.split(size, -1)

    def scratch_parts(self, x: Tensor, size: int) -> Views:
        slopes, tangents, rest = x.split([4 * size, 4 * size, 2 * size], -1)
        return *self.parts(slopes, size), tangents, *tangents.split(size, -1), *rest.split(size, -1)

    def forward(self, step: Step, a: Views) -> None:
        _, _, if_gates, i, f, g, o, tau = step.gates
        _, _, a_if, _, _, a_g, a_o = a
        torch.sigmoid(a_if, out=if_gates)
        torch.tanh(a_g, out=g)
        torch.sigmoid(a_o, out=o)
        torch.mul(f, step.c_before, out=step.c).addcmul_(i, g)
        torch.tanh(step.c, out=tau)
        torch.mul(o, tau, out=step.h)

    def adjoint(self, step: Step, cotangents: Cotangents, scratch: Views) -> None:
        lam, mu, da, _, dc_before = cotangents
        _, _, _, i, f, g, o, tau = step.gates
        _, d_ifg, _, d_i, d_f, d_g, d_o = da
        w = scratch[-1]
        mu.addcmul_(lam, torch.addcmul(o, step.h, tau, value=-1, out=w))  # o (1 - tau^2)
        torch.mul(i, g, out=w)
        torch.addcmul(w, i, w, value=-1, out=d_i)  # g i (1 - i)
        torch.addcmul(i, w, g, value=-1, out=d_g)  # i (1 - g^2)
        torch.mul(f, step.c_before, out=w)
        torch.addcmul(w, f, w, value=-1, out=d_f)  # c_before f (1 - f)
        d_ifg.mul_(mu.unsqueeze(-2))
        torch.addcmul(step.h, o, step.h, value=-1, out=d_o).mul_(lam)  # tau o (1 - o)
        dc_before.addcmul_(mu, f)

    def tangent(
        self, step: Step, cotangents: Cotangents, tangents: Tangents, dc: Tensor, scratch: Views
    ) -> None:
        lam, mu, da, _, dc_before = cotangents
        _, c_tangent_before, a_parts, h_tangent, c_tangent = tangents
        gates, _, if_gates, i, f, g, o, tau = step.gates
        a, _, a_if, a_i, a_f, a_g, a_o = a_parts
        slopes, slope_ifg, _, slope_i, slope_f, slope_g, slope_o = scratch[:7]
        gate_tangents, i_tangent, f_tangent, g_tangent, o_tangent, w, w2 = scratch[7:]
        torch.addcmul(gates, gates, gates, value=-1, out=slopes)
        torch.sub(_ONE, torch.mul(g, g, out=slope_g), out=slope_g)
        torch.mul(a, slopes, out=gate_tangents)
        torch.mul(f, c_tangent_before, out=c_tangent)
        c_tangent.addcmul_(i_tangent, g).addcmul_(f_tangent, step.c_before)
        c_tangent.addcmul_(g_tangent, i)
        torch.addcmul(o, step.h, tau, value=-1, out=w)  # o (1 - tau^2)
        torch.mul(o_tangent, tau, out=h_tangent).addcmul_(c_tangent, w)

        a.mul_(da[0])
        a_if.addcmul_(a_if, if_gates, value=-2)  # d/da s (1 - s) = s (1 - s) (1 - 2 s)
        a_o.addcmul_(a_o, o, value=-2)
        a_g.mul_(g).mul_(-2)  # d/da (1 - g^2) = -2 g (1 - g^2)
        slope_ifg.mul_(mu.unsqueeze(-2))
        a_i.addcmul_(slope_i, g_tangent)
        a_f.addcmul_(slope_f, c_tangent_before)
        a_g.addcmul_(slope_g, i_tangent)
        torch.mul(lam, tau, out=w2)
        torch.addcmul(lam, w2, tau, value=-1, out=w2)  # lambda (1 - tau^2)
        a_o.addcmul_(slope_o, torch.mul(c_tangent, w2, out=w))
        torch.addcmul(o_tangent, c_tangent, step.h, value=-2, out=w)
        dc.addcmul_(w, w2)
        dc_before.addcmul_(f_tangent, mu)
