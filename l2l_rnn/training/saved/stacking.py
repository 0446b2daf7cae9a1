"""The states of many users as one state with a task axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.training.saved.learner_tensors import own_tensors
from l2l_rnn.training.saved.user_bytes import UserState

COMMON = frozenset({"steps_taken"})
"""The names of state that all tasks of a learner share."""


def stacked(who: str, base: Any, states: Sequence[UserState]) -> UserState:
    """Put the states of users on a task axis.

    Args:
        who: begins the error message.
        base: the learner that all of them belong to.
        states: the states, without a task axis.

    Raises:
        ShapeError: they have different shapes, and the learner does not keep support sets.
        ArgumentError: they cannot be held by one learner.
    """
    own = own_tensors(base)
    names = {name for one in states for name in one.tensors}
    tensors = {
        name: _stack(
            who, name, [one.tensors[name] if name in one.tensors else own[name] for one in states]
        )
        for name in sorted(names)
        if all(name in one.tensors or name in own for one in states)
    }
    held = {name for one in states for name in one.state}
    blank: dict[str, Tensor] = {}
    if isinstance(base, MemoryLearner) and held:
        blank = base.module.store.blank()._asdict()
    state: dict[str, Tensor] = {}
    for name in sorted(held):
        parts = [one.state.get(name, blank.get(name)) for one in states]
        if name in COMMON:
            state[name] = _common(who, base, parts)
            continue
        first = next(part for part in parts if part is not None)
        full = [torch.zeros_like(first) if part is None else part for part in parts]
        if isinstance(base, SupportHolder):
            full = _padded(full)
        elif any(part is None for part in parts) and name == "present":
            raise ArgumentError(
                f"{who}: all users must have class means, got some without; write(x, y) first"
            )
        state[name] = _stack(who, name, full)
    return UserState(states[0].kind, "", frozenset(), len(states), state, tensors)


def _padded(parts: Sequence[Tensor]) -> list[Tensor]:
    """Pad tensors with zeros, which are no examples, to the largest numbers of classes and rows."""
    shape = [max(sizes) for sizes in zip(*(part.shape for part in parts), strict=True)]
    full = [part.new_zeros(shape) for part in parts]
    for whole, part in zip(full, parts, strict=True):
        whole[tuple(map(slice, part.shape))] = part
    return full


def _stack(who: str, name: str, parts: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(part.shape) for part in parts}
    if len(shapes) > 1:
        shown = ", ".join(map(str, sorted(shapes)))
        if name == "present" or name.startswith("module.head."):  # of a ProtoMAML
            raise ShapeError(
                f"{who}: all users of one call must have the same number of classes, got {name} "
                f"of shapes {shown}; group users by their number of classes"
            )
        raise ShapeError(
            f"{who}: {name} of all users must have one shape, got {shown}; load them one at a time"
        )
    return torch.stack([part.detach().to(parts[0].device, parts[0].dtype) for part in parts])


def _common(who: str, base: Any, counts: Sequence[Tensor | None]) -> Tensor:
    """Return the number of steps of all users; only learned learning rates depend on it."""
    numbers = {0 if count is None else int(count) for count in counts}
    if len(numbers) > 1 and isinstance(getattr(base, "lr", None), GradientTransform):
        raise ArgumentError(
            f"{who}: all users must have taken the same number of steps, which the learned "
            f"learning rates depend on, got {', '.join(map(str, sorted(numbers)))}; load them one "
            "at a time"
        )
    return torch.tensor(max(numbers))
