"""The differentiable neural computer: an NTM with slot allocation and temporal links."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn import functional
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.addressing import bounded_softplus
from l2l_rnn.functional.memory.heads import DNCHeads
from l2l_rnn.memory.controller_memory import ControllerMemory
from l2l_rnn.memory.recurrent_memory import LAYERS
from l2l_rnn.memory.stores.slot_memory import RingStore, overwritten

_SHARPNESS = 10.0  # of the store's reads


class DNCState(NamedTuple):
    """State of a `DNC`.

    Attributes:
        memory: `M`, the slots, `(…, M, W)`.
        usage: `u`, the usage of each slot, from 0 (free) to 1 (in use), `(…, M)`.
        allocation: `a`, the allocation weights over free slots in the last step, `(…, M)`.
        links: `L`, the degree to which slot i was written right after slot j, `(…, M, M)`.
        precedence: `p`, the degree to which each slot was written last, `(…, M)`.
        write_weights: `w^w`, the weights of the last write, `(…, M)`.
        read_weights: `w^r`, the weights of the last reads, `(…, R, M)`.
        reads: `r`, the last read of each read head, `(…, R, W)`.
        hidden: `h`, the controller's last output, `(…, H)`.
        cell: the controller's cell state, `(…, H)`, or `(…, 0)` if it has none.
        written: the number of examples written by `write`, `(…)`.
    """

    memory: Tensor
    usage: Tensor
    allocation: Tensor
    links: Tensor
    precedence: Tensor
    write_weights: Tensor
    read_weights: Tensor
    reads: Tensor
    hidden: Tensor
    cell: Tensor
    written: Tensor

    @property
    def overwritten(self) -> Tensor:
        """The number of written examples that were overwritten, `(…)`."""
        return overwritten(self.written, self.memory.shape[-2])


@LAYERS.register("dnc")
@configurable
class DNC(ControllerMemory[DNCState], RingStore[DNCState]):
    """A differentiable neural computer: an NTM with allocation of free slots and temporal links.

    The controller reads a step x and the last reads r. Its output h determines the interface
    vector, which controls the heads. A step computes, in this order:

    - usage: `u' = (u + w^w - u w^w) prod_heads (1 - f w^r)`, with free gates f;
    - write weights: `w^w = g_w (g_a a + (1 - g_a) c)`, with allocation weights a over free slots,
      content weights c, a write gate g_w and an allocation gate g_a;
    - memory: `M' = M (1 - w^w e) + w^w v`, with an erase vector e and a write vector v;
    - links L and precedence p: see `functional.temporal_links`;
    - read weights: `w^r = pi_1 L^T w^r + pi_2 c^r + pi_3 L w^r`. The three terms are the slots
      written before those read last, the content weights c^r, and the slots written after those
      read last. The modes pi sum to 1;
    - reads: `r' = w^r M'`, and outputs `y = W_y [h, r'] + b_y`.

    The slots are also a store: `write` and `read` work as in `SlotMemory`. Slots that `write`
    fills count as in use.

    Args:
        input_size: `F`, features of a step.
        output_size: features of an output step; None for `H`.
        hidden_size: `H`, hidden units of the controller.
        slots: `M`, number of memory slots.
        slot_size: `W`, size of a slot.
        read_heads: `R`, number of read heads.
        controller: `"lstm"` or `"feedforward"`.
        key_size: `K`, size of a key in the store; None for half the slot size. Values have the
            size `V = W - K`.
        eps: norm below which a slot or key counts as short, as in
            `functional.cosine_similarity`; it bounds the gradient of content weights.

    Attributes:
        controller: a `Controller`.
        weight_heads, bias_heads: the linear map from `h` to the interface vector.
        weight_output, bias_output: `W_y` and `b_y`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> outputs `(…, S, output_size)` and a `DNCState`.

    Raises:
        ArgumentError: a size, `eps` or the controller is invalid.
        ShapeError: in a call, the input, state, keys or values have the wrong shape.

    Example:
        >>> dnc = DNC(3, 2, hidden_size=8, slots=16, slot_size=6, read_heads=4)
        >>> outputs, state = dnc(torch.zeros(4, 5, 3))
        >>> outputs.shape, state.links.shape
        (torch.Size([4, 5, 2]), torch.Size([4, 16, 16]))

    Source: A. Graves et al., 2016, Hybrid computing using a neural network with dynamic external
    memory, Methods. Here the controller has one layer, and the reads of a step reach the output
    but not the controller of that step. The whole state is initially 0. The store is not in the
    paper.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int | None = None,
        hidden_size: int = 100,
        slots: int = 64,
        slot_size: int = 20,
        read_heads: int = 1,
        controller: str = "lstm",
        key_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(
            input_size,
            output_size,
            hidden_size,
            slots,
            slot_size,
            read_heads,
            1,
            controller,
            key_size,
            eps,
            device,
            dtype,
        )
        # Not a parameter, because no step uses it.
        sharpness = torch.full((1,), math.log(_SHARPNESS), device=device, dtype=dtype)
        self.register_buffer("log_sharpness", sharpness)
        self.reset_parameters()

    def trace(self, state: DNCState) -> dict[str, Tensor]:
        return {
            "write_weights": state.write_weights.unsqueeze(-2),
            "read_weights": state.read_weights,
            "usage": state.usage.unsqueeze(-2),
            "allocation": state.allocation.unsqueeze(-2),
        }

    def _interface(self) -> tuple[int, int, int, int]:
        """Return how many interface numbers identity, sigmoid, softplus and softmax take."""
        heads, size = self.read_heads, self.slot_size
        return (heads + 2) * size, size + heads + 2, heads + 1, 3 * heads

    def _blank(self, *batch: int) -> DNCState:
        zero = self.weight_output.new_zeros(())
        heads, slots, size = self.read_heads, self.slots, self.slot_size
        line = zero.expand(*batch, slots)
        return DNCState(
            memory=zero.expand(*batch, slots, size),
            usage=line,
            allocation=line,
            links=zero.expand(*batch, slots, slots),
            precedence=line,
            write_weights=line,
            read_weights=zero.expand(*batch, heads, slots),
            reads=zero.expand(*batch, heads, size),
            hidden=zero.expand(*batch, self.hidden_size),
            cell=zero.expand(*batch, self.controller.cell_size),
            written=torch.zeros(batch, dtype=torch.long, device=zero.device),
        )

    def _heads(self) -> DNCHeads:
        return DNCHeads(self.read_heads, 1, self.eps)

    def _parts(self, state: DNCState) -> list[Tensor]:
        weights = torch.cat([state.read_weights, state.write_weights.unsqueeze(-2)], -2)
        seen = state.reads.flatten(-2), state.hidden, state.cell
        lately = state.usage, state.links, state.precedence, state.allocation
        return [state.memory, weights, *seen, *lately]

    def _with_parts(self, state: DNCState, parts: Sequence[Tensor]) -> DNCState:
        memory, weights, reads, hidden, cell, usage, links, precedence, offered = parts
        reading, writing = weights.split([self.read_heads, 1], -2)
        return DNCState(
            memory=memory,
            usage=usage,
            allocation=offered,
            links=links,
            precedence=precedence,
            write_weights=writing.squeeze(-2),
            read_weights=reading,
            reads=reads.unflatten(-1, (self.read_heads, self.slot_size)),
            hidden=hidden,
            cell=cell,
            written=state.written,
        )

    def _advance(self, features: Tensor, state: DNCState) -> tuple[Tensor, DNCState]:
        heads, size = self.read_heads, self.slot_size
        hidden, cell = self.controller.step(
            features, state.reads.flatten(-2), state.hidden, state.cell
        )
        numbers = functional.linear(hidden, self.weight_heads, self.bias_heads)
        parts = numbers.split(self._interface(), -1)
        rows = parts[0].unflatten(-1, (-1, size))  # the read keys, the write key, the write vector
        keys, write_key, vector = rows.split([heads, 1, 1], -2)
        erase, free, gates = parts[1].sigmoid().split([size, heads, 2], -1)
        strengths = 1 + bounded_softplus(parts[2])
        modes = parts[3].unflatten(-1, (3, heads)).softmax(-2).unsqueeze(-1)  # (…, 3, R, 1)

        memory, last, usage = state.memory, state.write_weights, state.usage
        usage = torch.lerp(usage, torch.ones_like(usage), last)  # u + w - u w
        for kept in (1 - free.unsqueeze(-1) * state.read_weights).unbind(-2):
            usage = usage * kept
        free_slots = functional.allocation(usage)
        content = functional.content_weights(
            memory, write_key, strengths[..., heads:], self.eps
        ).squeeze(-2)
        allocating, writing = gates.split(1, -1)
        writes = writing * torch.lerp(content, free_slots, allocating)
        column = writes.unsqueeze(-1)
        erasing = torch.addcmul(vector, erase.unsqueeze(-2), memory, value=-1)  # v - e M
        memory = torch.addcmul(memory, column, erasing)
        links, precedence = functional.temporal_links(state.links, state.precedence, writes)

        before, now, after = modes.unbind(-3)
        content = functional.content_weights(memory, keys, strengths[..., :heads], self.eps)
        weights = torch.addcmul(now * content, before, state.read_weights @ links)
        weights = torch.addcmul(weights, after, state.read_weights @ links.mT)
        reads = weights @ memory
        state = DNCState(
            memory,
            usage,
            free_slots,
            links,
            precedence,
            writes,
            weights,
            reads,
            hidden,
            cell,
            state.written,
        )
        return torch.cat([hidden, reads.flatten(-2)], -1), state

    def _write(self, state: DNCState, keys: Tensor, values: Tensor) -> DNCState:
        after = super()._write(state, keys, values)
        place = torch.arange(self.slots, device=state.usage.device)
        new = (place - state.written.unsqueeze(-1)) % self.slots < keys.shape[-2]
        # Later steps must not treat the slot as free.
        return after._replace(usage=torch.where(new, torch.ones_like(state.usage), state.usage))
