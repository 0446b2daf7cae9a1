"""What the recurrent layers share: torch's constructors, parameters and results.

Differences from `torch.nn.RNN`, `GRU` and `LSTM`: second derivatives are exact on every device with
no flag to set; parameters may have a leading task axis `N`; ragged batches may come as `lengths`;
inputs may have axes before the batch; and no call warns of unflattened weights.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional.recurrence.packing import Packing, choose_packing
from l2l_rnn.functional.recurrence.recurrences import State, Weights
from l2l_rnn.nn.layouts import Layout, state_tensors


class RecurrentLayer(nn.Module, ABC):
    """What the recurrent layers share: parameters, layers, directions, layouts. Not for direct use.

    Args:
        input_size: `F`, features of a step.
        hidden_size: `H`, hidden units.
        num_layers: layers stacked on one another.
        bias: whether there are biases.
        batch_first: whether a batch is `(B, S, F)` rather than `(S, B, F)`.
        dropout: share of each layer's outputs, but the last's, set to zero in training.
        bidirectional: whether a second recurrence reads the sequence from its end.

    Shapes:
        input: `(S, B, F)`; `(B, S, F)` if `batch_first`; `(S, F)` for one sequence; or a
        `PackedSequence`. Axes before these are more batch, or the tasks `N` where parameters
        have that axis. `hx`: `(D L, B, H)` for D directions and L layers, after the same
        leading axes. Output: as the input, with `D H` features, 0 past each sequence's length.

    Raises:
        ArgumentError: a size, the dropout or a length is out of its range.
        ShapeError: at a call, when input, state or lengths do not fit.
        ArgumentTypeError: at a call, when state or lengths are of another type.
        DerivativeError: when a third derivative is asked for; the first two are there, and under a
            transform of `torch.func` all of them.
    """

    task_axis: ClassVar[bool] = True
    gates: ClassVar[int]
    projects: ClassVar[bool] = False  # whether the kind of recurrence has a projected output
    dense: ClassVar[bool] = False  # whether it reads every step of every sequence, padding included

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int = 0,
    ) -> None:
        super().__init__()
        who = type(self).__name__
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in sizes.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ArgumentError(f"{who}: {name} must be a positive integer, got {size!r}")
        if not 0 <= dropout <= 1:
            raise ArgumentError(f"{who}: dropout must lie in [0, 1], got {dropout!r}")
        if proj_size and not self.projects:
            raise ArgumentError(
                f"{who}: only LSTM takes proj_size, got {proj_size!r}; leave it out"
            )
        if not 0 <= proj_size < hidden_size:
            raise ArgumentError(
                f"{who}: proj_size must lie in [0, hidden_size={hidden_size}), got {proj_size!r}"
            )
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size

        for layer in range(num_layers):
            features = input_size if layer == 0 else self.output_size
            for suffix in self._suffixes(layer):
                for name, shape in self._parameter_shapes(features).items():
                    parameter = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
                    self.register_parameter(name + suffix, parameter)
        self.reset_parameters()

    @property
    def state_size(self) -> int:
        """Units of the output state `h` of one direction."""
        return self.proj_size or self.hidden_size

    @property
    def output_size(self) -> int:
        """Features of an output step: those of all directions."""
        return self.state_size * (1 + self.bidirectional)

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from `[-1/sqrt(H), 1/sqrt(H)]`, in torch's order."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: torch's layers arrange their weights for cuDNN, which is not used here."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        # learn2learn applies the identity to the clones of whatever has flatten_parameters, and
        # torch would warn that their parameters, being no leaves, have no gradient.
        with torch.no_grad():
            if all(fn(tensor) is tensor for tensor in (*self.parameters(), *self.buffers())):
                return self
        return super()._apply(fn, recurse)

    def extra_repr(self) -> str:
        defaults = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "proj_size": 0,
        }
        given = [f"{k}={getattr(self, k)}" for k, v in defaults.items() if getattr(self, k) != v]
        return ", ".join([str(self.input_size), str(self.hidden_size), *given])

    def forward(
        self,
        input: Tensor | PackedSequence,
        hx: Tensor | tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor | PackedSequence, Tensor | tuple[Tensor, ...]]:
        """Compute the outputs of all steps and the final state.

        Args:
            input: the sequences.
            hx: the initial state, `h` or for an LSTM `(h, c)`; zeros if None.
            lengths: valid steps of each padded sequence, `(…, B)`; all of them if None. Past its
                length a sequence's state stands still. Not for a `PackedSequence`, which knows.

        Returns:
            The outputs and the final state, as torch's layers return them.
        """
        if isinstance(input, PackedSequence):
            if lengths is not None:
                raise ArgumentError(
                    f"{type(self).__name__}: a PackedSequence knows its lengths; leave lengths= out"
                )
            return self._forward_packed(input, hx)
        return self._forward_padded(input, hx, lengths)

    def _forward_padded(
        self, input: Tensor, hx: Any, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
        layout = Layout(
            type(self).__name__,
            input,
            self.weight_ih_l0,
            batch_first=self.batch_first,
        )
        state = layout.state(hx, self.num_layers * (1 + self.bidirectional), self._state_sizes())
        lengths = layout.lengths(lengths)
        known = None if lengths is None else readable_values(lengths)
        full = lengths is None or (known is not None and bool((known == layout.x.shape[2]).all()))
        fused = self._run_fused(layout.x, state) if full else None
        y, final = self._run(layout.x, state, lengths) if fused is None else fused
        states = tuple(map(layout.final, final))
        return layout.output(y), states if len(states) > 1 else states[0]

    # -- what a kind of recurrence defines ---------------------------------------------------

    @abstractmethod
    def _recur(
        self,
        layer: int,
        x: Tensor,
        state: State,
        batch_sizes: Sequence[int],
        valid: Tensor | None,
    ) -> State:
        """Run one layer's recurrence, all directions and tasks at once.

        Args and shapes are those of `functional.recurrences`; `valid`, `(A, P, 1)`, is True at
        packed steps inside their sequence, None if all are.
        """

    def _outputs(self, layer: int, x: Tensor, states: State) -> Tensor:
        """Compute one layer's outputs from what it read, x, and the states after every step."""
        return states[0]

    def _run_fused(self, x: Tensor, state: State) -> tuple[Tensor, tuple[Tensor, ...]] | None:
        """Run torch's own kernel where it is faster and will do, else None; as `_run`."""
        return None

    def _parameter_shapes(self, features: int) -> dict[str, tuple[int, ...]]:
        """Name and shape of a layer's parameters in one direction, in torch's order."""
        rows = self.gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "weight_ih": (rows, features),
            "weight_hh": (rows, self.state_size),
        }
        if self.bias:
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
        if self.proj_size:
            shapes |= {"weight_hr": (self.proj_size, self.hidden_size)}
        return shapes

    def _state_sizes(self) -> tuple[int, ...]:
        """Units of each tensor of the state, `h` first."""
        return (self.state_size,)

    # -- parameters --------------------------------------------------------------------------

    @property
    def _has_tasks(self) -> bool:
        return self.weight_ih_l0.dim() == 3

    def _takes_gradients(self, *tensors: Tensor) -> bool:
        """Whether a call on these tensors may be differentiated."""
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)

    def _suffixes(self, layer: int) -> list[str]:
        return [f"_l{layer}", f"_l{layer}_reverse"][: 1 + self.bidirectional]

    def _stacked(self, name: str, layer: int) -> Tensor:
        """One parameter of all directions and tasks, `(A, …)`, direction-major."""
        return self._stack([getattr(self, name + suffix) for suffix in self._suffixes(layer)])

    def _weights(self, layer: int) -> Weights:
        names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else [])]
        return Weights(*(self._stacked(name, layer) for name in names))

    def _stack(self, directions: list[Tensor]) -> Tensor:
        if not self._has_tasks:
            directions = [parameter.unsqueeze(0) for parameter in directions]
        return torch.cat(directions) if len(directions) > 1 else directions[0]

    # -- layers and directions ---------------------------------------------------------------

    def _run(
        self, x: Tensor, state: State, lengths: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Stack the layers: x `(N, B, S, F)`, states `(DL, N, B, H)` -> y, `(N, B, DL, H)`."""
        tasks, batch, steps = x.shape[:3]
        packing = choose_packing(batch, steps, lengths, dense=self.dense)
        x = packing.pack(x)  # (N, P, F)
        if packing.valid is not None:
            x = x.masked_fill(~packing.valid, 0)  # padding may be NaN, and 0 times NaN is NaN
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

    def _both_ways(self, x: Tensor, packing: Packing) -> Tensor:
        """The packed steps as each direction reads them: `(N, P, F)` -> `(A, P, F)`."""
        return torch.cat([x, packing.reverse(x)]) if self.bidirectional else x

    def _forward_packed(
        self, packed: PackedSequence, hx: Any
    ) -> tuple[PackedSequence, Tensor | tuple[Tensor, ...]]:
        """Run the padded form of a packed batch and pack the outputs alike."""
        if self._has_tasks:
            raise ShapeError(
                f"{type(self).__name__}: a PackedSequence has no task axis, but the parameters "
                "have one; give the padded (N, B, S, F) tensor and lengths= instead"
            )
        data, batch_sizes, order, inverse = packed
        x, lengths = pad_packed_sequence(PackedSequence(data, batch_sizes), self.batch_first)
        if hx is not None:
            state = state_tensors(type(self).__name__, hx, len(self._state_sizes()))
            if order is not None and all(s.shape[-2:-1] == order.shape for s in state):
                state = tuple(s.index_select(-2, order) for s in state)
            hx = state if len(state) > 1 else state[0]
        y, final = self._forward_padded(x, hx, lengths)
        if inverse is not None:
            states = (final,) if isinstance(final, Tensor) else final
            states = tuple(s.index_select(-2, inverse) for s in states)
            final = states if len(states) > 1 else states[0]
        y = pack_padded_sequence(y, lengths, self.batch_first).data
        return PackedSequence(y, batch_sizes, order, inverse), final
