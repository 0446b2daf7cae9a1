"""A recurrence over packed blocks, its first and second derivative by hand.

Every recurrence here has the pre-activations `a_t = W z_t`, with `z_t = [x_t 1 h_{t-1}]` and
`W = [W_ih b W_hh]` (each bias a column), and a pointwise part, a `PackedCell`, that makes `h_t` of
them, and a cell `c_t`. Three sequential passes serve every order: the recurrence forward, its
adjoint backward through time, and the adjoint of that adjoint, a tangent that runs forward again:

- adjoint, t from S down, given the cotangents dh, dc of the outputs: `lambda_t`, the gradient in
  h_t, is `dh_t` plus the last H columns of `da_{t+1} W` and what the cell carries on directly; the
  cell makes `da_t` of it; `dW = sum_t da_t^T z_t`, one product.
- tangent, t from 1 up, given the cotangents V of dW and v of dx, dh0, dc0:
  `z'_t = [v_t 0 h'_{t-1}]`, `a'_t = V z_t + W z'_t`, and the cell makes `h'_t`, `c'_t` of it: the
  gradients in dh and dc. Those in a, h, c and W are products of quantities that are then known.

The second derivative's gradients in a, h and c meet in the recurrence's own outputs, so one more
adjoint pass takes them to the inputs: six passes in all for a second-order step.

A step's operands are few and small enough to stay in the processor's cache, so each pass does all
its pointwise work a step at a time, in place or in one workspace, and keeps whole-sequence arrays
for what later passes read alone.

Shapes, with P packed steps in blocks of n_t rows and U pre-activations for each hidden unit:
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
from l2l_rnn.functional.recurrence.cell import PackedCell


# Not traced: a compiler would take the passes' writes into shared memory apart.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def packed_recurrence(
    cell: PackedCell,
    x: Tensor,
    weight: Tensor,
    state: tuple[Tensor, ...],
    batch_sizes: Sequence[int],
    outside: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Compute the state after every packed step, h first, `(A, P, H)` each.

    Differentiable twice; a third derivative raises a DerivativeError.

    Args:
        cell: the pointwise part.
        x: the packed steps.
        weight: W.
        state: the initial h, and c if the cell has one.
        batch_sizes: sequences that take each step, non-increasing, none above B.
        outside: True where h is held at 0, `(A, P, 1)`; for a cell whose derivatives are 0 there.

    Raises:
        ShapeError: the shapes do not fit each other, or the sizes are not those of packed steps.
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
    """From inputs, weight and initial state to h and c.

    A third output stands for the pre-activations: it holds no values, and its cotangent is the
    gradient in a that the second derivative finds.
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
        size = h0.shape[-1]
        z = x.new_empty(*x.shape[:2], weight.shape[-1])
        features = x.shape[-1]
        z[..., :features] = x
        z[..., features:-size] = 1
        h = x.new_empty(*x.shape[:2], size)
        c = h.new_empty(*h.shape[:2], c0.shape[-1])
        # Where nothing is kept, the units of one step serve them all.
        units = h.new_empty(len(h), h.shape[1] if differs else sizes[0], cell.kept * size)
        known = {"weight": weight, "h0": h0, "c0": c0, "z": z, "units": units, "h": h, "c": c}
        _run("forward", cell, sizes, {**known, "outside": outside})
        stand_in = h.new_zeros(()).expand(*h.shape[:2], cell.stacked * size)
        ctx.save_for_backward(x, weight, h0, c0, h, c, stand_in, z, units)
        ctx.cell, ctx.sizes = cell, sizes
        ctx.set_materialize_grads(False)
        return h, c, stand_in

    @staticmethod
    def backward(ctx: Any, dh: Tensor | None, dc: Tensor | None, da: Tensor | None) -> Any:
        saved = ctx.saved_tensors  # once: checkpointing computes them anew at each look
        needs_dx = ctx.needs_input_grad[0]
        with _without_autocast(saved[0]):
            gradients = _Adjoint.apply(dh, dc, da, *saved, ctx.cell, ctx.sizes, needs_dx)
        return *gradients, None, None, None, None


class _Adjoint(Function):
    """From the cotangents of h, c and a to those of the recurrence's inputs."""

    @staticmethod
    def forward(
        ctx: Any,
        dh: Tensor | None,
        dc: Tensor | None,
        da_given: Tensor | None,
        x: Tensor,
        weight: Tensor,
        h0: Tensor,
        c0: Tensor,
        h: Tensor,
        c: Tensor,
        stand_in: Tensor,
        z: Tensor,
        units: Tensor,
        cell: PackedCell,
        sizes: tuple[int, ...],
        needs_dx: bool,
    ) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
        lam, mu = _accumulator(dh, h), _accumulator(dc, c)
        dh0, dc0 = torch.zeros_like(h0), torch.zeros_like(c0)
        da = h.new_empty(stand_in.shape)
        known = {"weight": weight, "h0": h0, "c0": c0, "z": z, "units": units, "h": h, "c": c}
        gradients = {"lam": lam, "mu": mu, "dh0": dh0, "dc0": dc0, "da": da, "da_given": da_given}
        _run("adjoint", cell, sizes, {**known, **gradients})
        dweight = torch.bmm(da.mT, z)
        dx = torch.bmm(da, weight[..., : x.shape[-1]]) if needs_dx else None
        ctx.save_for_backward(x, weight, h0, c0, h, c, z, units, lam, mu, da)
        ctx.cell, ctx.sizes, ctx.was_given = cell, sizes, da_given is not None
        ctx.set_materialize_grads(False)
        return dx, dweight, dh0, dc0

    @staticmethod
    def backward(
        ctx: Any, vx: Tensor | None, v: Tensor | None, vh0: Tensor | None, vc0: Tensor | None
    ) -> Any:
        if ctx.was_given:
            raise _third_derivative()
        saved = ctx.saved_tensors
        with _without_autocast(saved[0]):
            h_tangent, c_tangent, *gradients = _Tangent.apply(
                vx, v, vh0, vc0, *saved, ctx.cell, ctx.sizes, ctx.needs_input_grad[3]
            )
        cotangents = [  # a cotangent that did not come gets none
            tangent if needed else None
            for tangent, needed in zip((h_tangent, c_tangent), ctx.needs_input_grad, strict=False)
        ]
        return *cotangents, None, *gradients, None, None, None, None, None


