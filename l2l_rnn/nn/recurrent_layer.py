"""Base class of the recurrent layers, with torch's constructors, parameters and results.

Differences from `torch.nn.RNN`, `GRU` and `LSTM`: second derivatives are exact on every device
without a flag; parameters may have a leading task axis `N`; ragged batches may be passed as a
padded tensor with `lengths`; inputs may have axes before the batch; no call warns about unflattened
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.layer_calls import recurrent_call, refuse_tracing
from l2l_rnn.functional.recurrence import reference
from l2l_rnn.functional.recurrence.packing import Packing, choose_packing
from l2l_rnn.functional.recurrence.weights import State
from l2l_rnn.mapped_axis import takes_mapped_axis
from l2l_rnn.nn.layouts import Layout, state_tensors
from l2l_rnn.nn.one_step import run_one_step
from l2l_rnn.nn.recurrent_parameters import RecurrentParameters
from l2l_rnn.nn.torch_layers import run_kernel
from l2l_rnn.registry import Registry

CELLS: Registry[type[RecurrentLayer]] = Registry("cell")
"""The recurrent layers by name, as `models.SequenceEncoder` and the contract tests find them."""


class RecurrentLayer(RecurrentParameters):
    """Base class of the recurrent layers: parameters, stacked layers, directions, layouts.

    A subclass is a kind of recurrence. It sets `gates` and defines `step`, the plain equations of
    one step. If its state is more than h, it also defines `state_sizes`. `CELLS.register` gives it
    a name. Autograd differentiates it to any order. A faster implementation, such as the
    hand-written derivatives of RNN, GRU and LSTM, overrides `_recur`.

    Args:
        input_size: `F`, features of a step.
        hidden_size: `H`, hidden units.
        num_layers: number of stacked layers.
        bias: whether to use biases.
        batch_first: whether a batch is `(B, S, F)` instead of `(S, B, F)`.
        dropout: probability of zeroing an output of each layer except the last, in training.
        bidirectional: whether a second recurrence reads the sequence from its end.

    Shapes:
        input: `(S, B, F)`; `(B, S, F)` if `batch_first`; `(S, F)` for one sequence; or a
        `PackedSequence`. Axes before these are batch axes, or the task axis `N` if the parameters
        have one. `hx`: `(D L, B, H)` for D directions and L layers, after the same leading axes.
        Output: like the input, with `D H` features, 0 past each sequence's length.

    Raises:
        ArgumentError: a size, the dropout or a length is out of range.
        ShapeError: in `forward`, the input, state or lengths have the wrong shape.
        ArgumentTypeError: in `forward`, the state or the lengths have the wrong type.
        DerivativeError: a third derivative of a layer with hand-written ones, which are the first
            two, is requested. Under `torch.func`, derivatives of every order are available.

    Example:
        >>> class Residual(RecurrentLayer):
        ...     gates = 1
        ...
        ...     def step(self, a, state):
        ...         (h,) = state
        ...         return ((h + a).relu(),)
        >>> outputs, h = Residual(3, 5, num_layers=2, bidirectional=True)(torch.zeros(7, 2, 3))
        >>> outputs.shape, h.shape
        (torch.Size([7, 2, 10]), torch.Size([4, 2, 5]))
    """

    dense: ClassVar[bool] = False  # whether it reads every step, including padding

    def step(self, a: Tensor, state: State) -> State:
        """Compute the state after a step from the pre-activations and the state before it.

        Args:
            a: `W_ih x_t + b_ih + W_hh h_{t-1} + b_hh`.
            state: the state before the step, `h` first.

        Shapes:
            for G gates, a `(A, n, GH)`; the tensors of the state `(A, n, H)`, with H as in
            `state_sizes`. A counts tasks and directions, and n counts sequences.
        """
        raise ArgumentTypeError(
            f"{type(self).__name__}: a subclass of RecurrentLayer must define step; define it, or "
            "override _recur"
        )

    @recurrent_call
    # Without a task axis on the parameters, `(N, S, F)` would be a batch, not N sequences.
    @takes_mapped_axis(shares=lambda input, *_, **__: input.dim() > 2)
    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | State | None = None,
        *,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor | State]:
        """Compute the outputs of all steps and the final state.

        Args:
            input: the sequences.
            hx: the initial state, `h` or a tuple of tensors such as the `(h, c)` of an LSTM; None
                for zeros.
            lengths: number of valid steps of each sequence, `(…, B)`; None if all steps are valid.
                The state of a sequence does not change past its length. Not allowed with a
                `PackedSequence`, which has its own lengths.

        Returns:
            The outputs and the final state, like torch's layers.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ArgumentError(
                    f"{type(self).__name__}: a PackedSequence has its own lengths; omit lengths="
                )
            return self._forward_packed(input, hx)
        cell = self._cell() if lengths is None else None
        found = None if cell is None else run_one_step(self, cell, input, hx)
        if found is not None:
            return found[0], _one_or_all(found[1])
        return self._forward_padded(input, hx, lengths)

    def _forward_padded(
        self, input: Tensor, hx: Any, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | State]:
        layout = Layout(
            type(self).__name__,
            input,
            self.weight_ih_l0,
            batch_first=self.batch_first,
        )
        state = layout.state(hx, self.num_layers * (1 + self.bidirectional), self.state_sizes)
        lengths = layout.lengths(lengths)
        if layout.x.shape[1] == 0:
            y, final = self._run_empty(layout.x, state)
            return layout.output(y), _one_or_all(tuple(map(layout.final, final)))
        known = None if lengths is None else readable_values(lengths)
        full = lengths is None or (known is not None and bool((known == layout.x.shape[2]).all()))
        fused = self._run_fused(layout.x, state) if full else None
        y, final = self._run(layout.x, state, lengths) if fused is None else fused
        return layout.output(y), _one_or_all(tuple(map(layout.final, final)))

    def _forward_jit(self, input: Any, hx: Any = None, *, lengths: Tensor | None = None) -> Any:
        """Run torch's kernel for this layer, so that `torch.jit.trace` records it."""
        if self._kernel is None:
            raise refuse_tracing(self)
        if self._has_tasks:
            raise ShapeError(
                f"{type(self).__name__}: a layer with a task axis cannot be traced; trace the "
                "learner of one task, algorithms.select_task(learner, n)"
            )
        return run_kernel(self, self._kernel, input, hx, lengths)

    # -- hooks for a kind of recurrence ------------------------------------------------------

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "_cell" not in vars(cls) and any(name in vars(cls) for name in _OVERRIDABLE):
            cls._cell = RecurrentLayer._cell  # type: ignore[method-assign]

    def _cell(self) -> str | None:
        """Return the name of the cell in `functional.recurrence.single_step`; None if it has none.

        A subclass that overrides another hook has none, unless it overrides this one too.
        """
        return None

    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        """Run one layer's recurrence for all directions and tasks; by default step by step.

        Arguments and shapes are as in `functional.recurrence.recurrences`. `valid`, `(A, P, 1)`, is
        True at packed steps inside their sequence; None if all are.
        """
        return reference.run(self._checked_step, x, self._weights(layer), state, batch_sizes, valid)

    def _checked_step(self, a: Tensor, state: State) -> State:
        """Call `step` and check what it returns."""
        after: Any = self.step(a, state)
        if not isinstance(after, tuple) or len(after) != len(state):
            got = f"{len(after)}" if isinstance(after, tuple) else type(after).__name__
            raise ArgumentTypeError(
                f"{type(self).__name__}: step must return a tuple of {len(state)} tensors, as in "
                f"state_sizes, got {got}; return the whole state, h first"
            )
        return after

    def _outputs(self, layer: int, x: Tensor, states: State) -> Tensor:
        """Compute one layer's outputs from its input x and the states after all steps."""
        return states[0]

    @property
    def _kernel(self) -> Any:
        """The kernel of torch for this layer, such as `torch.lstm`; None if there is none."""
        return None

    def _run_fused(self, x: Tensor, state: State) -> tuple[Tensor, State] | None:
        """Run torch's kernel in place of `_run`; return None if it is slower or does not apply."""
        return None

    # -- layers and directions ---------------------------------------------------------------

    def _run(self, x: Tensor, state: State, lengths: Tensor | None) -> tuple[Tensor, State]:
        """Run all layers: x `(N, B, S, F)`, states `(DL, N, B, H)` -> y, states `(N, B, DL, H)`."""
        tasks, batch, steps = x.shape[:3]
        packing = choose_packing(batch, steps, lengths, dense=self.dense)
        x = packing.pack(x)  # (N, P, F)
        if packing.valid is not None:
            x = x.masked_fill(~packing.valid, 0)  # padding may be NaN, and 0 * NaN is NaN
        valid = None if packing.valid is None else self._both_ways(packing.valid, packing)
        state = tuple(s.unflatten(0, (self.num_layers, -1)) for s in state)  # (L, D, N, B, H)
        finals = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            initial = tuple(
                torch.cat([packing.sort(direction) for direction in s[layer]]) for s in state
            )
            both_ways = self._both_ways(x, packing)
            states = self._recur(layer, both_ways, initial, packing.batch_sizes, valid)
            x = self._outputs(layer, both_ways, states)  # (A, P, H)
            if self.bidirectional:
                x = torch.cat([x[:tasks], packing.reverse(x[tasks:])], -1)
            finals.append(
                [
                    [
                        packing.final(*pair)
                        for pair in zip(after.split(tasks), s[layer], strict=True)
                    ]
                    for after, s in zip(states, state, strict=True)
                ]
            )
        stacked = (
            torch.stack([part for layer in kind for part in layer], 2)
            for kind in zip(*finals, strict=True)
        )
        return packing.unpack(x), tuple(stacked)

    def _run_empty(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run no sequences, B = 0: run one of zeros, and drop it. All gradients are 0."""
        x = torch.cat([x, x.new_zeros(len(x), 1, *x.shape[2:])], 1)
        state = tuple(torch.cat([s, s.new_zeros(*s.shape[:2], 1, s.shape[3])], 2) for s in state)
        y, final = self._run(x, state, None)
        return y[:, :0], tuple(s[:, :0] for s in final)

    def _both_ways(self, x: Tensor, packing: Packing) -> Tensor:
        """Return the packed steps as each direction reads them: `(N, P, F)` -> `(A, P, F)`."""
        return torch.cat([x, packing.reverse(x)]) if self.bidirectional else x

    def _forward_packed(
        self, packed: PackedSequence, hx: Any
    ) -> tuple[PackedSequence, Tensor | State]:
        """Run a packed batch in padded form, and pack the outputs."""
        if self._has_tasks:
            raise ShapeError(
                f"{type(self).__name__}: a PackedSequence has no task axis, but the parameters "
                "have one; pass the padded (N, B, S, F) tensor and lengths"
            )
        data, batch_sizes, order, inverse = packed
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes), self.batch_first)
        if hx is not None:
            state = state_tensors(type(self).__name__, hx, len(self.state_sizes))
            if order is not None and all(s.shape[-2:-1] == order.shape for s in state):
                state = tuple(s.index_select(-2, order) for s in state)
            hx = _one_or_all(state)
        y, final = self._forward_padded(x, hx, lengths)
        if inverse is not None:
            states = (final,) if isinstance(final, Tensor) else final
            final = _one_or_all(tuple(s.index_select(-2, inverse) for s in states))
        y = pack_padded_sequence(y, lengths, self.batch_first).data
        return PackedSequence(y, batch_sizes, order, inverse), final


# The methods that determine what a layer computes.
_OVERRIDABLE = ("step", "state_sizes", "_recur", "_outputs", "_run", "_run_fused")


def _one_or_all(state: State) -> Tensor | State:
    """Return a state like torch's layers: a tensor, or a tuple of several tensors."""
    return state if len(state) > 1 else state[0]
