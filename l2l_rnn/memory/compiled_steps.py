"""All steps of a memory with a controller and heads in compiled code, whatever its axes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn

from l2l_rnn.functional.memory.autograd import slot_recurrence
from l2l_rnn.functional.memory.heads import Heads

Module = TypeVar("Module", bound=nn.Module)
_AXES = (2, 2, 1, 0)  # of weight_back, weight_heads, bias_heads and a sharpness, without tasks


def compiled_steps(
    heads: Heads,
    exact: Callable[..., tuple[Tensor, Sequence[Tensor]]],
    features: Tensor,
    parameters: Sequence[Tensor],
    parts: Sequence[Tensor],
    others: Mapping[str, Tensor],
    inside: Tensor | None,
) -> tuple[Tensor, Sequence[Tensor], Mapping[str, Tensor]]:
    """Take all steps, as `functional.slot_recurrence` does, with the axes of a layer.

    Args:
        heads: which memory, and of what heads.
        exact: the same in torch's operations, `exact(features, parameters, parts, others, inside)`,
            of parameters with a task axis, returning what the steps give out and the last parts.
        features: what the controller gets of each step.
        parameters: weight_back, weight_heads, bias_heads, and of a MANN its sharpness.
        parts: the state before the first step, as `slot_recurrence` takes it.
        others: what else the heads change, which no gradient comes of.
        inside: the steps within a sequence, or None.

    Returns:
        What the steps give out, the parts after the last one, and the others.

    Shapes:
        features `(…, S, any)`, parts and others `(…, any)`, where `…` is `(N, B)` or `(B,)`;
        parameters with the axis `N` or without; reads `(…, R W)`.
    """
    tasks = next(
        (len(p) for p, axes in zip(parameters, _AXES, strict=False) if p.dim() > axes), None
    )
    batch = features.shape[:-2]
    rows = (1, math.prod(batch)) if tasks is None else batch

    def wide(given: Tensor) -> Tensor:
        return given.reshape(*rows, *given.shape[len(batch) :])

    within = None if inside is None else wide(inside)
    before = {name: wide(part) for name, part in others.items()}

    def exactly(features: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        given = tensors[: len(parameters)]
        seen, after = exact(features, given, tensors[len(parameters) :], before, within)
        return seen, *after

    after = {n: p.detach().to(features.dtype, copy=True).contiguous() for n, p in before.items()}
    seen, *found = slot_recurrence(
        heads,
        exactly,
        wide(features),
        [
            p if p.dim() > axes else p.expand(rows[0], *p.shape)
            for p, axes in zip(parameters, _AXES, strict=False)
        ],
        [wide(part) for part in parts],
        None if within is None else within.sum(-1),
        after,
    )

    def narrow(made: Tensor) -> Tensor:
        return made.reshape(*batch, *made.shape[2:])

    kept = {name: narrow(part).to(others[name].dtype) for name, part in after.items()}
    return narrow(seen), [narrow(part) for part in found], kept


def with_parameters(module: Module, **parameters: Tensor) -> Module:
    """Return a module that is the same but for some tensors in the place of its parameters."""
    changed = copy.copy(module)
    changed.__dict__["_parameters"] = {**module._parameters, **parameters}
    return changed