class _Tangent(Function):
    """From the cotangents of the adjoint's results to those of what it was given."""

    @staticmethod
    def forward(
        ctx: Any,
        vx: Tensor | None,
        v: Tensor | None,
        vh0: Tensor | None,
        vc0: Tensor | None,
        x: Tensor,
        weight: Tensor,
        h0: Tensor,
        c0: Tensor,
        h: Tensor,
        c: Tensor,
        z: Tensor,
        units: Tensor,
        lam: Tensor,
        mu: Tensor,
        da: Tensor,
        cell: PackedCell,
        sizes: tuple[int, ...],
        needs_x: bool,
    ) -> tuple[Tensor | None, ...]:
        size = h.shape[-1]
        features = x.shape[-1]
        if v is None:
            v = torch.zeros_like(weight)
        z_tangent = torch.empty_like(z)
        z_tangent[..., :features] = 0 if vx is None else vx
        z_tangent[..., features:-size] = 0
        h_tangent, c_tangent = torch.empty_like(h), torch.empty_like(c)
        first = torch.zeros_like(h0) if vh0 is None else vh0
        first_cell = torch.zeros_like(c0) if vc0 is None else vc0
        h_gradient, c_gradient = torch.zeros_like(h), torch.zeros_like(c)
        h0_gradient, c0_gradient = torch.zeros_like(h0), torch.zeros_like(c0)

        moved = torch.bmm(z, v.mT)  # becomes a', then the gradient in a
        through_z = torch.bmm(da, v)  # the gradient in z
        known = {"weight": weight, "h0": h0, "c0": c0, "units": units, "h": h, "c": c}
        adjoint = {"lam": lam, "mu": mu, "da": da, "through": through_z}
        tangents = {"z": z_tangent, "h_tangent": h_tangent, "c_tangent": c_tangent}
        first_tangents = {"h0_tangent": first, "c0_tangent": first_cell}
        gradients = {"a": moved, "h_gradient": h_gradient, "c_gradient": c_gradient}
        first_gradients = {"dh0": h0_gradient, "dc0": c0_gradient}
        _run(
            *("tangent", cell, sizes),
            {**known, **adjoint, **tangents, **first_tangents, **gradients, **first_gradients},
            first_column=0 if vx is not None else z.shape[-1] - size,
        )
        weight_gradient = torch.bmm(da.mT, z_tangent)
        x_gradient = through_z[..., :features].contiguous() if needs_x else None
        return (
            h_tangent,
            c_tangent,
            x_gradient,
            weight_gradient,
            h0_gradient,
            c0_gradient,
            h_gradient,
            c_gradient,
            moved,
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise _third_derivative()


def _run(
    what: str,
    cell: PackedCell,
    sizes: Sequence[int],
    arrays: dict[str, Tensor | None],
    first_column: int = 0,
) -> None:
    """Run one pass over all steps, by compiled code where there is some for it.

    `first_column` is the first of z that is not 0.
    """
    kind = type(cell)
    if compiled_passes.serve(kind, (t for name, t in arrays.items() if name != "outside")):
        compiled_passes.run(what, kind, sizes, arrays, first_column)
    else:
        torch_passes.PASSES[what](cell, sizes, **arrays)


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
    columns = weight.shape[-1] - features - size
    fits = (
        axes > 0
        and weight.shape[:-1] == (axes, cell.stacked * size)
        and 0 <= columns <= 2  # of biases
        and len(state) == 1 + cell.has_cell
        and all(s.shape == (axes, batch, size) for s in state)
        and (outside is None or outside.shape == (axes, packed, 1))
    )
    if not fits:
        shapes = ", ".join(str(tuple(t.shape)) for t in (x, weight, *state))
        raise ShapeError(
            f"packed_recurrence: expected x (A, P, F), {cell.stacked} H rows of weights and a "
            f"state (A, B, H), all of one A, got x, stacked weights and state of shapes {shapes}; "
            "give each task and direction its own"
        )
    ordered = all(n >= m > 0 for n, m in itertools.pairwise((batch, *batch_sizes)))
    if sum(batch_sizes) != packed or not ordered:
        raise ShapeError(
            f"packed_recurrence: batch_sizes must add up to P={packed} and never rise, from at "
            f"most B={batch} down to at least 1, got {list(batch_sizes)[:8]}"
        )


def _accumulator(cotangent: Tensor | None, like: Tensor) -> Tensor:
    """A tensor to add to, which starts as a cotangent or 0."""
    if cotangent is None:
        return torch.zeros_like(like)
    return cotangent.clone(memory_format=torch.contiguous_format)


def _without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Keep the passes from changing the type of the tensors that they share."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if kind in ("cpu", "cuda") else nullcontext()


def _third_derivative() -> DerivativeError:
    return DerivativeError(
        "packed_recurrence: the third derivative was asked for, it has the first two; take it "
        "through torch.func, or call backward() without create_graph"
    )
