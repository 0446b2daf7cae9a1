"""The Neural Turing Machine: heads that find slots by content and by place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.functional.memory.heads import NTMHeads
from l2l_rnn.memory.checks import check_size
from l2l_rnn.memory.slot_memory import SlotMemory

_FIRST_SLOT = 8.0  # how far slot 0 is ahead in the logits of the first weights


class NTMState(NamedTuple):
    """Holds what a Neural Turing Machine goes on from.

    Attributes:
        memory: `M`, the slots.
        weights: `w`, where each head stood: the read heads, then the write heads.
        reads: `r`, what each read head read last.
        hidden: `h`, the controller's outputs.
        cell: its cells, none if it has no such.
        written: how many examples `write` was given; above M, the oldest were overwritten.

    Shapes:
        memory `(…, M, W)`, weights `(…, heads, M)`, reads `(…, R, W)`, hidden `(…, H)`, cell
        `(…, H)` or `(…, 0)`, written `(…)`. In a store there are no heads, and what they use is
        empty.
    """

    memory: Tensor
    weights: Tensor
    reads: Tensor
    hidden: Tensor
    cell: Tensor
    written: Tensor

    @property
    def overwritten(self) -> Tensor:
        """How many of the examples written are lost, `(…)`."""
        return (self.written - self.memory.shape[-2]).clamp_min(0)

    @property
    def read_weights(self) -> Tensor:
        """Where the read heads stood, `(…, R, M)`."""
        return self.weights[..., : self.reads.shape[-2], :]

    @property
    def write_weights(self) -> Tensor:
        """Where the write heads stood, `(…, write heads, M)`."""
        return self.weights[..., self.reads.shape[-2] :, :]


class NTM(SlotMemory[NTMState]):
    """Compute a Neural Turing Machine: a controller that steers read and write heads on M slots.

    The controller, h, reads a step x and the last reads r, and gives each head a key k, a strength
    beta, a gate g, shifts s and an exponent gamma; a head's weights are

    - by content, `w_c = softmax(beta cos(k, M_i))`,
    - interpolated with its last ones, `w_g = g w_c + (1 - g) w`,
    - shifted along the slots, `w_s = w_g * s`, a circular convolution,
    - sharpened, `w' = w_s^gamma / sum w_s^gamma`.

    A read head reads `r' = w' M`. A write head also has an erase vector e and an add vector a:
    `M' = M (1 - w' e) + w' a`; those of several heads are applied together. The output is
    `y = W_y [h, r'] + b_y`. All heads' numbers come of one product, `weight_heads`.

    Args:
        input_size, output_size, hidden_size, slots, width, read_heads, controller, key_size,
            least_length: as in `SlotMemory`.
        write_heads: how many heads write.
        shift: the farthest a head moves in a step; the shifts are from `-shift` to `shift`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> outputs `(…, S, output_size)` and an `NTMState`.

    Raises:
        ArgumentError: a size or the controller cannot be used, or a store is used as a layer.
        ShapeError: at a call, when input, state, keys or values do not fit.

    Example:
        >>> ntm = NTM(3, 2, hidden_size=8, slots=16, width=6)
        >>> outputs, state = ntm(torch.zeros(4, 5, 3))
        >>> outputs.shape, state.memory.shape, state.weights.shape
        (torch.Size([4, 5, 2]), torch.Size([4, 16, 6]), torch.Size([4, 2, 16]))
        >>> store = NTM(None, slots=16, width=6)  # keys and values of 3
        >>> values = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
        >>> state = store.write(store.blank(), torch.eye(3), values)
        >>> store.read(state, torch.eye(3)[1:2]).round(decimals=2).tolist()
        [[0.0, 2.0, 0.0]]

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 3. As in M.
    Collier and J. Beel, 2018, Implementing Neural Turing Machines, the memory starts as the
    constant 1e-6, and the first reads and weights are learned. The papers leave open what this
    package settles: all heads start at the first slot and learn from there; they read before the
    write; keys and add vectors go through tanh, beta through softplus, gamma through 1 + softplus.
    `write` and `read`, the store, go beyond the papers.
    """

    def __init__(
        self,
        input_size: int | None,
        output_size: int | None = None,
        hidden_size: int = 100,
        slots: int = 128,
        width: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        shift: int = 1,
        controller: str = "lstm",
        key_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        least_length: float = 1e-6,
    ) -> None:
        self.write_heads = check_size("NTM", "write_heads", write_heads)
        self.shift = check_size("NTM", "shift", shift, 0)
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
        if input_size is None:
            self.write_heads = 0
            self.reset_parameters()
            return
        heads = self.read_heads + write_heads

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.first_reads = empty(self.read_heads, width)
        self.first_weights = empty(heads, slots)
        self.reset_parameters()

    def _interface_size(self) -> int:
        return sum(self._interface())

    def _interface(self) -> tuple[int, int, int, int]:
        """How many of the heads' numbers go through tanh, sigmoid, softplus and softmax."""
        heads, writes = self.read_heads + self.write_heads, self.write_heads * self.width
        return heads * self.width + writes, heads + writes, 2 * heads, heads * (2 * self.shift + 1)

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if not self.is_layer:
            return
        nn.init.normal_(self.first_reads, std=0.1)
        nn.init.normal_(self.first_weights, std=0.1)
        with torch.no_grad():
            self.first_weights[..., 0] += _FIRST_SLOT

    def _blank(self, *batch: int) -> NTMState:
        like = self.store_strength
        zero, first = like.new_zeros(()), like.new_full((), 1e-6 if self.is_layer else 0)
        weights, reads, cells = zero.expand(0, self.slots), zero.expand(0, self.width), 0
        if self.is_layer:
            weights, reads = self.first_weights.softmax(-1), self.first_reads.tanh()
            cells = self.controller.cell_size
        return NTMState(
            memory=first.expand(*batch, self.slots, self.width),
            weights=self._spread(weights, 2, batch),
            reads=self._spread(reads, 2, batch),
            hidden=zero.expand(*batch, self.hidden_size),
            cell=zero.expand(*batch, cells),
            written=torch.zeros(batch, dtype=torch.long, device=like.device),
        )

    def _heads(self) -> NTMHeads:
        return NTMHeads(self.read_heads, self.write_heads, self.least_length, self.shift)

    def _parts(self, state: NTMState) -> list[Tensor]:
        return [state.memory, state.weights, state.reads.flatten(-2), state.hidden, state.cell]

    def _as_state(self, parts: Sequence[Tensor], written: Tensor) -> NTMState:
        memory, weights, reads, hidden, cell = parts
        reads = reads.unflatten(-1, (self.read_heads, self.width))
        return NTMState(memory, weights, reads, hidden, cell, written)

    def _advance(self, features: Tensor, state: NTMState) -> tuple[Tensor, NTMState]:
        memory, weights, reads, hidden, cell, written = state
        hidden, cell = self.controller.step(features, reads.flatten(-2), hidden, cell)
        numbers = functional.linear(hidden, self.weight_heads, self.bias_heads)
        parts = numbers.split(self._interface(), -1)
        heads, width = self.read_heads + self.write_heads, self.width
        keys, adds = parts[0].tanh().unflatten(-1, (-1, width)).split([heads, self.write_heads], -2)
        sigmoids = parts[1].sigmoid()
        gates, erases = sigmoids[..., :heads], sigmoids[..., heads:].unflatten(-1, (-1, width))
        strengths, exponents = F.softplus(parts[2]).chunk(2, -1)
        shifts = parts[3].unflatten(-1, (heads, -1)).softmax(-1)

        now = functional.content_weights(memory, keys, strengths, self.least_length)
        weights = functional.interpolate(weights, now, gates)
        if self.shift:
            weights = functional.shift(weights, shifts)
        weights = functional.sharpen(weights, 1 + exponents)

        reading, writing = weights.split([self.read_heads, self.write_heads], -2)
        reads = reading @ memory
        memory = write_heads(memory, writing, erases, adds)
        seen = torch.cat([hidden, reads.flatten(-2)], -1)
        return seen, NTMState(memory, weights, reads, hidden, cell, written)


def write_heads(memory: Tensor, weights: Tensor, erases: Tensor, adds: Tensor) -> Tensor:
    """Compute `M prod_h (1 - w_h e_h) + sum_h w_h a_h`, the writes of all heads together.

    Shapes:
        memory `(…, M, W)`, weights `(…, heads, M)`, erases and adds `(…, heads, W)`.

    Example:
        >>> memory, first = torch.ones(2, 1), torch.tensor([[1.0, 0.0]])
        >>> write_heads(memory, first, torch.tensor([[1.0]]), torch.tensor([[5.0]])).tolist()
        [[5.0], [1.0]]

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, eq. 3 and 4.
    """
    if weights.shape[-2] == 1:  # M + w (a - e M)
        return torch.addcmul(memory, weights.mT, torch.addcmul(adds, erases, memory, value=-1))
    kept = memory
    for weight, erase in zip(weights.unbind(-2), erases.unbind(-2), strict=True):
        kept = torch.addcmul(kept, kept, weight.unsqueeze(-1) * erase.unsqueeze(-2), value=-1)
    return kept + weights.mT @ adds
