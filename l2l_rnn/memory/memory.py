"""What every memory is: a recurrent layer, and a store of keys and values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.padding import step_mask
from l2l_rnn.memory.checks import check_store, layer_only

State = TypeVar("State", bound=tuple[Tensor, ...])


class Memory(nn.Module, ABC, Generic[State]):
    """A network with an external memory, `y = f(x, M)`. Not for direct use.

    It is used in two ways. As a layer it reads a sequence, and writes and reads its memory at every
    step: each sequence has a memory of its own. As a store it is written keys with values, such as
    the examples of a task with their labels, and is asked for values by keys: each task has one
    memory.

    A state is a NamedTuple of tensors and is never changed in place: whoever keeps an old one has
    the memory as it was. Parameters may have a leading task axis `N`, as every layer's here.

    Every call checks what it is given, once; the loop over the steps of a sequence checks nothing.

    Attributes:
        input_size: `F`, features of a step that the layer reads; 0 in one that is a store only.
        output_size: features of a step that it returns.
        key_size: `K`, of what the store is asked by.
        value_size: `V`, of what it holds for a key.

    Shapes:
        The tensors of a state begin with `(N, B)` or `(B,)` in a layer, with `(N,)` or nothing in a
        store; in what follows `…` stands for these.
    """

    task_axis: ClassVar[bool] = True

    input_size: int
    output_size: int
    key_size: int
    value_size: int
    adds: ClassVar[bool] = False  # whether a write adds to what a key reads, rather than sets it
    _last_fitting: tuple[Any, tuple[Any, list[torch.Size]]] | None = None

    @property
    def is_layer(self) -> bool:
        """Whether it was made with an `input_size`, and so has the parameters of a layer."""
        return self.input_size > 0

    def blank(self, *batch: int) -> State:
        """Return the state before anything was written, its tensors beginning with `batch`.

        Raises:
            ShapeError: the parameters have a task axis that the batch does not begin with.
        """
        tasks = self._tasks()
        if tasks is not None and batch[:1] != (tasks,):
            raise ShapeError(
                f"{type(self).__name__}: a batch must begin with N={tasks} tasks, as the "
                f"parameters do, got {batch}"
            )
        return self._blank(*batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Take a step: x `(…, F)` and a state to outputs `(…, output_size)` and the next state.

        Raises:
            ShapeError: x does not end in `F` features, or the state is of another shape.
            ArgumentTypeError: the state is that of another kind of memory.
            ArgumentError: it is a store only.
        """
        self._check_is_layer()
        if x.dim() < 1 or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: x must end in F={self.input_size} features, got shape "
                f"{tuple(x.shape)}; set input_size or project x"
            )
        self._check_axes("x", x, 3)
        self.check_state(state, *x.shape[:-1])
        seen, state = self._advance(self._project(x), state)
        return self._emit(seen), state

    def write(self, state: State, keys: Tensor, values: Tensor) -> State:
        """Write B values under their keys, in their order.

        Shapes:
            keys (…, B, K), values (…, B, V).

        Raises:
            ShapeError: keys, values and state do not fit the memory, or each other.
            ArgumentTypeError: the state is that of another kind of memory.
        """
        check_store(type(self).__name__, (self.key_size, self.value_size), keys, values)
        self._check_axes("keys", keys, 3)
        return self._write(self.check_state(state, *keys.shape[:-2]), keys, values)

    def read(self, state: State, queries: Tensor) -> Tensor:
        """Look up values by keys, which changes nothing.

        Shapes:
            queries (…, Q, K) -> (…, Q, V).

        Raises:
            ShapeError: queries and state do not fit the memory, or each other.
            ArgumentTypeError: the state is that of another kind of memory.
        """
        self._check_queries(state, queries)
        return self._read(state, queries)

    def forward(
        self, x: Tensor, state: State | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Run over sequences.

        Args:
            x: the sequences.
            state: where to go on from; None starts with a blank memory.
            lengths: valid steps of each sequence; all of them if None. Past its length a sequence's
                state stands still and its outputs are 0.

        Returns:
            The outputs of all steps and the final state.

        Shapes:
            x (B, S, F) or (N, B, S, F); lengths (B,) or (N, B); outputs (…, S, output_size).

        Raises:
            ShapeError: x does not end in `F` features or has no steps, or the state or the lengths
                are of another shape.
            ArgumentTypeError: the state is that of another kind of memory.
            ArgumentError: a length is negative or above S, or it is a store only.
        """
        self._check_is_layer()
        if x.dim() not in (3, 4) or x.shape[-1] != self.input_size or x.shape[-2] == 0:
            raise ShapeError(
                f"{type(self).__name__}: x must be (B, S, F) or (N, B, S, F) with "
                f"F={self.input_size} features and a step or more, got shape {tuple(x.shape)}; "
                "set input_size or project x"
            )
        batch, steps = x.shape[:-2], x.shape[-2]
        self._check_axes("x", x, 4)
        state = self.blank(*batch) if state is None else self.check_state(state, *batch)
        inside = None
        if lengths is not None:
            inside = step_mask(self._check_lengths(lengths, batch, steps), steps)  # (…, S)
            x = x.masked_fill(~inside.unsqueeze(-1), 0)  # padding may be NaN
        outputs, state = self._run(x, state, inside)
        if inside is not None:
            outputs = outputs.masked_fill(~inside.unsqueeze(-1), 0)
        return outputs, state

    def check_state(self, state: State, *batch: int) -> State:
        """Return a state that fits this memory and batch.

        Raises:
            ArgumentTypeError: it is the state of another kind of memory.
            ShapeError: it is that of another size of memory, or of another batch.
        """
        who, (kind, shapes) = type(self).__name__, self._fitting(batch)
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
                    "this memory on as many sequences"
                )
        return state

    def _fitting(self, batch: tuple[int, ...]) -> tuple[Any, list[torch.Size]]:
        """The type of a state and the shapes of its tensors; making a blank one takes longer."""
        key, last = (batch, self._tasks()), self._last_fitting
        if last is None or last[0] != key:
            blank = self.blank(*batch)
            last = key, (type(blank), [part.shape for part in blank])
            self._last_fitting = last  # whole, as other threads may call too
        return last[1]

    def take_state(self, state: State | Mapping[str, Tensor], *batch: int) -> State:
        """Return a state that was kept, or made of a mapping with its names.

        Raises:
            ArgumentError: the names are those of another memory.
            ArgumentTypeError: it is the state of another kind of memory, or is of another type or
                device than the parameters.
            ShapeError: it is that of another size of memory, or of another batch.
        """
        who, blank = type(self).__name__, self.blank(*batch)
        fields: tuple[str, ...] = blank._fields  # type: ignore[attr-defined]
        if isinstance(state, Mapping):
            if set(state) != set(fields):
                raise ArgumentError(
                    f"{who}: the state must have {', '.join(fields)}, got "
                    f"{', '.join(map(str, state))}; it is another memory's"
                )
            state = type(blank)(**state)
        for name, given in zip(fields, state if type(state) is type(blank) else (), strict=False):
            if not isinstance(given, Tensor):
                raise ArgumentTypeError(
                    f"{who}: the state's {name} must be a tensor, got {type(given).__name__}; make "
                    "it one with torch.as_tensor"
                )
        for name, given, wanted in zip(fields, self.check_state(state, *batch), blank, strict=True):
            if given.dtype != wanted.dtype or given.device != wanted.device:
                raise ArgumentTypeError(
                    f"{who}: the state's {name} must be {wanted.dtype} on {wanted.device}, "
                    f"got {given.dtype} on {given.device}; convert it with .to()"
                )
        return state

    def _run(self, x: Tensor, state: State, inside: Tensor | None) -> tuple[Tensor, State]:
        """Take all steps; a memory whose steps need no loop overrides this.

        Shapes:
            x (…, S, F), inside (…, S), True within a sequence, or None -> (…, S, output_size).
        """
        seen, state = self._steps(self._project(x), state, inside)
        return self._emit(seen), state

    def _steps(self, features: Tensor, state: State, inside: Tensor | None) -> tuple[Tensor, State]:
        """Take all steps one after the other, from what `_project` made to what `_emit` reads."""
        seen = []
        for t, here in enumerate(features.unbind(-2)):
            y, after = self._advance(here, state)
            seen.append(y)
            state = after if inside is None else _where(inside[..., t], after, state)
        return torch.stack(seen, -2), state

    # What a memory computes, of what was checked. What of a step needs no state is done for all
    # steps at once, before and after `_advance`.

    @abstractmethod
    def _blank(self, *batch: int) -> State: ...

    @abstractmethod
    def _write(self, state: State, keys: Tensor, values: Tensor) -> State: ...

    @abstractmethod
    def _read(self, state: State, queries: Tensor) -> Tensor: ...

    @abstractmethod
    def _tasks(self) -> int | None:
        """Return `N`, or None where the parameters have no task axis."""

    def _project(self, x: Tensor) -> Tensor:
        """Compute what the steps read of x, `(…, S, F)` -> `(…, S, any)`."""
        return x

    @abstractmethod
    def _advance(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Take a step from what `_project` made of it to what `_emit` reads, and the next state."""

    def _emit(self, seen: Tensor) -> Tensor:
        """Compute the outputs of what the steps returned, `(…, S, any)` -> `(…, S, output)`."""
        return seen

    def _check_is_layer(self) -> None:
        if not self.is_layer:
            raise layer_only(type(self).__name__)

    def _check_queries(self, state: State, queries: Tensor) -> None:
        check_store(type(self).__name__, (self.key_size, self.value_size), queries)
        self._check_axes("queries", queries, 3)
        self.check_state(state, *queries.shape[:-2])

    def _check_axes(self, name: str, tensor: Tensor, axes: int) -> None:
        """Check that, where the parameters have a task axis, a tensor of so many axes has it."""
        tasks = self._tasks()
        if tasks is not None and (tensor.dim() < axes or len(tensor) != tasks):
            raise ShapeError(
                f"{type(self).__name__}: {name} must be (N, …) with N={tasks} tasks first and "
                f"{axes} axes, as the parameters have a task axis, got shape {tuple(tensor.shape)}"
            )

    def _check_lengths(self, lengths: Tensor, batch: torch.Size, steps: int) -> Tensor:
        who = type(self).__name__
        if lengths.shape != batch:
            raise ShapeError(
                f"{who}: lengths must have shape {tuple(batch)}, got {tuple(lengths.shape)}; give "
                "one for each sequence"
            )
        known = readable_values(lengths)
        if known is not None and known.numel() and (known.min() < 0 or known.max() > steps):
            raise ArgumentError(
                f"{who}: lengths must lie in 0 … S={steps}, got {int(known.min())} … "
                f"{int(known.max())}"
            )
        return lengths


def leading_axis(parameter: Tensor, usual: int) -> int | None:
    """Return `N` of a parameter that has `usual` axes without tasks, or None if it has no more."""
    return len(parameter) if parameter.dim() > usual else None


def _where(going_on: Tensor, after: State, before: State) -> State:
    """The state after a step for sequences that take it, `(…,)`, the one before for the others."""
    chosen: Any = (
        new if new is old else torch.where(_as_wide(going_on, new), new, old)
        for new, old in zip(after, before, strict=True)
    )
    return type(after)(*chosen)


def _as_wide(mask: Tensor, like: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *[1] * (like.dim() - mask.dim()))
