"""The passes over a packed recurrence in torch's operations, for any cell, dtype and device.

Each pass works in place on its arrays; `arrays` describes which ones it reads and writes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from l2l_rnn.functional.recurrence.arrays import (
    AdjointArrays,
    ForwardArrays,
    PackedArrays,
    PassArrays,
    TangentArrays,
)
from l2l_rnn.functional.recurrence.cell import Cotangents, PackedCell, Step, Tangents, Views

Sizes = Sequence[int]


def run(cell: PackedCell, sizes: Sizes, arrays: PassArrays) -> None:
    """Run the pass that the arrays belong to."""
    if isinstance(arrays, ForwardArrays):
        forward(cell, sizes, arrays)
    elif isinstance(arrays, AdjointArrays):
        adjoint(cell, sizes, arrays)
    elif isinstance(arrays, TangentArrays):
        tangent(cell, sizes, arrays)


def forward(cell: PackedCell, sizes: Sizes, arrays: ForwardArrays) -> None:
    """Run the recurrence from the first step to the last."""
    h, size, product = arrays.h, arrays.h.shape[-1], _product()
    recurrent = arrays.weight.mT
    products = _workspace(h, sizes, arrays.weight.shape[1])
    by_size = dict(zip(sizes, products, strict=True))
    parts = {n: cell.parts(product, size) for n, product in by_size.items()}
    steps = _steps(cell, arrays, arrays.z[..., -size:].split(sizes, 1), sizes)
    blocks = arrays.z.split(sizes, 1)
    h_before = _before(h.split(sizes, 1), arrays.h0, sizes)
    masks = () if arrays.outside is None else arrays.outside.split(sizes, 1)
    for t, step in enumerate(steps):
        step.h_before.copy_(h_before[t])
        product(blocks[t], recurrent, out=products[t])
        cell.forward(step, parts[sizes[t]])
        if masks:
            step.h.masked_fill_(masks[t], 0)


def adjoint(cell: PackedCell, sizes: Sizes, arrays: AdjointArrays) -> None:
    """Run the recurrence's adjoint from the last step to the first."""
    h, size, product = arrays.h, arrays.h.shape[-1], _product()
    recurrent = arrays.weight[..., -size:].contiguous()
    products = _workspace(h, sizes, size)
    scratch = _scratch(cell, h, sizes)
    steps = _steps(cell, arrays, arrays.z[..., -size:].split(sizes, 1), sizes)
    lams, mus, das = (x.split(sizes, 1) for x in (arrays.lam, arrays.mu, arrays.da))
    lam_before, mu_before = _before(lams, arrays.dh0, sizes), _before(mus, arrays.dc0, sizes)
    parts = _by_step(cell.parts(arrays.da, size), sizes)
    given = () if arrays.da_given is None else arrays.da_given.split(sizes, 1)
    for t in reversed(range(len(sizes))):
        cotangents = Cotangents(lams[t], mus[t], parts[t], lam_before[t], mu_before[t])
        cell.adjoint(steps[t], cotangents, scratch[t])
        if given:
            das[t].add_(given[t])
        lam_before[t].add_(product(das[t], recurrent, out=products[t]))


