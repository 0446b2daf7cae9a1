"""One step of a recurrence with hand-written first and second derivatives.

The pre-activations come in two parts, `a_x = W_ih x + b_ih` and `a_h = W_hh h + b_hh`, and the cell
computes `h'`, and `c'` for an LSTM, from them. Autograd differentiates these equations to any
order, but it records about ten operations a step. For float32 on a CPU, one `Function` therefore
holds the whole step:

- Adjoint, given the cotangents dh', dc': the cell computes `da_x`, `da_h` and the gradients that it
  passes on directly. The rest are products, `dx = da_x W_ih`, `dW_ih = da_x^T x`,
  `db_ih = sum da_x`, and the same for h.
- Tangent, given the cotangents of the adjoint's results, `v_x` of dx, `V_ih` of dW_ih and so on:
  the adjoint is linear in dh' and dc', so their gradients are the tangent of the step. It starts
  from `a_x' = W_ih v_x + V_ih x + v_b`, and from a_h' in the same way. The cell also computes the
  gradients w.r.t. a_x and a_h, and products carry these to the inputs.

`csrc/gru.h` and `csrc/lstm.h` have the derivations. Third and higher derivatives are computed from
the plain equations.

Shapes, for G gates: x `(B, F)`, h and c `(B, H)` and the parameters as in torch; or x `(N, B, F)`,
h and c `(N, B, H)` and the parameters `(N, …)` with a task axis.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from l2l_rnn.functional.recurrence import compiled_step, reference
from l2l_rnn.functional.recurrence.compiled_step import KEPT
from l2l_rnn.functional.recurrence.weights import Weights


class _DirectFunction(Function):
    """A `Function` with a faster `apply` for tensors that no transform of `torch.func` wraps."""

    @classmethod
    def call(cls, *arguments: Any) -> Any:
        skipping: Any = super(Function, cls)  # skips the unwrapping of the arguments
        return skipping.apply(*arguments)


class Step(_DirectFunction):
    """x, h, c and the parameters -> h' and c'; c is None if the cell has none."""

    @staticmethod
    def forward(
        ctx: Any, cell: str, x: Tensor, h: Tensor, c: Tensor | None, *weights: Any
    ) -> tuple[Tensor, Tensor | None]:
        h_after, c_after, kept = step_forward(cell, x, h, c, *weights)
        ctx.save_for_backward(x, h, c, *weights, kept)
        ctx.cell = cell
        ctx.set_materialize_grads(False)
        return h_after, c_after

    @staticmethod
    def backward(ctx: Any, dh: Tensor | None, dc: Tensor | None) -> Any:
        needs = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():
            return None, *_Adjoint.call(ctx.cell, needs, dh, dc, *ctx.saved_tensors)
        return None, *_adjoint(ctx.cell, needs, dh, dc, *ctx.saved_tensors)[0]


class _Adjoint(_DirectFunction):
    """Cotangents of h' and c' -> gradients w.r.t. x, h, c and the parameters."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: str,
        needs: tuple[bool, ...],
        dh: Tensor | None,
        dc: Tensor | None,
        *saved: Any,
    ) -> tuple[Tensor | None, ...]:
        gradients, parts = _adjoint(cell, needs, dh, dc, *saved)
        ctx.save_for_backward(dh, dc, *saved, *parts)
        ctx.cell, ctx.needs = cell, needs
        ctx.set_materialize_grads(False)
        return gradients

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        dh, dc, *saved = ctx.saved_tensors
        if torch.is_grad_enabled():
            gradients = _plain_tangent(ctx.cell, ctx.needs, cotangents, dh, dc, *saved[:7])
        else:
            gradients = _tangent(ctx.cell, ctx.needs_input_grad[4:], cotangents, *saved)
        # An absent cotangent has no gradient, and `kept` has none of its own.
        given = ctx.needs_input_grad[2:4]
        first = (g if need else None for g, need in zip(gradients, given, strict=False))
        return None, None, *first, *gradients[2:], None


