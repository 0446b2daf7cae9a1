"""A memory of slots with its controller and heads over a sequence, in compiled code.

What the steps compute, `memory/ntm.py`, `mann.py` and `dnc.py` say; the C code has the same
equations, forward and backward. A backward pass that is to be differentiated itself goes through
torch's operations, so that derivatives of every order are there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.functional.memory import compiled_passes

Exact = Callable[..., tuple[Tensor, ...]]

_PARAMETERS = ("weight_back", "weight_heads", "bias_heads", "sharpness")


@dataclasses.dataclass(frozen=True)
class SlotHeads:
    """Names what the shapes of the tensors do not tell.

    Attributes:
        kind: `"NTM"`, `"MANN"` or `"DNC"`.
        read_heads, write_heads: how many heads read and write.
        least: the length below which a slot has hardly a direction.
        reach: the farthest that a head of an NTM moves in a step.
        decay: of the usage of a MANN.
    """

    kind: str
    read_heads: int
    write_heads: int
    least: float
    reach: int = 0
    decay: float = 0.0


@torch.compiler.disable  # type: ignore[untyped-decorator] # not traced, as `packed_recurrence`
def slot_recurrence(
    heads: SlotHeads,
    exact: Exact,
    projected: Tensor,
    parameters: Sequence[Tensor],
    state: Sequence[Tensor],
    lengths: Tensor | None = None,
    turnover: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """Compute all steps of a memory.

    Args:
        heads: which memory, and of what heads.
        exact: the same function of `(projected, *parameters, *state)` in torch's operations, for
            derivatives of derivatives.
        projected: what the controller gets of each step, then what the heads' numbers get of it,
            if anything.
        parameters: `weight_back`, `weight_heads` and `bias_heads`; of a MANN also its sharpness.
        state: memory, weights, reads, hidden and cell before the first step, of a DNC also usage,
            links, precedence and allocation; weights are those of the reads, then of the writes.
        lengths: steps of each sequence; all of them if None.
        turnover: a MANN's `usage`, `used` and `overwritten`, which no gradient comes of; they are
            changed in place.

    Returns:
        The controller's outputs with what was read, 0 past a sequence's length, and the state after
        its last step.

    Shapes:
        projected `(A, B, S, P)` with P of `G H` or `G H + I`, weight_back `(A, G H, Z)`,
        weight_heads `(A, I, H)`, bias_heads `(A, I)`, sharpness `(A,)`, memory `(A, B, M, W)`,
        weights `(A, B, heads, M)`, reads `(A, B, R W)`, hidden `(A, B, H)`, cell `(A, B, H)` or
        `(A, B, 0)`, links `(A, B, M, M)`, usage, precedence, allocation and used `(A, B, M)`,
        lengths and overwritten `(A, B)` -> `(A, B, S, H + R W)` and a state as before; `G` gates
        are 4 or 1.
    """
    tensors = (projected, *parameters, *state)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if lengths is None:
        lengths = torch.full(projected.shape[:2], projected.shape[2])
    lengths = lengths.long().contiguous()
    found: tuple[Tensor, ...] = _Slots.apply(
        heads, exact, keep, lengths, turnover or {}, len(parameters), *tensors
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
        turnover: Mapping[str, Tensor],
        count: int,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        projected, *parameters = (t.contiguous() for t in tensors[: count + 1])
        memory, *parts = tensors[count + 1 :]
        first = [part.contiguous() for part in (memory.mT, *parts)]
        tasks, batch, steps, columns = projected.shape
        slots, width = memory.shape[2:]
        numbers, units = parameters[1].shape[1:]
        (gates, back), lines = parameters[0].shape[1:], parts[0].shape[2]
        sizes = {
            "kind": compiled_passes.KINDS.index(heads.kind),
            **{"A": tasks, "B": batch, "S": steps, "H": units, "G": gates // units},
            **{"M": slots, "W": width, "R": heads.read_heads, "V": heads.write_heads},
            **{"I": numbers, "Z": back, "P": columns, "keep": int(keep)},
            **{"reach": heads.reach, "least": heads.least, "decay": heads.decay},
        }
        kept, ends = (steps, steps + 1) if keep else (1, 1)

        def room(length: int, *shape: int) -> Tensor:
            return projected.new_empty(tasks, batch, length, *shape)

        arrays = {
            "z": projected.new_zeros(tasks, batch, kept, back),
            "units": room(kept, (gates > units) * 5 * units),
            "numbers": room(kept, numbers),
            "seen": room(steps, units + heads.read_heads * width),
        }
        arrays |= {
            name: room(ends, *part.shape[2:])
            for name, part in zip(compiled_passes.ALL, first, strict=False)
            if name not in compiled_passes.SEEN
        }
        arrays |= {
            "NTM": lambda: {n: room(kept, lines, slots) for n in ("content", "shifted")},
            "MANN": lambda: {"places": room(kept, heads.read_heads)},
            "DNC": lambda: {"content": room(kept, lines, slots), "below": room(kept, slots)},
        }[heads.kind]()
        last = [torch.empty_like(part) for part in first]
        given = {
            **dict(zip(_PARAMETERS, parameters, strict=False)),
            **{"projected": projected, **turnover},
            **dict(zip(compiled_passes.FIRST, first, strict=False)),
            **dict(zip(compiled_passes.LAST, last, strict=False)),
        }
        compiled_passes.run("forward", sizes, lengths, {**arrays, **given})
        if keep:
            ctx.save_for_backward(lengths, *tensors, *arrays.values())
            ctx.exact, ctx.sizes, ctx.names, ctx.count = exact, sizes, tuple(arrays), count
        ctx.set_materialize_grads(False)
        return arrays["seen"], last[0].mT, *last[1:]

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        lengths, *saved = ctx.saved_tensors  # once: checkpointing computes them anew at each look
        tensors, arrays = saved[: -len(ctx.names)], saved[-len(ctx.names) :]
        if torch.is_grad_enabled():
            gradients = _exact_gradients(ctx.exact, tensors, cotangents)
        else:
            known = dict(zip(ctx.names, arrays, strict=True))
            gradients = _gradients(ctx.sizes, ctx.count, lengths, tensors, known, cotangents)
        wanted = zip(ctx.needs_input_grad[-len(tensors) :], gradients, strict=True)
        return *[None] * 6, *(g if needed else None for needed, g in wanted)


def _gradients(
    sizes: Mapping[str, float],
    count: int,
    lengths: Tensor,
    tensors: Sequence[Tensor],
    arrays: Mapping[str, Tensor],
    cotangents: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """The gradients in projected, the parameters and the first state."""
    projected, *parameters = tensors[: count + 1]
    dseen, *last = cotangents
    seen = arrays["seen"]
    parts = [
        torch.zeros_like(like, memory_format=torch.contiguous_format)
        if part is None
        else part.clone(memory_format=torch.contiguous_format)
        for part, like in zip(last, tensors[count + 1 :], strict=True)
    ]
    parts[0] = parts[0].mT.contiguous()
    da = projected.new_empty(projected.shape)
    dnumbers = torch.empty_like(arrays["numbers"])
    dsharpness = projected.new_zeros(projected.shape[:2])
    given = {
        **{n: p.contiguous() for n, p in zip(_PARAMETERS, parameters, strict=False)},
        "dseen": torch.zeros_like(seen) if dseen is None else dseen.contiguous(),
        **{"da": da, "dnumbers": dnumbers, "dsharpness": dsharpness},
        **dict(zip(compiled_passes.FIRST, parts, strict=False)),
    }
    compiled_passes.run("adjoint", sizes, lengths, {**arrays, **given})
    hidden = seen[..., : parameters[1].shape[-1]].flatten(1, 2)
    flat_da = da[..., : parameters[0].shape[1]].flatten(1, 2)
    flat_numbers = dnumbers.flatten(1, 2)
    gradients = [
        torch.bmm(flat_da.mT, arrays["z"].flatten(1, 2)),
        torch.bmm(flat_numbers.mT, hidden),
        flat_numbers.sum(1),
        dsharpness.sum(1),
    ]
    return [da, *gradients[: len(parameters)], parts[0].mT, *parts[1:]]


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
