"""A recurrence over packed blocks with hand-written first and second derivatives.

Each recurrence has pre-activations `a_t = W z_t`, with `z_t = [x_t 1 h_{t-1}]` and
`W = [W_ih b W_hh]` (each bias is a column). A pointwise part, a `PackedCell`, computes `h_t`, and
for some cells `c_t`, from them. Three sequential passes are enough for both orders: the recurrence
itself, forward in time; its adjoint, backward; and the tangent, which is the adjoint of that
adjoint, forward again.

- Adjoint, for t from S down to 1, given the cotangents dh, dc of the outputs: `lambda_t`, the
  gradient w.r.t. h_t, is the sum of `dh_t`, the last H columns of `da_{t+1} W`, and the terms that
  the cell passes on directly. The cell computes `da_t` from it. Then `dx = da W_ih` and
  `dW = sum_t da_t^T z_t`, one product each.
- Tangent, for t from 1 to S, given the cotangents V of dW and v of dx, dh0, dc0. The adjoint is
  linear in dh, `da = J^T dh`, so the gradient w.r.t. dh is the forward tangent of the recurrence.
  It starts from `z'_t = [v_t 0 h'_{t-1}]` and `a'_t = V z_t + W z'_t`. From these, the cell
  computes `h'_t` and `c'_t`, the gradients w.r.t. dh and dc. The gradients w.r.t. a, h, c and W are
  products of quantities that are known by then.

The tangent's gradients w.r.t. a, h and c arrive at the recurrence's own outputs, so another adjoint
pass carries them to the inputs. A second-order step therefore has six passes: forward and adjoint
on the support set, forward and adjoint on the query set, tangent, adjoint.

The operands of one step are few and fit into the processor's cache. Each pass therefore does its
pointwise work one step at a time, in place or in one workspace, and keeps a whole-sequence array
only if a later pass reads it.

Shapes, with P packed steps in blocks of n_t rows and U pre-activations per hidden unit:
x `(A, P, F)`, W `(A, UH, F + biases + H)`, h, c `(A, P, H)`, initial states `(A, B, H)`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.errors import DerivativeError, ShapeError
from l2l_rnn.functional.affine import product_type
from l2l_rnn.functional.recurrence import compiled_passes, torch_passes
from l2l_rnn.functional.recurrence.arrays import (
    AdjointArrays,
    ForwardArrays,
    Known,
    PassArrays,
    TangentArrays,
)
from l2l_rnn.functional.recurrence.cell import PackedCell


# Not traced: a compiler would give the passes' in-place writes separate memory.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def packed_recurrence(
    cell: PackedCell,
    x: Tensor,
    weight: Tensor,
    state: tuple[Tensor, ...],
    batch_sizes: Sequence[int],
    outside: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Compute the state after every packed step: tensors `(A, P, H)`, h first.

    Twice differentiable; a third derivative raises a DerivativeError.

    Args:
        cell: the pointwise part.
        x: the packed steps.
        weight: W.
        state: the initial h, and c if the cell has one.
        batch_sizes: number of sequences that take each step, non-increasing, at most B.
        outside: True where h is held at 0, `(A, P, 1)`. The derivatives of the cell must be 0
            there.

    Raises:
        ShapeError: the shapes do not match, or `batch_sizes` is not valid.
    """
    _check(cell, x, weight, state, batch_sizes, outside)
    dtype = product_type(x)
    x, weight, *initial = (tensor.to(dtype) for tensor in (x, weight, *state))
    h0, c0 = initial if cell.has_cell else (initial[0], initial[0][..., :0])
    weight, h0, c0 = weight.contiguous(), h0.contiguous(), c0.contiguous()
    differs = torch.is_grad_enabled() and any(t.requires_grad for t in (x, weight, h0, c0))
    with _without_autocast(x):
        h, c, _ = _Recurrence.apply(x, weight, h0, c0, cell, tuple(batch_sizes), differs, outside)
    return (h, c) if cell.has_cell else (h,)


