"""The memory-augmented neural network of Santoro et al., which writes to the least used slots."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.axes import align_tasks
from l2l_rnn.checks import check_choice, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.memory.addressing import bounded_exp, one_hot
from l2l_rnn.functional.memory.heads import MANNHeads
from l2l_rnn.memory.controller_memory import ControllerMemory
from l2l_rnn.memory.recurrent_memory import LAYERS
from l2l_rnn.memory.stores.least_used import LeastUsedStore


class MANNState(NamedTuple):
    """State of a `MANN`.

    Attributes:
        memory: `M`, the slots, `(…, M, W)`.
        usage: `w^u`, how much each slot was recently read and written, `(…, M)`.
        read_weights, write_weights: `w^r` and `w^w` of the last step, `(…, R, M)`.
        reads: `r`, the last read of each head, `(…, R, W)`.
        hidden: `h`, the controller's last output, `(…, H)`.
        cell: the controller's cell state, `(…, H)`, or `(…, 0)` if it has none.
        used: True for slots that were written as the least used one, `(…, M)`.
        overwritten: the number of writes that replaced a used slot, `(…)`.
    """

    memory: Tensor
    usage: Tensor
    read_weights: Tensor
    write_weights: Tensor
    reads: Tensor
    hidden: Tensor
    cell: Tensor
    used: Tensor
    overwritten: Tensor

    @property
    def written(self) -> Tensor:
        """The number of writes to least used slots, `(…)`."""
        return self.used.sum(-1) + self.overwritten


@LAYERS.register("mann")
@configurable
class MANN(ControllerMemory[MANNState], LeastUsedStore[MANNState]):
    """A recurrent layer that writes to the least used slots of its memory (LRUA).

    The controller reads a step x and the last reads r. Its output h gives each of R heads a key
    `k = tanh(·)` and a gate `g = sigmoid(·)`. Each head also gets its own least used slot, `w^lu`,
    determined by the usage before the step. A step computes, in this order:

    - memory: the least used slots are cleared, then `M <- M + w^w k`, with the write weights
      `w^w = g w^r + (1 - g) w^lu` and the last read weights `w^r`;
    - read weights: `w^r = softmax_i(s cos(k, M_i))`, and reads `r = w^r M`;
    - usage: `w^u <- gamma w^u + sum over heads of w^r + w^w`;
    - outputs `y = W_y [h, r] + b_y`.

    The slots are also a store: `write` and `read` work as in `LeastUsedMemory`.

    Args:
        input_size: `F`, features of a step.
        output_size: features of an output step; None for `H`.
        hidden_size: `H`, hidden units of the controller.
        slots: `M`, number of memory slots.
        slot_size: `W`, size of a slot.
        read_heads: `R`, number of heads; each one both reads and writes.
        controller: `"lstm"` or `"feedforward"`.
        key_size: `K`, size of a key in the store; None for half the slot size. Values have the
            size `V = W - K`.
        decay: `gamma`, the decay of the usage.
        sharpness: initial value of `s`, which is learned.
        contents: what a head writes: `"keys"` for its key, or `"own"` for a separate vector.
        heads_read_input: whether the interface vector also depends directly on the step.
        eps: norm below which a slot or key counts as short, as in
            `functional.cosine_similarity`; it bounds the gradient of content weights.

    Attributes:
        controller: a `Controller`.
        weight_heads, bias_heads: the linear map from `h` to the interface vector, which holds the
            keys, the separate contents if any, and the gates. `weight_heads_input` maps `x`, or is
            None.
        weight_output, bias_output: `W_y` and `b_y`.
        log_sharpness: the logarithm of `s`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> outputs `(…, S, output_size)` and a `MANNState`.

    Raises:
        ArgumentError: a size, the controller, `decay`, `sharpness`, `contents` or `eps` is invalid,
            or there are more heads than slots.
        ShapeError: in a call, the input, state, keys or values have the wrong shape.

    Example:
        >>> mann = MANN(3, hidden_size=8, slots=6, slot_size=4, read_heads=2)
        >>> outputs, state = mann(torch.randn(5, 7, 3))
        >>> outputs.shape, state.overwritten.tolist()  # 14 writes to 6 slots
        (torch.Size([5, 7, 8]), [8, 8, 8, 8, 8])

    Source: A. Santoro et al., 2016, Meta-Learning with Memory-Augmented Neural Networks, section 3.
    There the gate is one learned number and `s = 1`. Here each head computes its gate at each step
    and has its own least used slot, and `s` is learned, as in the Neural Turing Machine.
    """

    weight_heads_input: nn.Parameter | None
    _strength: Tensor | None = None  # `s`, computed once for all steps of a backward pass

    def __init__(
        self,
        input_size: int,
        output_size: int | None = None,
        hidden_size: int = 64,
        slots: int = 32,
        slot_size: int = 32,
        read_heads: int = 2,
        controller: str = "lstm",
        key_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        decay: float = 0.95,
        sharpness: float = 5.0,
        contents: str = "keys",
        heads_read_input: bool = False,
        eps: float = 1e-2,
    ) -> None:
        self.contents = check_choice("MANN", "contents", contents, ("keys", "own"))
        self.decay = check_number("MANN", "decay", decay, least=0, below=1)
        self.sharpness = check_number("MANN", "sharpness", sharpness, above=0)
        super().__init__(
            input_size,
            output_size,
            hidden_size,
            slots,
            slot_size,
            read_heads,
            read_heads,
            controller,
            key_size,
            eps,
            device,
            dtype,
        )
        if read_heads > slots:
            raise ArgumentError(
                f"MANN: read_heads must be at most slots={slots}, got {read_heads}; add slots, "
                "because each head writes its own slot"
            )
        self.log_sharpness = nn.Parameter(torch.empty(1, device=device, dtype=dtype))
        self.weight_heads_input = None
        if heads_read_input:
            weight = torch.empty(len(self.bias_heads), input_size, device=device, dtype=dtype)
            self.weight_heads_input = nn.Parameter(weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.log_sharpness, math.log(self.sharpness))
        if self.weight_heads_input is not None:
            nn.init.xavier_uniform_(self.weight_heads_input)

    def trace(self, state: MANNState) -> dict[str, Tensor]:
        return {**super().trace(state), "usage": state.usage.unsqueeze(-2)}

    def examples(self, state: MANNState) -> Tensor:
        if state.read_weights.any() or state.write_weights.any():
            raise ArgumentError(
                "MANN: the state must come only from blank() and write(), got one that has taken "
                "steps, which change the slots; use a state without steps"
            )
        return super().examples(state)

    def _interface(self) -> tuple[int, int, int]:
        """Return how many interface numbers are keys, contents and gates."""
        rows = self.read_heads * self.slot_size
        return rows, rows if self.contents == "own" else 0, self.read_heads

    def _blank(self, *batch: int) -> MANNState:
        zero = self.log_sharpness.new_zeros(())
        weights = zero.expand(*batch, self.read_heads, self.slots)
        return MANNState(
            memory=zero.expand(*batch, self.slots, self.slot_size),
            usage=zero.expand(*batch, self.slots),
            read_weights=weights,
            write_weights=weights,
            reads=zero.expand(*batch, self.read_heads, self.slot_size),
            hidden=zero.expand(*batch, self.hidden_size),
            cell=zero.expand(*batch, self.controller.cell_size),
            used=zero.new_zeros((), dtype=torch.bool).expand(*batch, self.slots),
            overwritten=zero.new_zeros(batch, dtype=torch.long),
        )

    def _project(self, x: Tensor) -> Tensor:
        projected = self.controller.project(x)
        if self.weight_heads_input is None:
            return projected
        return torch.cat([projected, functional.linear(x, self.weight_heads_input)], -1)

    def _heads(self) -> MANNHeads:
        return MANNHeads(self.read_heads, self.read_heads, self.eps, self.decay)

    def _parts(self, state: MANNState) -> list[Tensor]:
        weights = torch.cat([state.read_weights, state.write_weights], -2)
        return [state.memory, weights, state.reads.flatten(-2), state.hidden, state.cell]

    def _with_parts(self, state: MANNState, parts: Sequence[Tensor]) -> MANNState:
        memory, weights, reads, hidden, cell = parts
        reading, writing = weights.split(self.read_heads, -2)
        return state._replace(
            memory=memory,
            read_weights=reading,
            write_weights=writing,
            reads=reads.unflatten(-1, (self.read_heads, self.slot_size)),
            hidden=hidden,
            cell=cell,
        )

    def _bookkeeping(self, state: MANNState) -> Mapping[str, Tensor]:
        return {"usage": state.usage, "used": state.used, "overwritten": state.overwritten}

    def _stepped(self) -> list[Tensor]:
        # log_sharpness is (1,) or (N, 1); the compiled steps expect () or (N,).
        return [*super()._stepped(), self.log_sharpness.squeeze(-1)]

    def _with_stepped(self, parameters: Sequence[Tensor]) -> ControllerMemory[MANNState]:
        layer = super()._with_stepped(parameters)
        layer.__dict__["_parameters"]["log_sharpness"] = parameters[3].unsqueeze(-1)
        layer.__dict__["_strength"] = bounded_exp(parameters[3].unsqueeze(-1))
        return layer

    def _advance(self, features: Tensor, state: MANNState) -> tuple[Tensor, MANNState]:
        for_controller = self.controller.gates * self.hidden_size
        hidden, cell = self.controller.step(
            features[..., :for_controller], state.reads.flatten(-2), state.hidden, state.cell
        )
        numbers = functional.linear(hidden, self.weight_heads, self.bias_heads)
        if self.weight_heads_input is not None:
            numbers = numbers + features[..., for_controller:]
        keys, contents, gates = numbers.split(self._interface(), -1)
        keys = keys.tanh().unflatten(-1, (-1, self.slot_size))  # (…, R, W)
        own = self.contents == "own"
        contents = contents.tanh().unflatten(-1, (-1, self.slot_size)) if own else keys
        gates = gates.sigmoid().unsqueeze(-1)

        # A stable argsort has no batching rule, but sort has one.
        slots = state.usage.sort(dim=-1, stable=True).indices[..., : self.read_heads]
        least = one_hot(slots, self.slots).to(keys.dtype)  # w^lu, (…, R, M)
        writing = gates * state.read_weights + (1 - gates) * least
        wiped = least.sum(-2)
        memory = state.memory * (1 - wiped).unsqueeze(-1) + writing.mT @ contents
        strength = self._strength if self._strength is not None else bounded_exp(self.log_sharpness)
        strengths = align_tasks(strength, 1, keys[..., 0])  # broadcasts to (…, R)
        reading = functional.content_weights(memory, keys, strengths, self.eps)
        reads = reading @ memory
        # Usage only orders the slots, and an order has no derivative.
        lately = (reading + writing).detach().sum(-2)
        after = MANNState(
            memory,
            self.decay * state.usage + lately,
            reading,
            writing,
            reads,
            hidden,
            cell,
            state.used | (wiped > 0),
            state.overwritten + (state.used & (wiped > 0)).sum(-1),
        )
        return torch.cat([hidden, reads.flatten(-2)], -1), after
