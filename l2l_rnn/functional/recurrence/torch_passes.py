"""The passes of a packed recurrence in torch's operations: for any cell, type and device.

A pass takes the arrays of `packed_recurrence` by name and works in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from l2l_rnn.functional.recurrence.cell import Cotangents, PackedCell, Step, Tangents, Views

Sizes = tuple[int, ...]


def forward(
    cell: PackedCell,
    sizes: Sizes,
    *,
    weight: Tensor,
    h0: Tensor,
    c0: Tensor,
    z: Tensor,
    units: Tensor,
    h: Tensor,
    c: Tensor,
    outside: Tensor | None,
) -> None:
    """Write the state into z, and the units, h and c."""
    recurrent = weight.mT
    products = _workspace(h, sizes, weight.shape[1])
    by_size = dict(zip(sizes, products, strict=True))
    parts = {n: cell.parts(product, h.shape[-1]) for n, product in by_size.items()}
    steps = _steps(cell, z[..., -h.shape[-1] :].split(sizes, 1), units, h, c, c0, sizes)
    blocks = z.split(sizes, 1)
    earlier = _before(h.split(sizes, 1), h0, sizes)
    masks = () if outside is None else outside.split(sizes, 1)
    for t, step in enumerate(steps):
        step.before.copy_(earlier[t])
        torch.bmm(blocks[t], recurrent, out=products[t])
        cell.forward(step, parts[sizes[t]])
        if outside is not None:
            step.h.masked_fill_(masks[t], 0)


def adjoint(
    cell: PackedCell,
    sizes: Sizes,
    *,
    weight: Tensor,
    h0: Tensor,
    c0: Tensor,
    z: Tensor,
    units: Tensor,
    h: Tensor,
    c: Tensor,
    lam: Tensor,
    mu: Tensor,
    dh0: Tensor,
    dc0: Tensor,
    da: Tensor,
    da_given: Tensor | None,
) -> None:
    """Complete lam, mu, dh0 and dc0, and write da."""
    size = h.shape[-1]
    recurrent = weight[..., -size:].contiguous()
    products = _workspace(h, sizes, size)
    scratch = _scratch(cell, h, sizes)
    steps = _steps(cell, z[..., -h.shape[-1] :].split(sizes, 1), units, h, c, c0, sizes)
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


def tangent(
    cell: PackedCell,
    sizes: Sizes,
    *,
    weight: Tensor,
    h0: Tensor,
    c0: Tensor,
    z: Tensor,
    units: Tensor,
    h: Tensor,
    c: Tensor,
    lam: Tensor,
    mu: Tensor,
    da: Tensor,
    a: Tensor,
    through: Tensor,
    h_tangent: Tensor,
    c_tangent: Tensor,
    h0_tangent: Tensor,
    c0_tangent: Tensor,
    h_gradient: Tensor,
    c_gradient: Tensor,
    dh0: Tensor,
    dc0: Tensor,
) -> None:
    """Write the tangents of h and c, the state's into z, and the gradients in a, h, c, h0 and c0.

    `z` is that of the tangents; `a` comes as what the weight's cotangent makes of z, and `through`
    as the gradient in z.
    """
    size = h.shape[-1]
    recurrent = weight.mT
    products = _workspace(h, sizes, a.shape[-1])
    scratch = _scratch(cell, h, sizes)
    primal = _before(h.split(sizes, 1), h0, sizes)
    steps = _steps(cell, primal, units, h, c, c0, sizes)
    lams, mus, blocks, in_cells = (tensor.split(sizes, 1) for tensor in (lam, mu, a, c_gradient))
    z_blocks, befores = z.split(sizes, 1), z[..., -size:].split(sizes, 1)
    tangents, cell_tangents = h_tangent.split(sizes, 1), c_tangent.split(sizes, 1)
    earlier = _before(tangents, h0_tangent, sizes)
    cells_before = _before(cell_tangents, c0_tangent, sizes)
    in_before = _before(h_gradient.split(sizes, 1), dh0, sizes)
    in_cell_before = _before(in_cells, dc0, sizes)
    parts = _by_step(cell.parts(a, size), sizes)
    da_parts = _by_step(cell.parts(da, size), sizes)
    through_h = through[..., -size:].split(sizes, 1)
    for t, step in enumerate(steps):
        befores[t].copy_(earlier[t])
        blocks[t].add_(torch.bmm(z_blocks[t], recurrent, out=products[t]))
        in_before[t].add_(through_h[t])
        moves = Tangents(befores[t], cells_before[t], parts[t], tangents[t], cell_tangents[t])
        known = Cotangents(lams[t], mus[t], da_parts[t], in_before[t], in_cell_before[t])
        cell.tangent(step, known, moves, in_cells[t], scratch[t])


PASSES: dict[str, Callable[..., None]] = {
    "forward": forward,
    "adjoint": adjoint,
    "tangent": tangent,
}


# -- views of a step ---------------------------------------------------------------------------


def _steps(
    cell: PackedCell,
    befores: Sequence[Tensor],
    units: Tensor,
    h: Tensor,
    c: Tensor,
    c0: Tensor,
    sizes: Sizes,
) -> list[Step]:
    """The views of every step, which finds `befores`; `units` of one block serve them all."""
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
            befores,
            _before(cells, c0, sizes),
            h.split(sizes, 1),
            cells,
            strict=True,
        )
    ]


def _by_step(parts: Views, sizes: Sizes) -> list[Views]:
    """The parts `(A, P, ·)` of each step."""
    return list(zip(*(part.split(sizes, 1) for part in parts), strict=True))


def _before(blocks: Views, first: Tensor, sizes: Sizes) -> list[Tensor]:
    """What each step finds: rows of `first`, then of the block of the step before."""
    return [
        block if block.shape[1] == rows else block.narrow(1, 0, rows)
        for block, rows in zip((first, *blocks), sizes, strict=False)
    ]


def _rows(block: Tensor, sizes: Sizes) -> list[Tensor]:
    """The first rows of one block that each step takes as its own."""
    return [block if block.shape[1] == rows else block.narrow(1, 0, rows) for rows in sizes]


def _workspace(h: Tensor, sizes: Sizes, width: int) -> list[Tensor]:
    """Contiguous workspace `(A, n, width)` of each step, in the same memory for all.

    Batched products into anything else were measured to be 2 to 7 times slower.
    """
    memory = h.new_empty(len(h) * sizes[0] * width)
    views = {n: memory[: len(h) * n * width].view(len(h), n, width) for n in set(sizes)}
    return [views[n] for n in sizes]


def _scratch(cell: PackedCell, h: Tensor, sizes: Sizes) -> list[Views]:
    """The cell's own workspace at each step."""
    size = h.shape[-1]
    blocks = _workspace(h, sizes, cell.scratch * size)
    unlike = dict(zip(sizes, blocks, strict=True))
    parts = {n: cell.scratch_parts(block, size) for n, block in unlike.items()}
    return [parts[n] for n in sizes]
