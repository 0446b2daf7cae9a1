"""The Neural Turing Machine: heads that address slots by content and by location."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.addressing import bounded_softplus
from l2l_rnn.functional.memory.heads import NTMHeads
from l2l_rnn.memory.controller_memory import ControllerMemory
from l2l_rnn.memory.recurrent_memory import LAYERS
from l2l_rnn.memory.stores.slot_memory import RingStore, overwritten

_FIRST_SLOT = 8.0  # logit of slot 0 in the initial weights; the other logits are near 0
_SHARPNESS = 10.0  # of the store's reads


class NTMState(NamedTuple):
    """State of an `NTM`.

    Attributes:
        memory: `M`, the slots, `(…, M, W)`.
        weights: `w`, the weights of the read heads, then of the write heads, `(…, heads, M)`.
        reads: `r`, the last read of each read head, `(…, R, W)`.
        hidden: `h`, the controller's last output, `(…, H)`.
        cell: the controller's cell state, `(…, H)`, or `(…, 0)` if it has none.
        written: the number of examples written by `write`, `(…)`.
    """

    memory: Tensor
    weights: Tensor
    reads: Tensor
    hidden: Tensor
    cell: Tensor
    written: Tensor

    @property
    def overwritten(self) -> Tensor:
        """The number of written examples that were overwritten, `(…)`."""
        return overwritten(self.written, self.memory.shape[-2])

    @property
    def read_weights(self) -> Tensor:
        """The weights of the read heads, `(…, R, M)`."""
        return self.weights[..., : self.reads.shape[-2], :]

    @property
    def write_weights(self) -> Tensor:
        """The weights of the write heads, `(…, write heads, M)`."""
        return self.weights[..., self.reads.shape[-2] :, :]


@LAYERS.register("ntm")
@configurable
class NTM(ControllerMemory[NTMState], RingStore[NTMState]):
    """A Neural Turing Machine: a controller that steers read and write heads on M slots.

    The controller reads a step x and the last reads r. Its output h gives each head a key k, a
    strength beta, a gate g, shifts s and an exponent gamma. The weights of a head are

    - computed by content, `w_c = softmax(beta cos(k, M_i))`,
    - interpolated with its last weights, `w_g = g w_c + (1 - g) w`,
    - shifted along the slots by a circular convolution, `w_s = w_g * s`,
    - sharpened, `w' = w_s^gamma / sum w_s^gamma`.

    A read head reads `r' = w' M`. A write head also has an erase vector e and an add vector a, and
    writes `M' = M (1 - w' e) + w' a`; the writes of several heads are applied together. The output
    is `y = W_y [h, r'] + b_y`.

    The slots are also a store: `write` and `read` work as in `SlotMemory`.

    Args:
        input_size: `F`, features of a step.
        output_size: features of an output step; None for `H`.
        hidden_size: `H`, hidden units of the controller.
        slots: `M`, number of memory slots.
        slot_size: `W`, size of a slot.
        read_heads: `R`, number of read heads.
        write_heads: number of write heads.
        shift: the largest shift in one step; shifts range from `-shift` to `shift`.
        controller: `"lstm"` or `"feedforward"`.
        key_size: `K`, size of a key in the store; None for half the slot size. Values have the
            size `V = W - K`.
        eps: norm below which a slot or key counts as short, as in
            `functional.cosine_similarity`; it bounds the gradient of content weights.

    Attributes:
        controller: a `Controller`.
        weight_heads, bias_heads: the linear map from `h` to the interface vector.
        weight_output, bias_output: `W_y` and `b_y`.
        first_reads, first_weights: the initial reads before tanh, and the initial weights before
            softmax.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> outputs `(…, S, output_size)` and an `NTMState`.

    Raises:
        ArgumentError: a size, `shift`, `eps` or the controller is invalid.
        ShapeError: in a call, the input, state, keys or values have the wrong shape.

    Example:
        >>> ntm = NTM(3, 2, hidden_size=8, slots=16, slot_size=6)
        >>> outputs, state = ntm(torch.zeros(4, 5, 3))
        >>> outputs.shape, state.memory.shape, state.weights.shape
        (torch.Size([4, 5, 2]), torch.Size([4, 16, 6]), torch.Size([4, 2, 16]))

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 3. As in M.
    Collier and J. Beel, 2018, Implementing Neural Turing Machines, the memory is initially the
    constant 1e-6, and the initial reads and weights are learned. The papers leave some choices
    open: here all heads start near the first slot and read before they write, and the activations
    are tanh for keys and add vectors, softplus for beta, and 1 + softplus for gamma. The store is
    not in the papers.
    """

    def __init__(
        self,
        input_size: int,
        output_size: int | None = None,
        hidden_size: int = 100,
        slots: int = 128,
        slot_size: int = 20,
        read_heads: int = 1,
        write_heads: int = 1,
        shift: int = 1,
        controller: str = "lstm",
        key_size: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        eps: float = 1e-6,
    ) -> None:
        self.shift = check_int("NTM", "shift", shift, least=0)
        super().__init__(
            input_size,
            output_size,
            hidden_size,
            slots,
            slot_size,
            read_heads,
            write_heads,
            controller,
            key_size,
            eps,
            device,
            dtype,
        )

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.first_reads = empty(read_heads, slot_size)
        self.first_weights = empty(read_heads + write_heads, slots)
        # Not a parameter, because no step uses it.
        sharpness = torch.full((1,), math.log(_SHARPNESS), device=device, dtype=dtype)
        self.register_buffer("log_sharpness", sharpness)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.first_reads, std=0.1)
        nn.init.normal_(self.first_weights, std=0.1)
        with torch.no_grad():
            self.first_weights[..., 0] += _FIRST_SLOT

    def _interface(self) -> tuple[int, int, int, int]:
        """Return how many interface numbers tanh, sigmoid, softplus and softmax take."""
        heads, size = self.read_heads + self.write_heads, self.slot_size
        writes = self.write_heads * size
        return heads * size + writes, heads + writes, 2 * heads, heads * (2 * self.shift + 1)

    def _blank(self, *batch: int) -> NTMState:
        zero = self.weight_output.new_zeros(())
        return NTMState(
            memory=zero.new_full((), 1e-6).expand(*batch, self.slots, self.slot_size),
            weights=_expand(self.first_weights.softmax(-1), batch),
            reads=_expand(self.first_reads.tanh(), batch),
            hidden=zero.expand(*batch, self.hidden_size),
            cell=zero.expand(*batch, self.controller.cell_size),
            written=torch.zeros(batch, dtype=torch.long, device=zero.device),
        )

    def _heads(self) -> NTMHeads:
        return NTMHeads(self.read_heads, self.write_heads, self.eps, self.shift)

    def _parts(self, state: NTMState) -> list[Tensor]:
        return [state.memory, state.weights, state.reads.flatten(-2), state.hidden, state.cell]

    def _with_parts(self, state: NTMState, parts: Sequence[Tensor]) -> NTMState:
        memory, weights, reads, hidden, cell = parts
        reads = reads.unflatten(-1, (self.read_heads, self.slot_size))
        return NTMState(memory, weights, reads, hidden, cell, state.written)

    def _advance(self, features: Tensor, state: NTMState) -> tuple[Tensor, NTMState]:
        memory, weights, reads, hidden, cell, written = state
        hidden, cell = self.controller.step(features, reads.flatten(-2), hidden, cell)
        numbers = functional.linear(hidden, self.weight_heads, self.bias_heads)
        parts = numbers.split(self._interface(), -1)
        heads, size = self.read_heads + self.write_heads, self.slot_size
        keys, adds = parts[0].tanh().unflatten(-1, (-1, size)).split([heads, self.write_heads], -2)
        sigmoids = parts[1].sigmoid()
        gates, erases = sigmoids[..., :heads], sigmoids[..., heads:].unflatten(-1, (-1, size))
        strengths, exponents = bounded_softplus(parts[2]).chunk(2, -1)
        shifts = parts[3].unflatten(-1, (heads, -1)).softmax(-1)

        content = functional.content_weights(memory, keys, strengths, self.eps)
        weights = functional.interpolate(weights, content, gates)
        if self.shift:
            weights = functional.shift(weights, shifts)
        weights = functional.sharpen(weights, 1 + exponents)

        reading, writing = weights.split([self.read_heads, self.write_heads], -2)
        reads = reading @ memory
        memory = write_heads(memory, writing, erases, adds)
        seen = torch.cat([hidden, reads.flatten(-2)], -1)
        return seen, NTMState(memory, weights, reads, hidden, cell, written)


def _expand(start: Tensor, batch: tuple[int, ...]) -> Tensor:
    """Repeat a parameter's initial value for each sequence: `(…)` or `(N, …)` -> `(*batch, …)`."""
    if start.dim() == 2:
        return start.expand(*batch, *start.shape)
    between = [1] * (len(batch) - 1)
    return start.reshape(len(start), *between, *start.shape[1:]).expand(*batch, *start.shape[1:])


def write_heads(memory: Tensor, weights: Tensor, erases: Tensor, adds: Tensor) -> Tensor:
    """Apply the writes of all heads, `M prod_h (1 - w_h e_h) + sum_h w_h a_h`.

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
