"""The differentiable neural computer: a memory that gives out free slots and keeps their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.functional.memory.heads import DNCHeads
from l2l_rnn.memory.slot_memory import SlotMemory


class DNCState(NamedTuple):
    """Holds what a differentiable neural computer goes on from.

    Attributes:
        memory: `M`, the slots.
        usage: `u`, how much each slot is in use.
        allocation: `a`, which free slots the last step was offered.
        links: `L`, how much slot i was written just after slot j.
        precedence: `p`, how much each slot was the last one written.
        write_weights: `w^w`, where was written last.
        read_weights: `w^r`, where each head read last.
        reads: `r`, what it read.
        hidden: `h`, the controller's outputs.
        cell: its cells, none if it has no such.
        written: how many examples `write` was given; above M, the oldest were overwritten.

    Shapes:
        memory `(…, M, W)`, usage, allocation, precedence and write_weights `(…, M)`, links
        `(…, M, M)`, read_weights `(…, R, M)`, reads `(…, R, W)`, hidden `(…, H)`, cell `(…, H)` or
        `(…, 0)`, written `(…)`. In a store there are no heads, and what they use is empty.
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
        """How many of the examples written are lost, `(…)`."""
        return (self.written - self.memory.shape[-2]).clamp_min(0)


class DNC(SlotMemory[DNCState]):
    """Compute a differentiable neural computer: allocation of slots, and links in time.

    The controller, h, reads a step x and the last reads r, and gives the heads their numbers. In
    the order of a step:

    - usage: `u' = (u + w^w - u w^w) prod_heads (1 - f w^r)`, with free gates f;
    - write weights: `w^w = g_w (g_a a + (1 - g_a) c)`, of the allocation a of free slots and of
      content c, with a write gate g_w and an allocation gate g_a;
    - memory: `M' = M (1 - w^w e) + w^w v`, with an erase vector e and a write vector v;
    - links L and precedence p, `functional.temporal_links`;
    - read weights: `w^r = pi_1 L^T w^r + pi_2 c^r + pi_3 L w^r`, of the slots written before those
      read last, of content, and of those written after, in modes pi that sum to 1;
    - reads: `r' = w^r M'`, and outputs `y = W_y [h, r'] + b_y`.

    All heads' numbers come of one product, `weight_heads`.

    Args:
        input_size, output_size, hidden_size, slots, width, read_heads, controller, key_size,
            least_length: as in `SlotMemory`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> outputs `(…, S, output_size)` and a `DNCState`.

    Raises:
        ArgumentError: a size or the controller cannot be used, or a store is used as a layer.
        ShapeError: at a call, when input, state, keys or values do not fit.

    Example:
        >>> dnc = DNC(3, 2, hidden_size=8, slots=16, width=6, read_heads=4)
        >>> outputs, state = dnc(torch.zeros(4, 5, 3))
        >>> outputs.shape, state.links.shape
        (torch.Size([4, 5, 2]), torch.Size([4, 16, 16]))

    Source: A. Graves et al., 2016, Hybrid computing using a neural network with dynamic external
    memory, Methods; one layer of controller, which does not see the reads of this step but in the
    output. Everything starts at 0. `write` and `read`, the store, go beyond it; what they
    write counts as in use.
    """

    def __init__(
        self,
        input_size: int | None,
        output_size: int | None = None,
        hidden_size: int = 100,
        slots: int = 64,
        width: int = 20,
        read_heads: int = 1,
        controller: str = "lstm",
        key_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        least_length: float = 1e-6,
    ) -> None:
        super().__init__(
            input_size,
            output_size,
            hidden_size,
            slots,
            width,
            read_heads,
            controller,
            key_size,
            least_length,
            device,
            dtype,
        )
        self.reset_parameters()

    def _interface_size(self) -> int:
        return sum(self._interface())

    def _interface(self) -> tuple[int, int, int, int]:
        """How many of the heads' numbers go as they are, through sigmoid, softplus and softmax."""
        heads, width = self.read_heads, self.width
        return (heads + 2) * width, width + heads + 2, heads + 1, 3 * heads

    def _blank(self, *batch: int) -> DNCState:
        zero, heads = self.store_strength.new_zeros(()), self.read_heads
        slots = self.slots if self.is_layer else 0  # of what the heads alone use
        cells = self.controller.cell_size if self.is_layer else 0
        line = zero.expand(*batch, slots)
        return DNCState(
            memory=zero.expand(*batch, self.slots, self.width),
            usage=zero.expand(*batch, self.slots),
            allocation=line,
            links=zero.expand(*batch, slots, slots),
            precedence=line,
            write_weights=line,
            read_weights=zero.expand(*batch, heads, slots),
            reads=zero.expand(*batch, heads, self.width),
            hidden=zero.expand(*batch, self.hidden_size),
            cell=zero.expand(*batch, cells),
            written=torch.zeros(batch, dtype=torch.long, device=zero.device),
        )

    def _heads(self) -> DNCHeads:
        return DNCHeads(self.read_heads, 1, self.least_length)

    def _parts(self, state: DNCState) -> list[Tensor]:
        weights = torch.cat([state.read_weights, state.write_weights.unsqueeze(-2)], -2)
        seen = state.reads.flatten(-2), state.hidden, state.cell
        lately = state.usage, state.links, state.precedence, state.allocation
        return [state.memory, weights, *seen, *lately]

    def _as_state(self, parts: Sequence[Tensor], written: Tensor) -> DNCState:
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
            reads=reads.unflatten(-1, (self.read_heads, self.width)),
            hidden=hidden,
            cell=cell,
            written=written,
        )

    def _advance(self, features: Tensor, state: DNCState) -> tuple[Tensor, DNCState]:
        heads, width = self.read_heads, self.width
        hidden, cell = self.controller.step(
            features, state.reads.flatten(-2), state.hidden, state.cell
        )
        numbers = functional.linear(hidden, self.weight_heads, self.bias_heads)
        parts = numbers.split(self._interface(), -1)
        rows = parts[0].unflatten(-1, (-1, width))  # the read keys, the write key, the write vector
        keys, write_key, vector = rows.split([heads, 1, 1], -2)
        erase, free, gates = parts[1].sigmoid().split([width, heads, 2], -1)
        strengths = 1 + F.softplus(parts[2])
        modes = parts[3].unflatten(-1, (3, heads)).softmax(-2).unsqueeze(-1)  # (…, 3, R, 1)

        memory, last, usage = state.memory, state.write_weights, state.usage
        usage = torch.lerp(usage, torch.ones_like(usage), last)  # u + w - u w
        for kept in (1 - free.unsqueeze(-1) * state.read_weights).unbind(-2):
            usage = usage * kept
        free_slots = functional.allocation(usage)
        content = functional.content_weights(
            memory, write_key, strengths[..., heads:], self.least_length
        ).squeeze(-2)
        allocating, writing = gates.split(1, -1)
        writes = writing * torch.lerp(content, free_slots, allocating)
        column = writes.unsqueeze(-1)
        erasing = torch.addcmul(vector, erase.unsqueeze(-2), memory, value=-1)  # v - e M
        memory = torch.addcmul(memory, column, erasing)
        links, precedence = functional.temporal_links(state.links, state.precedence, writes)

        before, now, after = modes.unbind(-3)
        content = functional.content_weights(
            memory, keys, strengths[..., :heads], self.least_length
        )
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
        return after._replace(usage=torch.where(new, torch.ones_like(state.usage), state.usage))