def step_forward(
    cell: str,
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Compute h', c' and the values that the derivatives read."""
    a_x, a_h = _affine(x, w_ih, b_ih), _affine(h, w_hh, b_hh)
    h = h.contiguous()
    *lead, size = h.shape
    h_after = torch.empty_like(h)
    kept = h.new_empty(*lead, KEPT[cell] * size)
    c_after = None
    if c is not None:
        c = c.contiguous()
        c_after = torch.empty_like(c)
    arrays = (a_x, a_h, h, c, kept, h_after, c_after)
    compiled_step.run("forward", cell, h.numel() // size, size, *arrays)
    return h_after, c_after, kept


def _adjoint(
    cell: str,
    needs: tuple[bool, ...],
    dh: Tensor | None,
    dc: Tensor | None,
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    _b_ih: Tensor | None,
    _b_hh: Tensor | None,
    kept: Tensor,
) -> tuple[tuple[Tensor | None, ...], tuple[Tensor | None, ...]]:
    """Compute the gradients w.r.t. the inputs that need one, and lambda, mu, da_x, da_h."""
    h_before, size = h.contiguous(), h.shape[-1]
    lam = torch.zeros_like(h_before) if dh is None else dh.contiguous()
    da_x = lam.new_empty(*h.shape[:-1], w_hh.shape[-2])
    mu = c_before = dc_before = dh_before = None
    da_h = da_x
    if cell == "gru":
        da_h, dh_before = torch.empty_like(da_x), torch.empty_like(lam)
    elif c is not None:
        c_before, dc_before = c.contiguous(), torch.empty_like(lam)
        mu = torch.zeros_like(lam) if dc is None else _copy(dc)
    arrays = (kept, h_before, c_before, lam, mu, da_x, da_h, dh_before, dc_before)
    compiled_step.run("adjoint", cell, lam.numel() // size, size, *arrays)
    gradients = (
        _product(da_x, w_ih) if needs[0] else None,
        _plus_product(dh_before, da_h, w_hh) if needs[1] else None,
        dc_before,
        _product(da_x.mT, x) if needs[3] else None,
        _product(da_h.mT, h) if needs[4] else None,
        da_x.sum(-2) if needs[5] else None,
        da_h.sum(-2) if needs[6] else None,
    )
    return gradients, (lam, mu, da_x, da_h)


def _tangent(
    cell: str,
    needs: tuple[bool, ...],
    cotangents: tuple[Tensor | None, ...],
    x: Tensor,
    h: Tensor,
    c: Tensor | None,
    w_ih: Tensor,
    w_hh: Tensor,
    _b_ih: Tensor | None,
    _b_hh: Tensor | None,
    kept: Tensor,
    lam: Tensor,
    mu: Tensor | None,
    da_x: Tensor,
    da_h: Tensor,
) -> tuple[Tensor | None, ...]:
    """Compute the gradients of the adjoint w.r.t. dh', dc', x, h, c and the parameters."""
    vx, vh, vc, v_ih, v_hh, vb_ih, vb_hh = cotangents
    h_before, size = h.contiguous(), h.shape[-1]
    # The tangents a_x' and a_h', which the cell replaces by the gradients w.r.t. a_x and a_h.
    a_x = _part_tangent(da_x, vx, w_ih, x, v_ih, vb_ih)
    a_h = _part_tangent(da_x, vh, w_hh, h, v_hh, vb_hh)
    h_tangent = torch.empty_like(lam)
    vh_or_0 = c_before = c_tangent = vc_or_0 = dh_before = dc_before = None
    if cell == "gru":
        vh_or_0 = torch.zeros_like(lam) if vh is None else vh.contiguous()
        dh_before = torch.empty_like(lam)
    else:
        a_h = a_x.add_(a_h)
    if c is not None:
        c_before, c_tangent = c.contiguous(), torch.empty_like(lam)
        vc_or_0 = torch.zeros_like(lam) if vc is None else vc.contiguous()
        dc_before = torch.empty_like(lam)
    arrays = (
        *(kept, h_before, c_before, lam, mu, da_x, da_h, vh_or_0, vc_or_0),
        *(a_x, a_h, h_tangent, c_tangent, dh_before, dc_before),
    )
    compiled_step.run("tangent", cell, lam.numel() // size, size, *arrays)
    dx = dh = dw_ih = dw_hh = None
    if needs[0]:
        dx = _product(a_x, w_ih)
        dx = dx if v_ih is None else _plus_product(dx, da_x, v_ih)
    if needs[1]:
        dh = _plus_product(dh_before, a_h, w_hh)
        dh = dh if v_hh is None else _plus_product(dh, da_h, v_hh)
    if needs[3]:
        dw_ih = _product(a_x.mT, x)
        dw_ih = dw_ih if vx is None else _plus_product(dw_ih, da_x.mT, vx)
    if needs[4]:
        dw_hh = _product(a_h.mT, h)
        dw_hh = dw_hh if vh is None else _plus_product(dw_hh, da_h.mT, vh)
    db_ih = a_x.sum(-2) if needs[5] else None
    db_hh = a_h.sum(-2) if needs[6] else None
    return h_tangent, c_tangent, dx, dh, dc_before, dw_ih, dw_hh, db_ih, db_hh


def _part_tangent(
    like: Tensor,
    vx: Tensor | None,
    weight: Tensor,
    x: Tensor,
    v: Tensor | None,
    vb: Tensor | None,
) -> Tensor:
    """Compute `W v_x + V x + v_b`, where an absent term is 0."""
    if v is not None:
        a = _affine(x, v, vb)
    elif vb is not None:
        a = _copy(vb.unsqueeze(-2).expand_as(like))  # the passes write into it
    elif vx is not None:
        return _affine(vx, weight, None)
    else:
        return torch.zeros_like(like)
    return a if vx is None else _plus_product(a, vx, weight.mT)


def _plain_tangent(
    cell: str,
    needs: tuple[bool, ...],
    cotangents: tuple[Tensor | None, ...],
    dh: Tensor | None,
    dc: Tensor | None,
    *saved: Tensor | None,
) -> tuple[Tensor | None, ...]:
    """Compute the same gradients as `_tangent` from the plain equations, with a graph."""
    # Views, because two of the arguments may be the same tensor.
    views: list[Any] = [None if t is None else t.view_as(t) for t in (dh, dc, *saved)]
    dh, dc, x, h, c, *weights = views
    states = reference.single_step(cell, x, (h,) if c is None else (h, c), Weights(*weights))
    outputs = [(s, d) for s, d in zip(states, (dh, dc), strict=False) if d is not None]
    given = [n for n, v in enumerate(cotangents) if v is not None and needs[n]]
    adjoint = torch.autograd.grad(
        [s for s, _ in outputs],
        [views[2 + n] for n in given],
        [d for _, d in outputs],
        create_graph=True,
        allow_unused=True,
    )
    used = [(g, cotangents[n]) for g, n in zip(adjoint, given, strict=True) if g is not None]
    inputs = [n for n, view in enumerate(views) if view is not None and view.requires_grad]
    gradients = torch.autograd.grad(
        [g for g, _ in used],
        [views[n] for n in inputs],
        [cast(Tensor, v) for _, v in used],
        create_graph=True,
        allow_unused=True,
    )
    by_input = dict(zip(inputs, gradients, strict=True))
    return tuple(by_input.get(n) for n in range(len(views)))


# -- products of matrices, or of batches of matrices with a task axis ---------------------------


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Compute `x W^T + b`."""
    if weight.dim() == 2:
        return F.linear(x, weight, bias)
    if bias is None:
        return torch.bmm(x, weight.mT)
    return torch.baddbmm(bias.unsqueeze(-2), x, weight.mT)


def _product(a: Tensor, b: Tensor) -> Tensor:
    return torch.mm(a, b) if a.dim() == 2 else torch.bmm(a, b)


def _plus_product(plus: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """Compute `plus + a b` in the memory of `plus`."""
    if plus is None:
        return _product(a, b)
    return plus.addmm_(a, b) if a.dim() == 2 else plus.baddbmm_(a, b)


def _copy(cotangent: Tensor) -> Tensor:
    return cotangent.clone(memory_format=torch.contiguous_format)
