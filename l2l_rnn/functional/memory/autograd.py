"""All steps of a memory with its controller and heads, as one differentiable function.

The compiled passes compute the outputs and the first derivatives. If the backward pass is itself
differentiated, it uses torch's operations, which have derivatives of every order. Both follow the
equations in `memory/ntm.py`, `memory/mann.py` and `memory/dnc.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from l2l_rnn.functional.memory import compiled_passes
from l2l_rnn.functional.memory.addressing import bounded_exp, bounded_exp_slope
from l2l_rnn.functional.memory.compiled_passes import PARTS, Sizes
from l2l_rnn.functional.memory.heads import Heads

Exact = Callable[..., tuple[Tensor, ...]]

_PARAMETERS = ("weight_back", "weight_heads", "bias_heads")


@torch.compiler.disable  # type: ignore[untyped-decorator] # not traced, like `packed_recurrence`
def slot_recurrence(
    heads: Heads,
    exact: Exact,
    projected: Tensor,
    parameters: Sequence[Tensor],
    state: Sequence[Tensor],
    lengths: Tensor | None = None,
    turnover: Mapping[str, Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """Run a memory over all steps of its sequences.

    Sizes: `G` gate values, `4 H` for an LSTM controller and `H` for a feed-forward one; `I` numbers
    in the interface vector; `back` values that the controller gets from the previous step, which
    are the reads and, if it is recurrent, its hidden units.

    Args:
        heads: the kind and the number of heads.
        exact: the same function of `(projected, *parameters, *state)` in torch's operations, for
            second derivatives.
        projected: the input's contribution to the gates, followed, in some layers, by its
            contribution to the interface vector.
        parameters: `weight_back`, `weight_heads` and `bias_heads`; for a MANN also the
            logarithm of its sharpness.
        state: memory, weights, reads, hidden and cell before the first step; for a DNC also usage,
            links, precedence and allocation. The weights of the read heads come before those of
            the write heads.
        lengths: steps of each sequence; None if all have S steps.
        turnover: `usage`, `used` and `overwritten` of a MANN, which have no gradient. They are
            updated in place.

    Returns:
        The controller's outputs, joined with the reads and 0 past the end of a sequence, and the
        state after the last step.

    Shapes:
        projected `(N, B, S, G)` or `(N, B, S, G + I)`, weight_back `(N, G, back)`, weight_heads
        `(N, I, H)`, bias_heads `(N, I)`, the logarithm `(N,)`, memory `(N, B, M, W)`, weights
        `(N, B, heads, M)`, reads `(N, B, R W)`, hidden `(N, B, H)`, cell `(N, B, H)` or
        `(N, B, 0)`, links `(N, B, M, M)`, usage, precedence, allocation and used `(N, B, M)`,
        lengths and overwritten `(N, B)` -> `(N, B, S, H + R W)` and a state of the same shapes.
    """
    tensors = (projected, *parameters, *state)
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    if lengths is None:
        lengths = torch.full(projected.shape[:2], projected.shape[2])
    lengths = lengths.long().contiguous()
    outputs: tuple[Tensor, ...] = _SlotRecurrence.apply(
        heads, exact, keep, lengths, turnover or {}, len(parameters), *tensors
    )
    return outputs


class _SlotRecurrence(Function):
    @staticmethod
    def forward(
        ctx: Any,
        heads: Heads,
        exact: Exact,
        keep: bool,
        lengths: Tensor,
        turnover: Mapping[str, Tensor],
        count: int,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        projected, *parameters = (t.contiguous() for t in tensors[: count + 1])
        initial = _stored_state(tensors[count + 1 :])
        final = [torch.empty_like(part) for part in initial]
        sizes = _sizes(heads, projected, parameters, initial, keep)
        steps = _step_arrays(heads, sizes, projected, initial)
        arrays = {
            **steps,
            **turnover,
            **_parameter_arrays(parameters),
            "projected": projected,
            **_named("initial", initial),
            **_named("final", final),
        }
        compiled_passes.run("forward", sizes, lengths, arrays)
        if keep:
            ctx.save_for_backward(lengths, *tensors, *steps.values())
            ctx.exact, ctx.sizes, ctx.names, ctx.count = exact, sizes, tuple(steps), count
        ctx.set_materialize_grads(False)
        return steps["outputs"], final[0].mT, *final[1:]

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> Any:
        # Read them once: under checkpointing, each access recomputes the saved tensors.
        lengths, *saved = ctx.saved_tensors
        tensors, arrays = saved[: -len(ctx.names)], saved[-len(ctx.names) :]
        if torch.is_grad_enabled():
            gradients = _exact_gradients(ctx.exact, tensors, cotangents)
        else:
            steps = dict(zip(ctx.names, arrays, strict=True))
            gradients = _gradients(ctx.sizes, ctx.count, lengths, tensors, steps, cotangents)
        needed = zip(ctx.needs_input_grad[-len(tensors) :], gradients, strict=True)
        return *[None] * 6, *(g if needs else None for needs, g in needed)


def _stored_state(state: Sequence[Tensor]) -> list[Tensor]:
    """Return the state as the compiled code stores it, with the memory as `(N, B, W, M)`."""
    memory, *parts = state
    return [part.contiguous() for part in (memory.mT, *parts)]


def _named(prefix: str, parts: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}_{name}": part for name, part in zip(PARTS, parts, strict=False)}


def _parameter_arrays(parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return the parameters as the compiled code reads them, by name."""
    arrays = {n: p.contiguous() for n, p in zip(_PARAMETERS, parameters, strict=False)}
    if len(parameters) > len(_PARAMETERS):
        arrays["sharpness"] = bounded_exp(parameters[-1].contiguous())
    return arrays


