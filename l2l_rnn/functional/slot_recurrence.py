"""A memory of slots with its controller and heads over a sequence, in compiled code.

What the steps compute, `memory/ntm.py` says; the C code has the same equations, forward and
backward. A backward pass that is to be differentiated itself goes through torch's operations, so
that derivatives of every order are there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.functional import slot_kernels

Exact = Callable[..., tuple[Tensor, ...]]


@dataclasses.dataclass(frozen=True)
class SlotHeads:
    """Names the sizes that the shapes of the tensors do not tell.

    Attributes:
        read_heads, write_heads: how many heads read and write.
        reach: the farthest that a head moves in a step.
        least: the length below which a slot has hardly a direction.
    """

    read_heads: int
    write_heads: int
    reach: int
    least: float


@torch.compiler.disable  # type: ignore[untyped-decorator] # not traced, as `packed_recurrence`
def slot_recurrence(
    heads: SlotHeads,
    exact: Exact,
    projected: Tensor,
    parameters: Sequence[Tensor],
    state: Sequence[Tensor],
    lengths: Tensor | None = None,
) -> tuple[Tensor, ...]:
    """Compute all steps of a Neural Turing Machine.

    Args:
        heads: how many heads there are, and how they move.
        exact: the same function of `(projected, *parameters, *state)` in torch's operations, for
            derivatives of derivatives.
        projected: what the controller gets of each step.
        parameters: `weight_back`, `weight_heads` and `bias_heads`.
        state: memory, weights, reads, hidden and cell before the first step.
        lengths: steps of each sequence; all of them if None.

    Returns:
        The controller's outputs with what was read, 0 past a sequence's length, and the state after
        its last step.

    Shapes:
        projected `(A, B, S, G H)`, weight_back `(A, G H, Z)`, weight_heads `(A, I, H)`, bias_heads
        `(A, I)`, memory `(A, B, M, W)`, weights `(A, B, heads, M)`, reads `(A, B, R, W)`, hidden
        `(A, B, H)`, cell `(A, B, H)` or `(A, B, 0)`, lengths `(A, B)` -> `(A, B, S, H + R W)` and a
        state as before; `G` gates are 4 or 1.
    """
    tensors = (projected, *parameters, *state)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if lengths is None:
        lengths = torch.full(projected.shape[:2], projected.shape[2])
    found: tuple[Tensor, ...] = _Slots.apply(
        heads, exact, keep, lengths.long().contiguous(), *tensors
    )
    return found


class _Slots(Function):
    @staticmethod
    def forward(
        ctx: Any,
        heads: SlotHeads,
        exact: Exact,
        keep: bool,
        lengths: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        projected, weight_back, weight_heads, bias_heads, *first = (t.contiguous() for t in tensors)
        tasks, batch, steps, gates = projected.shape
        hidden, numbers = weight_heads.shape[-1], weight_heads.shape[-2]
        slots, width = first[0].shape[2:]
        first[0] = first[0].mT.contiguous()
        sizes = {
            **{"A": tasks, "B": batch, "S": steps, "H": hidden, "G": gates // hidden},
            **{"M": slots, "W": width, "R": heads.read_heads, "V": heads.write_heads},
            **{"I": numbers, "Z": weight_back.shape[-1], "reach": heads.reach, "keep": int(keep)},
        }
        last = [torch.empty_like(part) for part in first]
        kept, cells = (steps, steps + 1) if keep else (1, 1)

        def room(length: int, *shape: int) -> Tensor:
            return projected.new_empty(tasks, batch, length, *shape)

        arrays = {
            "z": projected.new_zeros(tasks, batch, kept, weight_back.shape[-1]),
            "units": room(kept, 5 * first[4].shape[-1]),
            "cells": room(cells, first[4].shape[-1]),
            "numbers": room(kept, numbers),
            "memories": room(cells, width, slots),
            "all_weights": room(cells, *first[1].shape[2:]),
            "content": room(kept, *first[1].shape[2:]),
            "shifted": room(kept, *first[1].shape[2:]),
            "seen": room(steps, hidden + first[2][0, 0].numel()),
        }
        parameters = {
            "projected": projected,
            "weight_back": weight_back,
            "weight_heads": weight_heads,
            "bias_heads": bias_heads,
        }
        ends = dict(zip(slot_kernels.FIRST + slot_kernels.LAST, (*first, *last), strict=True))
        slot_kernels.run("forward", sizes, heads.least, lengths, {**arrays, **parameters, **ends})
        last[0] = last[0].mT
        if keep:
            ctx.save_for_backward(lengths, *tensors, *arrays.values())
            ctx.heads, ctx.exact, ctx.sizes, ctx.names = heads, exact, sizes, tuple(arrays)
        ctx.set_materialize_grads(False)
        return arrays["seen"], *last

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        lengths, *saved = ctx.saved_tensors  # once: checkpointing computes them anew at each look
        tensors, arrays = saved[: -len(ctx.names)], saved[-len(ctx.names) :]
        if torch.is_grad_enabled():
            gradients = _exact_gradients(ctx.exact, tensors, cotangents)
        else:
            known = dict(zip(ctx.names, arrays, strict=True))
            gradients = _gradients(ctx, lengths, tensors, known, cotangents)
        wanted = zip(ctx.needs_input_grad[-len(tensors) :], gradients, strict=True)
        return None, None, None, None, *(g if needed else None for needed, g in wanted)


def _gradients(
    ctx: Any,
    lengths: Tensor,
    tensors: Sequence[Tensor],
    arrays: dict[str, Tensor],
    cotangents: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients in projected, the parameters and the first state."""
    projected, weight_back, weight_heads, _, *first = tensors
    dseen, *last = cotangents
    seen = arrays["seen"]
    parts = [
        torch.zeros_like(like, memory_format=torch.contiguous_format)
        if part is None
        else part.clone(memory_format=torch.contiguous_format)
        for part, like in zip(last, first, strict=True)
    ]
    parts[0] = parts[0].mT.contiguous()
    da = projected.new_empty(projected.shape)
    dnumbers = torch.empty_like(arrays["numbers"])
    given = {
        "weight_back": weight_back.contiguous(),
        "weight_heads": weight_heads.contiguous(),
        "dseen": torch.zeros_like(seen) if dseen is None else dseen.contiguous(),
        **{"da": da, "dnumbers": dnumbers},
        **dict(zip(slot_kernels.FIRST, parts, strict=True)),
    }
    slot_kernels.run("adjoint", ctx.sizes, ctx.heads.least, lengths, {**arrays, **given})
    hidden = seen[..., : weight_heads.shape[-1]].flatten(1, 2)
    flat_da, flat_numbers = da.flatten(1, 2), dnumbers.flatten(1, 2)
    return [
        da,
        torch.bmm(flat_da.mT, arrays["z"].flatten(1, 2)),
        torch.bmm(flat_numbers.mT, hidden),
        flat_numbers.sum(1),
        parts[0].mT,
        *parts[1:],
    ]


def _exact_gradients(
    exact: Exact, tensors: Sequence[Tensor], cotangents: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same by torch's operations, which can be differentiated themselves."""
    # Aliases: one input may have been computed from another, whose gradient is not asked for here.
    aliases = [t.view_as(t) for t in tensors]
    outputs = exact(*aliases)
    pairs = [(y, d) for y, d in zip(outputs, cotangents, strict=True) if d is not None]
    pairs = [(y, d) for y, d in pairs if y.requires_grad]
    wanted = [alias for alias in aliases if alias.requires_grad]
    if not pairs:
        return [None] * len(tensors)
    found = iter(
        torch.autograd.grad(
            [y for y, _ in pairs],
            wanted,
            [d for _, d in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(found) if alias.requires_grad else None for alias in aliases]