class _Recurrence(Function):
    """Inputs, weight and initial state -> h and c.

    A third output stands in for the pre-activations. It holds no values. Its cotangent is the
    gradient w.r.t. a that `_Tangent` computes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        h0: Tensor,
        c0: Tensor,
        cell: PackedCell,
        sizes: tuple[int, ...],
        differs: bool,
        outside: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        features, size = x.shape[-1], h0.shape[-1]
        z = x.new_empty(*x.shape[:2], weight.shape[-1])
        z[..., :features] = x
        z[..., features:-size] = 1
        h = x.new_empty(*x.shape[:2], size)
        c = h.new_empty(*h.shape[:2], c0.shape[-1])
        # If no derivative will be taken, all steps share the gates of one step.
        gates = h.new_empty(len(h), h.shape[1] if differs else sizes[0], cell.kept * size)
        stand_in = h.new_zeros(()).expand(*h.shape[:2], cell.stacked * size)
        known = Known(x, weight, h0, c0, h, c, stand_in, z, gates)
        _run(cell, sizes, ForwardArrays(**known.read(), z=z, outside=outside))
        ctx.save_for_backward(*known)
        ctx.cell, ctx.sizes = cell, sizes
        ctx.set_materialize_grads(False)
        return h, c, stand_in

    @staticmethod
    def backward(ctx: Any, dh: Tensor | None, dc: Tensor | None, da: Tensor | None) -> Any:
        saved = ctx.saved_tensors  # read once: under checkpointing, each access recomputes them
        with _without_autocast(saved[0]):
            gradients = _Adjoint.apply(
                ctx.cell, ctx.sizes, ctx.needs_input_grad[0], dh, dc, da, *saved
            )
        return *gradients, None, None, None, None


class _Adjoint(Function):
    """Cotangents of h, c and a -> gradients w.r.t. the recurrence's inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: PackedCell,
        sizes: tuple[int, ...],
        needs_dx: bool,
        dh: Tensor | None,
        dc: Tensor | None,
        da_given: Tensor | None,
        *saved: Tensor,
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        known = Known(*saved)
        arrays = AdjointArrays(
            **known.read(),
            z=known.z,
            lam=_accumulator(dh, known.h),
            mu=_accumulator(dc, known.c),
            dh0=torch.zeros_like(known.h0),
            dc0=torch.zeros_like(known.c0),
            da=known.h.new_empty(known.stand_in.shape),
            da_given=da_given,
        )
        _run(cell, sizes, arrays)
        dweight = torch.bmm(arrays.da.mT, known.z)
        features = known.x.shape[-1]
        dx = torch.bmm(arrays.da, known.weight[..., :features]) if needs_dx else None
        ctx.save_for_backward(*saved, arrays.lam, arrays.mu, arrays.da)
        ctx.cell, ctx.sizes, ctx.was_given = cell, sizes, da_given is not None
        ctx.set_materialize_grads(False)
        return dx, dweight, arrays.dh0, arrays.dc0

    @staticmethod
    def backward(
        ctx: Any, vx: Tensor | None, v: Tensor | None, vh0: Tensor | None, vc0: Tensor | None
    ) -> Any:
        if ctx.was_given:
            raise _third_derivative()
        saved = ctx.saved_tensors
        _, _, _, needs_dh, needs_dc, _, needs_x, *_ = ctx.needs_input_grad
        with _without_autocast(saved[0]):
            h_tangent, c_tangent, *gradients = _Tangent.apply(
                ctx.cell, ctx.sizes, needs_x, vx, v, vh0, vc0, *saved
            )
        # An absent cotangent has no gradient.
        dh, dc = h_tangent if needs_dh else None, c_tangent if needs_dc else None
        return None, None, None, dh, dc, None, *gradients, None, None