def _sizes(
    heads: Heads,
    projected: Tensor,
    parameters: Sequence[Tensor],
    initial: Sequence[Tensor],
    keep: bool,
) -> Sizes:
    tasks, batch, steps, projected_size = projected.shape
    gates, feedback_size = parameters[0].shape[1:]
    interface_size, units = parameters[1].shape[1:]
    slot_size, slots = initial[0].shape[2:]
    return Sizes(
        kind=heads.kind,
        N=tasks,
        B=batch,
        S=steps,
        H=units,
        M=slots,
        W=slot_size,
        R=heads.read_heads,
        write_heads=heads.write_heads,
        gates=gates,
        interface_size=interface_size,
        feedback_size=feedback_size,
        projected_size=projected_size,
        keep=keep,
        eps=heads.eps,
        **heads.settings(),  # type: ignore[arg-type] # the names determine the types
    )


def _step_arrays(
    heads: Heads, sizes: Sizes, projected: Tensor, initial: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Allocate the arrays that the forward pass fills at each step and the adjoint pass reads."""
    steps, states = (sizes.S, sizes.S + 1) if sizes.keep else (1, 1)
    has_cell = sizes.gates > sizes.H

    def empty(*shape: int) -> Tensor:
        return projected.new_empty(sizes.N, sizes.B, *shape)

    return {
        "outputs": empty(sizes.S, sizes.H + sizes.R * sizes.W),
        # Zeros, because nothing is written past the end of a sequence but gradients are products
        # over all steps.
        "feedback": projected.new_zeros(sizes.N, sizes.B, steps, sizes.feedback_size),
        "activations": empty(steps, 5 * sizes.H if has_cell else 0),
        "interfaces": empty(steps, sizes.interface_size),
        **{
            name: empty(states, *part.shape[2:])
            for name, part in _named("states", initial).items()
            if name not in ("states_reads", "states_hidden")  # the outputs hold them
        },
        **{name: empty(steps, *shape) for name, shape in heads.step_shapes(sizes.M).items()},
    }


def _gradients(
    sizes: Sizes,
    count: int,
    lengths: Tensor,
    tensors: Sequence[Tensor],
    steps: Mapping[str, Tensor],
    cotangents: Sequence[Tensor | None],
) -> list[Tensor | None]:
    """Compute the gradients w.r.t. projected, the parameters and the initial state."""
    parameters, state = tensors[1 : count + 1], tensors[count + 1 :]
    doutputs, *dfinal = cotangents
    dstate = [
        torch.zeros_like(part, memory_format=torch.contiguous_format)
        if d is None
        else d.clone(memory_format=torch.contiguous_format)
        for d, part in zip(dfinal, state, strict=True)
    ]
    dstate[0] = dstate[0].mT.contiguous()
    outputs, interfaces = steps["outputs"], steps["interfaces"]
    dprojected = tensors[0].new_empty(tensors[0].shape)
    dinterfaces = torch.empty_like(interfaces)
    dsharpness = outputs.new_zeros(outputs.shape[:2])
    arrays = {
        **steps,
        **_parameter_arrays(parameters),
        "doutputs": torch.zeros_like(outputs) if doutputs is None else doutputs.contiguous(),
        "dprojected": dprojected,
        "dinterfaces": dinterfaces,
        "dsharpness": dsharpness,
        **_named("dstate", dstate),
    }
    compiled_passes.run("adjoint", sizes, lengths, arrays)
    dgates = dprojected[..., : sizes.gates].flatten(1, 2)
    flat_dinterfaces = dinterfaces.flatten(1, 2)
    gradients = [
        torch.bmm(dgates.mT, steps["feedback"].flatten(1, 2)),
        torch.bmm(flat_dinterfaces.mT, outputs[..., : sizes.H].flatten(1, 2)),
        flat_dinterfaces.sum(1),
        *(dsharpness.sum(1) * bounded_exp_slope(logarithm) for logarithm in parameters[3:]),
    ]
    return [dprojected, *gradients, dstate[0].mT, *dstate[1:]]


def _exact_gradients(
    exact: Exact, tensors: Sequence[Tensor], cotangents: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Compute the same gradients with torch's operations, in a differentiable graph."""
    # Aliases, because one input may depend on another and only direct gradients are wanted here.
    aliases = [t.view_as(t) for t in tensors]
    outputs = exact(*aliases)
    pairs = [(y, d) for y, d in zip(outputs, cotangents, strict=True) if d is not None]
    pairs = [(y, d) for y, d in pairs if y.requires_grad]
    if not pairs:
        return [None] * len(tensors)
    gradients = iter(
        torch.autograd.grad(
            [y for y, _ in pairs],
            [alias for alias in aliases if alias.requires_grad],
            [d for _, d in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(gradients) if alias.requires_grad else None for alias in aliases]