def tangent(cell: PackedCell, sizes: Sizes, arrays: TangentArrays) -> None:
    """Run the recurrence's tangent from the first step to the last."""
    h, size, product = arrays.h, arrays.h.shape[-1], _product()
    recurrent = arrays.weight.mT
    products = _workspace(h, sizes, arrays.a_tangent.shape[-1])
    scratch = _scratch(cell, h, sizes)
    steps = _steps(cell, arrays, _before(h.split(sizes, 1), arrays.h0, sizes), sizes)
    lams, mus = arrays.lam.split(sizes, 1), arrays.mu.split(sizes, 1)
    a = arrays.a_tangent.split(sizes, 1)
    a_parts = _by_step(cell.parts(arrays.a_tangent, size), sizes)
    da_parts = _by_step(cell.parts(arrays.da, size), sizes)
    z, z_h = arrays.z.split(sizes, 1), arrays.z[..., -size:].split(sizes, 1)
    dz_h = arrays.dz[..., -size:].split(sizes, 1)
    h_tangents, c_tangents = arrays.h_tangent.split(sizes, 1), arrays.c_tangent.split(sizes, 1)
    h_tangent_before = _before(h_tangents, arrays.h0_tangent, sizes)
    c_tangent_before = _before(c_tangents, arrays.c0_tangent, sizes)
    dh_before = _before(arrays.h_gradient.split(sizes, 1), arrays.dh0, sizes)
    dc = arrays.c_gradient.split(sizes, 1)
    dc_before = _before(dc, arrays.dc0, sizes)
    for t, step in enumerate(steps):
        z_h[t].copy_(h_tangent_before[t])
        a[t].add_(product(z[t], recurrent, out=products[t]))
        dh_before[t].add_(dz_h[t])
        cotangents = Cotangents(lams[t], mus[t], da_parts[t], dh_before[t], dc_before[t])
        tangents = Tangents(z_h[t], c_tangent_before[t], a_parts[t], h_tangents[t], c_tangents[t])
        cell.tangent(step, cotangents, tangents, dc[t], scratch[t])


def _product() -> Callable[..., Tensor]:
    """Return the function that multiplies a step's rows, into memory given as `out`."""
    if torch._C._len_torch_dispatch_stack() == 0:
        return torch.bmm

    def product(rows: Tensor, matrix: Tensor, out: Tensor) -> Tensor:
        # FlopCounterMode, for one, fails on operations with `out`.
        return out.copy_(torch.bmm(rows, matrix))

    return product


# -- views of a step ---------------------------------------------------------------------------


def _steps(
    cell: PackedCell, arrays: PackedArrays, h_before: Sequence[Tensor], sizes: Sizes
) -> list[Step]:
    """Return the views of every step; gates of a single block are shared by all steps."""
    h, gates = arrays.h, arrays.gates
    parts = cell.parts(gates, h.shape[-1])
    if gates.shape[1] == h.shape[1]:
        gates_by_step = _by_step(parts, sizes)
    else:
        gates_by_step = list(zip(*(_first_rows(part, sizes) for part in parts), strict=True))
    c = arrays.c.split(sizes, 1)
    c_before = _before(c, arrays.c0, sizes)
    views = zip(gates_by_step, h_before, c_before, h.split(sizes, 1), c, strict=True)
    return [Step(*step) for step in views]


def _by_step(parts: Views, sizes: Sizes) -> list[Views]:
    """Split the parts `(A, P, ·)` by step."""
    return list(zip(*(part.split(sizes, 1) for part in parts), strict=True))


def _before(blocks: Sequence[Tensor], first: Tensor, sizes: Sizes) -> list[Tensor]:
    """Return the rows that each step reads, from `first` or from the block of the previous step."""
    return [
        block if block.shape[1] == rows else block.narrow(1, 0, rows)
        for block, rows in zip((first, *blocks), sizes, strict=False)
    ]


def _first_rows(block: Tensor, sizes: Sizes) -> list[Tensor]:
    """Return the first rows of one block, as many as each step needs."""
    return [block if block.shape[1] == rows else block.narrow(1, 0, rows) for rows in sizes]


def _workspace(h: Tensor, sizes: Sizes, width: int) -> list[Tensor]:
    """Return a contiguous workspace `(A, n, width)` for each step, all in the same memory.

    Batched products into other memory layouts were 2 to 7 times slower.
    """
    memory = h.new_empty(len(h) * sizes[0] * width)
    views = {n: memory[: len(h) * n * width].view(len(h), n, width) for n in set(sizes)}
    return [views[n] for n in sizes]


def _scratch(cell: PackedCell, h: Tensor, sizes: Sizes) -> list[Views]:
    """Return the cell's workspace for each step."""
    size = h.shape[-1]
    by_size = dict(zip(sizes, _workspace(h, sizes, cell.scratch * size), strict=True))
    parts = {n: cell.scratch_parts(block, size) for n, block in by_size.items()}
    return [parts[n] for n in sizes]
