"""Recurrent layers with an external memory: the interface and the registry."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional.layer_calls import recurrent_call, refuse_strict_export, refuse_tracing
from l2l_rnn.functional.padding import step_mask
from l2l_rnn.mapped_axis import takes_mapped_axis
from l2l_rnn.memory.memory import Memory, State, where
from l2l_rnn.registry import Registry


class RecurrentMemory(Memory[State]):
    """A recurrent layer with an external memory, `y = f(x, M)`. Not for direct use.

    Each sequence has its own memory, and every step reads and writes it.

    Attributes:
        input_size: `F`, features of an input step.
        output_size: features of an output step.
    """

    input_size: int
    output_size: int

    @recurrent_call
    @takes_mapped_axis(applies=lambda x, *_, **__: x.dim() == 3)
    def forward(
        self, x: Tensor, state: State | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Compute the outputs of all steps and the final state.

        Args:
            x: the sequences.
            state: the initial state; None for a blank state.
            lengths: number of valid steps of each sequence; None if all steps are valid. Past the
                length of a sequence, its state does not change and its outputs are 0.

        Returns:
            The outputs of all steps and the final state.

        Shapes:
            x `(B, S, F)` or `(N, B, S, F)`, lengths `(B,)` or `(N, B)` -> `(…, S, output_size)`.

        Raises:
            ShapeError: x does not end in `F` features or has no steps, or the state or the lengths
                have the wrong shape.
            ArgumentTypeError: the state belongs to another kind of memory.
            ArgumentError: a length is not from 0 to S.
        """
        refuse_strict_export()
        if x.dim() not in (3, 4) or x.shape[-1] != self.input_size or x.shape[-2] == 0:
            raise ShapeError(
                f"{type(self).__name__}: x must be (B, S, F) or (N, B, S, F) with "
                f"F={self.input_size} features and at least one step, got shape {tuple(x.shape)}; "
                "set input_size or project x"
            )
        batch, steps = x.shape[:-2], x.shape[-2]
        self._check_axes("x", x, 4)
        state = self.blank(*batch) if state is None else self.check_state(state, *batch)
        inside = None
        if lengths is not None:
            inside = step_mask(self._check_lengths(lengths, batch, steps), steps)  # (…, S)
            x = x.masked_fill(~inside.unsqueeze(-1), 0)  # padding may be NaN
        seen, state = self._steps(self._project(x), state, inside)
        outputs = self._emit(seen)
        if inside is not None:
            outputs = outputs.masked_fill(~inside.unsqueeze(-1), 0)
        return outputs, state

    def _forward_jit(self, *args: Any, **kwargs: Any) -> Any:
        raise refuse_tracing(self)

    @takes_mapped_axis(applies=lambda x, *_, **__: x.dim() > 1)
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step and return its output and the next state.

        Shapes:
            x `(…, F)` -> `(…, output_size)`.

        Raises:
            ShapeError: x does not end in `F` features, or the state has the wrong shape.
            ArgumentTypeError: the state belongs to another kind of memory.
        """
        if x.dim() < 1 or x.shape[-1] != self.input_size:
            raise ShapeError(
                f"{type(self).__name__}: x must end in F={self.input_size} features, got shape "
                f"{tuple(x.shape)}; set input_size or project x"
            )
        self._check_axes("x", x, 3)
        self.check_state(state, *x.shape[:-1])
        seen, state = self._advance(self._project(x), state)
        return self._emit(seen), state

    def trace(self, state: State) -> dict[str, Tensor]:
        """Return the weights and the usage of the last step, for `analysis.trace_memory`.

        Returns:
            Those of `write_weights`, `read_weights`, `usage` and `allocation` that this memory
            has, by name; empty for a memory without heads.

        Shapes:
            weights `(…, heads, M)`, usage and allocation `(…, 1, M)`.
        """
        return {}

    # Work that needs no state is done for all steps at once, before and after the loop over
    # `_advance`.

    def _project(self, x: Tensor) -> Tensor:
        """Compute the part of a step that depends only on x, `(…, F)` -> `(…, any)`."""
        return x

    def _steps(self, features: Tensor, state: State, inside: Tensor | None) -> tuple[Tensor, State]:
        """Take all steps in a loop. Override this method if there is a faster way.

        Args:
            features: the result of `_project` for all steps.
            state: the state before the first step.
            inside: True at steps inside a sequence, False at padding; None for no padding.

        Returns:
            The input of `_emit` for all steps, `(…, S, any)`, and the last state.
        """
        seen = []
        for t, here in enumerate(features.unbind(-2)):
            y, after = self._advance(here, state)
            seen.append(y)
            state = after if inside is None else where(inside[..., t], after, state)
        return torch.stack(seen, -2), state

    @abstractmethod
    def _advance(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step, from the result of `_project` to the input of `_emit` and the next state.

        Shapes:
            `(…, any)` -> `(…, any)`.
        """

    def _emit(self, seen: Tensor) -> Tensor:
        """Compute outputs from the results of the steps, `(…, any)` -> `(…, output_size)`."""
        return seen

    def _check_lengths(self, lengths: Tensor, batch: torch.Size, steps: int) -> Tensor:
        who = type(self).__name__
        if lengths.shape != batch:
            raise ShapeError(
                f"{who}: lengths must have shape {tuple(batch)}, got {tuple(lengths.shape)}; pass "
                "one per sequence"
            )
        known = readable_values(lengths)
        if known is not None and known.numel() and (known.min() < 0 or known.max() > steps):
            raise ArgumentError(
                f"{who}: lengths must be from 0 to S={steps}, got {int(known.min())} to "
                f"{int(known.max())}; count the valid steps of each sequence"
            )
        return lengths


LAYERS: Registry[type[RecurrentMemory[Any]]] = Registry("memory layer")
"""Every recurrent layer with a memory but `MemoryLayer`, which takes any member of `STORES`."""