class _Tangent(Function):
    """Cotangents of the adjoint's results -> gradients w.r.t. dh, dc, x, W, h0, c0, h, c, a."""

    @staticmethod
    def forward(
        ctx: Any,
        cell: PackedCell,
        sizes: tuple[int, ...],
        needs_x: bool,
        vx: Tensor | None,
        v: Tensor | None,
        vh0: Tensor | None,
        vc0: Tensor | None,
        *saved: Tensor,
    ) -> tuple[Tensor | None, ...]:
        known, (lam, mu, da) = Known(*saved[:-3]), saved[-3:]
        x, weight, h0, c0, h, c, _, z, _ = known
        features, size = x.shape[-1], h.shape[-1]
        if v is None:
            v = torch.zeros_like(weight)
        z_tangent = torch.empty_like(z)
        z_tangent[..., :features] = 0 if vx is None else vx
        z_tangent[..., features:-size] = 0
        arrays = TangentArrays(
            **known.read(),
            lam=lam,
            mu=mu,
            da=da,
            z=z_tangent,
            first_column=0 if vx is not None else z.shape[-1] - size,
            h_tangent=torch.empty_like(h),
            c_tangent=torch.empty_like(c),
            h0_tangent=torch.zeros_like(h0) if vh0 is None else vh0,
            c0_tangent=torch.zeros_like(c0) if vc0 is None else vc0,
            a_tangent=torch.bmm(z, v.mT),
            dz=torch.bmm(da, v),
            h_gradient=torch.zeros_like(h),
            c_gradient=torch.zeros_like(c),
            dh0=torch.zeros_like(h0),
            dc0=torch.zeros_like(c0),
        )
        _run(cell, sizes, arrays)
        return (
            arrays.h_tangent,
            arrays.c_tangent,
            arrays.dz[..., :features].contiguous() if needs_x else None,
            torch.bmm(da.mT, z_tangent),
            arrays.dh0,
            arrays.dc0,
            arrays.h_gradient,
            arrays.c_gradient,
            arrays.a_tangent,
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise _third_derivative()


def _run(cell: PackedCell, sizes: Sequence[int], arrays: PassArrays) -> None:
    """Run one pass over all steps, in compiled code if it supports these arrays."""
    kind = type(cell)
    if compiled_passes.serve(kind, arrays.real()):
        compiled_passes.run(kind, sizes, arrays)
    else:
        torch_passes.run(cell, sizes, arrays)


def _check(
    cell: PackedCell,
    x: Tensor,
    weight: Tensor,
    state: tuple[Tensor, ...],
    batch_sizes: Sequence[int],
    outside: Tensor | None,
) -> None:
    axes, packed, features = x.shape if x.dim() == 3 else (0, 0, 0)
    batch, size = state[0].shape[1:] if state[0].dim() == 3 else (0, 0)
    biases = weight.shape[-1] - features - size
    fits = (
        axes > 0
        and weight.shape[:-1] == (axes, cell.stacked * size)
        and 0 <= biases <= 2
        and len(state) == 1 + cell.has_cell
        and all(s.shape == (axes, batch, size) for s in state)
        and (outside is None or outside.shape == (axes, packed, 1))
    )
    if not fits:
        shapes = ", ".join(str(tuple(t.shape)) for t in (x, weight, *state))
        raise ShapeError(
            f"packed_recurrence: expected x (A, P, F), stacked weights (A, {cell.stacked} H, …) "
            f"and states (A, B, H), all with the same A, got shapes {shapes}; give each task and "
            "direction its own parameters"
        )
    ordered = all(n >= m > 0 for n, m in itertools.pairwise((batch, *batch_sizes)))
    if sum(batch_sizes) != packed or not ordered:
        raise ShapeError(
            f"packed_recurrence: batch_sizes must sum to P={packed} and never increase, from at "
            f"most B={batch} down to at least 1, got {list(batch_sizes)[:8]}"
        )


def _accumulator(cotangent: Tensor | None, like: Tensor) -> Tensor:
    """Return a tensor to accumulate into, which starts as a cotangent or as 0."""
    if cotangent is None:
        return torch.zeros_like(like)
    return cotangent.clone(memory_format=torch.contiguous_format)


def _without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Disable autocast, because the passes share tensors and their dtype must not change."""
    device = x.device.type
    return torch.autocast(device, enabled=False) if device in ("cpu", "cuda") else nullcontext()


def _third_derivative() -> DerivativeError:
    return DerivativeError(
        "packed_recurrence: a third derivative was requested, but there are only the first two; "
        "compute it through torch.func, or call backward() without create_graph"
    )
