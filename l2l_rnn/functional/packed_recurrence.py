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

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.errors import DerivativeError
from l2l_rnn.functional.affine import product_type
from l2l_rnn.functional.packed_cell import Cotangents, PackedCell, Step, Tangents, Views


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
    """
    dtype = product_type(x)
    x, weight, *initial = (tensor.to(dtype) for tensor in (x, weight, *state))
    h0, c0 = initial if cell.has_cell else (initial[0], initial[0][..., :0])
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
        recurrent = weight.mT
        products = _workspace(h, sizes, weight.shape[1])
        parts = {n: cell.parts(p, size) for n, p in dict(zip(sizes, products, strict=True)).items()}
        steps = _steps(cell, z, units, h, c, c0, sizes)
        blocks = z.split(sizes, 1)
        earlier = _before(h.split(sizes, 1), h0, sizes)
        masks = () if outside is None else outside.split(sizes, 1)
        for t, step in enumerate(steps):
            step.before.copy_(earlier[t])
            torch.bmm(blocks[t], recurrent, out=products[t])
            cell.forward(step, parts[sizes[t]])
            if outside is not None:
                step.h.masked_fill_(masks[t], 0)
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
        size = h.shape[-1]
        lam, mu = _accumulator(dh, h), _accumulator(dc, c)
        dh0, dc0 = torch.zeros_like(h0), torch.zeros_like(c0)
        da = h.new_empty(stand_in.shape)
        recurrent = weight[..., -size:].contiguous()
        products = _workspace(h, sizes, size)
        scratch = _scratch(cell, h, sizes)
        steps = _steps(cell, z, units, h, c, c0, sizes)
        lams, mus, blocks = (tensor.split(sizes, 1) for tensor in (lam, mu, da))
        lams_before, mus_before = _before(lams, dh0, sizes), _before(mus, dc0, sizes)
        parts = _by_step(cell.parts(da, size), sizes)
        given = None if da_given is None else da_given.split(sizes, 1)
        for t in reversed(range(len(sizes))):
            before = lams_before[t]
            cotangents = Cotangents(lams[t], mus[t], parts[t], before, mus_before[t])
            cell.adjoint(steps[t], cotangents, scratch[t])
            if given is not None:
                blocks[t].add_(given[t])
            before += torch.bmm(blocks[t], recurrent, out=products[t])

        dweight = torch.bmm(da.mT, z)
        dx = torch.bmm(da, weight[..., : x.shape[-1]]) if needs_dx else None
        ctx.save_for_backward(x, weight, h0, c0, h, c, z, units, lam, mu, da)
        ctx.cell, ctx.sizes, ctx.was_given = cell, sizes, given is not None
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
        recurrent = weight.mT
        products = _workspace(h, sizes, moved.shape[-1])
        scratch = _scratch(cell, h, sizes)
        steps = _steps(cell, z, units, h, c, c0, sizes)
        z_blocks, befores, tangents, cell_tangents, lams, mus, blocks, c_gradients = (
            tensor.split(sizes, 1)
            for tensor in (
                z_tangent,
                z_tangent[..., -size:],
                h_tangent,
                c_tangent,
                lam,
                mu,
                moved,
                c_gradient,
            )
        )
        earlier = _before(tangents, first, sizes)
        cells_before = _before(cell_tangents, first_cell, sizes)
        h_before = _before(h_gradient.split(sizes, 1), h0_gradient, sizes)
        c_before = _before(c_gradients, c0_gradient, sizes)
        parts = _by_step(cell.parts(moved, size), sizes)
        da_parts = _by_step(cell.parts(da, size), sizes)
        through_z = torch.bmm(da, v)  # the gradient in z
        through_h = through_z[..., -size:].split(sizes, 1)
        for t, step in enumerate(steps):
            befores[t].copy_(earlier[t])
            blocks[t].add_(torch.bmm(z_blocks[t], recurrent, out=products[t]))
            h_before[t].add_(through_h[t])
            step_tangents = Tangents(
                befores[t], cells_before[t], parts[t], tangents[t], cell_tangents[t]
            )
            known = Cotangents(lams[t], mus[t], da_parts[t], h_before[t], c_before[t])
            cell.tangent(step, known, step_tangents, c_gradients[t], scratch[t])
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


# -- views of a step ---------------------------------------------------------------------------


def _steps(
    cell: PackedCell,
    z: Tensor,
    units: Tensor,
    h: Tensor,
    c: Tensor,
    c0: Tensor,
    sizes: tuple[int, ...],
) -> list[Step]:
    """The views of every step; `units` of one block serve them all."""
    size = h.shape[-1]
    parts = cell.parts(units, size)
    cells = c.split(sizes, 1)
    if units.shape[1] == h.shape[1]:
        units_by_step = _by_step(parts, sizes)
    else:
        units_by_step = list(zip(*(_rows(part, sizes) for part in parts), strict=True))
    return [
        Step(*views)
        for views in zip(
            units_by_step,
            z[..., -size:].split(sizes, 1),
            _before(cells, c0, sizes),
            h.split(sizes, 1),
            cells,
            strict=True,
        )
    ]


def _by_step(parts: Views, sizes: tuple[int, ...]) -> list[Views]:
    """The parts `(A, P, ·)` of each step."""
    return list(zip(*(part.split(sizes, 1) for part in parts), strict=True))


def _before(blocks: Views, first: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """What each step finds: rows of `first`, then of the block of the step before."""
    return [
        block if block.shape[1] == rows else block.narrow(1, 0, rows)
        for block, rows in zip((first, *blocks), sizes, strict=False)
    ]


def _rows(block: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """The first rows of one block that each step takes as its own."""
    return [block if block.shape[1] == rows else block.narrow(1, 0, rows) for rows in sizes]


def _workspace(h: Tensor, sizes: tuple[int, ...], width: int) -> list[Tensor]:
    """Contiguous workspace `(A, n, width)` of each step, in the same memory for all.

    Batched products into anything else were measured to be 2 to 7 times slower.
    """
    memory = h.new_empty(len(h) * sizes[0] * width)
    views = {n: memory[: len(h) * n * width].view(len(h), n, width) for n in set(sizes)}
    return [views[n] for n in sizes]


def _scratch(cell: PackedCell, h: Tensor, sizes: tuple[int, ...]) -> list[Views]:
    """The cell's own workspace at each step."""
    size = h.shape[-1]
    blocks = _workspace(h, sizes, cell.scratch * size)
    unlike = dict(zip(sizes, blocks, strict=True))
    parts = {n: cell.scratch_parts(block, size) for n, block in unlike.items()}
    return [parts[n] for n in sizes]


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
