"""All steps of a controller with heads in compiled code, for layers with any leading axes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from torch import Tensor, nn

from l2l_rnn.functional.memory.autograd import slot_recurrence
from l2l_rnn.functional.memory.heads import Heads

Module = TypeVar("Module", bound=nn.Module)
_AXES = (2, 2, 1, 0)  # of weight_back, weight_heads, bias_heads, log_sharpness, without tasks


def compiled_steps(
    heads: Heads,
    exact: Callable[..., tuple[Tensor, Sequence[Tensor]]],
    features: Tensor,
    parameters: Sequence[Tensor],
    parts: Sequence[Tensor],
    others: Mapping[str, Tensor],
    inside: Tensor | None,
) -> tuple[Tensor, Sequence[Tensor], Mapping[str, Tensor]]:
    """Take all steps with `slot_recurrence`, for a layer with or without the axis `N`.

    Args:
        heads: the kind of memory and its heads.
        exact: the same function in torch operations, `exact(features, parameters, parts, others,
            inside)`, with a task axis on the parameters. It returns the results of all steps
            and the last parts.
        features: the controller's input at each step.
        parameters: weight_back, weight_heads, bias_heads and, for a MANN, its log_sharpness.
        parts: the state before the first step, in the order of `slot_recurrence`.
        others: fields that the steps change but that have no gradient.
        inside: True at steps inside a sequence, False at padding; None for no padding.

    Returns:
        The results of all steps, the parts after the last step, and the others after it.

    Shapes:
        features `(…, S, any)`, parts and others `(…, any)`, where `…` is `(N, B)` or `(B,)`;
        parameters with or without the axis `N`; reads `(…, R W)`.
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
    seen, *last = slot_recurrence(
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
    return narrow(seen), [narrow(part) for part in last], kept


def with_parameters(module: Module, **parameters: Tensor) -> Module:
    """Return a shallow copy of a module with some of its parameters replaced by tensors."""
    changed = copy.copy(module)
    changed.__dict__["_parameters"] = {**module._parameters, **parameters}
    return changed
