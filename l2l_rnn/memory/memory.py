"""Base class of stores and recurrent memories: a module with an explicit state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from l2l_rnn.checks import check_tensor
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.layer_calls import NotScripted

State = TypeVar("State", bound=tuple[Tensor, ...])


class Memory(NotScripted, ABC, Generic[State]):
    """A module with an explicit state. Not for direct use.

    A state is a NamedTuple of tensors. No call changes it in place, so an old state remains valid.
    Parameters may have a leading task axis `N`, as in every layer of this package.

    Public methods check their arguments once. The methods that subclasses implement begin with an
    underscore and receive checked arguments.

    Shapes:
        The tensors of a state begin with the batch axes: `(N, B)` or `(B,)` in a recurrent layer,
        which has one memory per sequence, and `(N,)` or `()` in a store, which has one memory per
        task. `…` stands for these axes.
    """

    task_axis: ClassVar[bool] = True

    _last_layout: tuple[Any, tuple[Any, list[torch.Size]]] | None = None

    def blank(self, *batch: int) -> State:
        """Return the blank state, with tensors that begin with the axes `batch`.

        Raises:
            ShapeError: the parameters have a task axis, but the batch does not begin with it.
        """
        tasks = self._tasks()
        if tasks is not None and batch[:1] != (tasks,):
            raise ShapeError(
                f"{type(self).__name__}: the batch must begin with N={tasks} tasks, like the "
                f"parameters, got {batch}; pass N first"
            )
        return self._blank(*batch)

    def check_state(self, state: State, *batch: int) -> State:
        """Return the state if it fits this memory and the batch.

        Raises:
            ArgumentTypeError: the state belongs to another kind of memory.
            ShapeError: the state belongs to a memory of another size, or to another batch.
        """
        who, (kind, shapes) = type(self).__name__, self._layout(batch)
        if type(state) is not kind:
            raise ArgumentTypeError(
                f"{who}: state must be of type {kind.__name__}, got {type(state).__name__}; "
                "take it from blank() or from an earlier call of this memory"
            )
        for name, given, shape in zip(kind._fields, state, shapes, strict=True):  # type: ignore[attr-defined]
            if given.shape != shape:
                raise ShapeError(
                    f"{who}: the state's {name} must have shape {tuple(shape)}, got "
                    f"{tuple(given.shape)}; take it from blank{batch} or from an earlier call of "
                    "this memory with the same batch"
                )
        return state

    def take_state(self, state: State | Mapping[str, Tensor], *batch: int) -> State:
        """Return a saved state, given as a state or as a mapping from field names to tensors.

        Raises:
            ArgumentError: the names are not the fields of this memory's state.
            ArgumentTypeError: the state belongs to another kind of memory, or its tensors differ
                from the parameters in dtype or device.
            ShapeError: the state belongs to a memory of another size, or to another batch.
        """
        who, blank = type(self).__name__, self.blank(*batch)
        fields: tuple[str, ...] = blank._fields  # type: ignore[attr-defined]
        if isinstance(state, Mapping):
            if set(state) != set(fields):
                raise ArgumentError(
                    f"{who}: the state must have {', '.join(fields)}, got "
                    f"{', '.join(map(str, state))}; load the state of a {type(self).__name__}"
                )
            state = type(blank)(**state)
        for name, given in zip(fields, state if type(state) is type(blank) else (), strict=False):
            check_tensor(who, f"the state's {name}", given)
        for name, given, wanted in zip(fields, self.check_state(state, *batch), blank, strict=True):
            if given.dtype != wanted.dtype or given.device != wanted.device:
                raise ArgumentTypeError(
                    f"{who}: the state's {name} must be {wanted.dtype} on {wanted.device}, "
                    f"got {given.dtype} on {given.device}; convert it with .to()"
                )
        return state

    def save_state(self, state: State) -> dict[str, Tensor]:
        """Return the tensors of a state by name, to save them; `take_state` reads them again.

        They have no graph, are contiguous and own their storage. `torch.save` (loaded with
        `weights_only=True`) and `safetensors.torch.save_file` take this mapping.

        Example:
            >>> from l2l_rnn.memory import SlotMemory
            >>> store = SlotMemory(key_size=2, value_size=1, slots=4)
            >>> saved = store.save_state(store.blank())
            >>> sorted(saved), type(store.take_state(saved)).__name__
            (['ages', 'memory', 'written'], 'SlotState')
        """
        names: tuple[str, ...] = state._fields  # type: ignore[attr-defined]
        return {
            name: part.detach().clone(memory_format=torch.contiguous_format)
            for name, part in zip(names, state, strict=True)
        }

    def _layout(self, batch: tuple[int, ...]) -> tuple[Any, list[torch.Size]]:
        """Return the type of a state and the shapes of its tensors, from a cache of one entry."""
        key, last = (batch, self._tasks()), self._last_layout
        if last is None or last[0] != key:
            blank = self.blank(*batch)
            last = key, (type(blank), [part.shape for part in blank])
            self._last_layout = last  # a single assignment, because other threads may call too
        return last[1]

    def _check_axes(self, name: str, tensor: Tensor, axes: int) -> None:
        """Check that a tensor has `N` and `axes` axes if the parameters have a task axis."""
        tasks = self._tasks()
        if tasks is not None and (tensor.dim() < axes or len(tensor) != tasks):
            raise ShapeError(
                f"{type(self).__name__}: {name} must be (N, …) with N={tasks} tasks first, like "
                f"the parameters, and {axes} axes, got shape {tuple(tensor.shape)}"
            )

    @abstractmethod
    def _blank(self, *batch: int) -> State:
        """Return the blank state for a batch that fits the parameters."""

    @abstractmethod
    def _tasks(self) -> int | None:
        """Return `N`, or None if the parameters have no task axis."""


def leading_axis(parameter: Tensor, own: int) -> int | None:
    """Return `N` of a parameter with `own` axes besides the task axis; None without a task axis."""
    return len(parameter) if parameter.dim() > own else None


def where(advances: Tensor, after: State, before: State) -> State:
    """Return `after` for the sequences that advance and `before` for the others.

    Shapes:
        advances `(…)`, bool; all tensors of the states begin with `…`.
    """

    def chosen(new: Tensor, old: Tensor) -> Tensor:
        if new is old:
            return new
        mask = advances.reshape(*advances.shape, *[1] * (new.dim() - advances.dim()))
        return torch.where(mask, new, old)

    parts: Any = (chosen(new, old) for new, old in zip(after, before, strict=True))
    return type(after)(*parts)
