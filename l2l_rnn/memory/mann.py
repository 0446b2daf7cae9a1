"""The memory-augmented network of Santoro et al.: it writes where memory is least used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.memory import compiled_passes
from l2l_rnn.functional.memory.attention import cosine_similarity, masked_softmax
from l2l_rnn.functional.memory.heads import MANNHeads
from l2l_rnn.memory.checks import check_sizes
from l2l_rnn.memory.compiled_steps import compiled_steps, with_parameters
from l2l_rnn.memory.memory import Memory, leading_axis

# Added to squared lengths of memory rows: one that was hardly written is like nothing.
_EPS = 1e-4


class MANNState(NamedTuple):
    """What a `MANN` holds.

    Attributes:
        hidden, cell: the controller's `h` and `c`, `(…, H)`.
        memory: `M`, `(…, M, W)`.
        usage: `w^u`, how much each slot was read and written lately, `(…, M)`.
        read_weights, write_weights: `w^r` and `w^w` of the last step, `(…, R, M)`.
        found: `r`, what was read last, `(…, R W)`.
        used: which slots were ever written as the least used, `(…, M)`, bool.
        overwritten: how many writes fell on a slot in use, `(…)`.
    """

    hidden: Tensor
    cell: Tensor
    memory: Tensor
    usage: Tensor
    read_weights: Tensor
    write_weights: Tensor
    found: Tensor
    used: Tensor
    overwritten: Tensor


class MANN(Memory[MANNState]):
    """A recurrent layer with a memory that is written where it is least used (LRUA).

    An LSTM reads `[x_t, r_{t-1}]` and gives each of R heads a key `k = tanh(·)` and a gate
    `g = sigmoid(·)`. Each head has its own least used slot, `w^lu`, by the usage before the step.
    These slots are set to zero and `M <- M + w^w k` is written with `w^w = g w^r_{t-1} + (1 - g)
    w^lu`; then `w^r = softmax_i(s cos(k, M(i)))`, `r = sum_i w^r(i) M(i)`, and usage becomes
    `gamma w^u + sum over heads of w^r + w^w`. The output is `W_o [h, r] + b_o`.

    As a store, a slot holds a key and its value side by side. B pairs go to the B least used slots
    in this order; more than there are slots begin again with the first, so that the oldest are
    lost. A read is the average of values by `softmax_i(s cos(q, k_i))` over the slots in use.

    Args:
        input_size: `F`, features of a step; None for a store without the parameters of a layer.
        output_size: features of an output step; None for `H`.
        hidden_size: `H`, hidden units of the controller.
        slots: `M`.
        key_size, value_size: `K` and `V` of the store; a slot's width is `W = K + V`.
        reads: `R`, heads.
        decay: `gamma`, of usage.
        sharpness: `s` at the start.
        contents: what a head writes: `"keys"`, or a vector of its `"own"`.
        heads_read_input: whether the heads are steered by the step too.

    Attributes:
        weight_ih, weight_hh, bias: the controller's, of `x`, of `[r, h]` and added; the rows stack
            i, f, g, o, as in torch. The forget gate's bias starts at 1.
        weight_heads, bias_heads: from `h` to all heads' keys, then contents of their own, then all
            their gates; `weight_heads_input` is the same from `x`, or None.
        weight_out, bias_out: `W_o` and `b_o`.
        log_sharpness: the logarithm of `s`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> `(…, S, output_size)`; a store's are those of `Memory`.

    Raises:
        ArgumentError: a size is not a positive integer, there are more heads than slots, `decay` is
            not in [0, 1), `sharpness` not positive, `contents` another, or a store is used as a
            layer.
        ShapeError: at a call, as `Memory`.

    Example:
        >>> memory = MANN(3, hidden_size=8, slots=6, key_size=2, value_size=2, reads=2)
        >>> outputs, state = memory(torch.randn(5, 7, 3))
        >>> outputs.shape, state.overwritten.tolist()  # 14 writes to 6 slots
        (torch.Size([5, 7, 8]), [8, 8, 8, 8, 8])

    Source: A. Santoro et al., 2016, Meta-Learning with Memory-Augmented Neural Networks, section 3.
    There the gate is one learned number and `s = 1`; here a head's gate is made each step, each
    head has a least used slot of its own, and `s` is learned, as in the Neural Turing Machine.
    """

    def __init__(
        self,
        input_size: int | None,
        output_size: int | None = None,
        hidden_size: int = 64,
        *,
        slots: int = 32,
        key_size: int = 16,
        value_size: int = 16,
        reads: int = 2,
        decay: float = 0.95,
        sharpness: float = 5.0,
        contents: str = "keys",
        heads_read_input: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.output_size = hidden_size if output_size is None else output_size
        sizes = {"hidden_size": hidden_size, "output_size": self.output_size, "reads": reads}
        check_sizes("MANN", slots=slots, key_size=key_size, value_size=value_size, **sizes)
        if reads > slots:
            raise ArgumentError(
                f"MANN: reads must be at most slots={slots}, as each head writes a slot of its "
                f"own, got {reads}"
            )
        if not 0 <= decay < 1:
            raise ArgumentError(f"MANN: decay must lie in [0, 1), got {decay!r}")
        if not sharpness > 0:
            raise ArgumentError(f"MANN: sharpness must be positive, got {sharpness!r}")
        if contents not in ("keys", "own"):
            raise ArgumentError(f"MANN: contents must be 'keys' or 'own', got {contents!r}")
        self.slots, self.key_size, self.value_size = slots, key_size, value_size
        self.contents = contents
        self.width, self.decay = key_size + value_size, decay
        self.hidden_size = 0 if input_size is None else hidden_size
        self.reads = 0 if input_size is None else reads
        self.input_size = 0
        start = torch.full((1,), math.log(sharpness), device=device, dtype=dtype)
        self.log_sharpness = nn.Parameter(start)
        if input_size is None:
            return
        check_sizes("MANN", input_size=input_size)
        self.input_size = input_size
        found = reads * self.width
        heads = sum(self._interface())
        for name, shape in {
            "weight_ih": (4 * hidden_size, input_size),
            "weight_hh": (4 * hidden_size, found + hidden_size),
            "bias": (4 * hidden_size,),
            "weight_heads": (heads, hidden_size),
            "bias_heads": (heads,),
            "weight_out": (self.output_size, hidden_size + found),
            "bias_out": (self.output_size,),
        }.items():
            self.register_parameter(
                name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
            )
        self.weight_heads_input = None
        if heads_read_input:
            room = torch.empty(heads, input_size, device=device, dtype=dtype)
            self.weight_heads_input = nn.Parameter(room)
        self.reset_parameters()

    def _interface(self) -> tuple[int, int, int]:
        """How many numbers are keys, contents and gates of the heads."""
        rows = self.reads * self.width
        return rows, rows if self.contents == "own" else 0, self.reads

    def reset_parameters(self) -> None:
        """Draw weights by their fan-in and fan-out; biases 0, but 1 for the forget gate."""
        for name, parameter in self.named_parameters():
            if name.startswith("weight"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("bias"):
                nn.init.zeros_(parameter)
        if self.is_layer:
            nn.init.ones_(self.bias[self.hidden_size : 2 * self.hidden_size])

    def _tasks(self) -> int | None:
        return leading_axis(self.log_sharpness, 1)

    def _blank(self, *batch: int) -> MANNState:
        zero = self.log_sharpness.new_zeros(())
        hidden = zero.expand(*batch, self.hidden_size)
        weights = zero.expand(*batch, self.reads, self.slots)
        return MANNState(
            hidden=hidden,
            cell=hidden,
            memory=zero.expand(*batch, self.slots, self.width),
            usage=zero.expand(*batch, self.slots),
            read_weights=weights,
            write_weights=weights,
            found=zero.expand(*batch, self.reads * self.width),
            used=zero.new_zeros((), dtype=torch.bool).expand(*batch, self.slots),
            overwritten=zero.new_zeros(batch, dtype=torch.long),
        )

    # -- as a layer --------------------------------------------------------------------------

    def _project(self, x: Tensor) -> Tensor:
        given = functional.linear(x, self.weight_ih, self.bias)
        if self.weight_heads_input is None:
            return given
        return torch.cat([given, functional.linear(x, self.weight_heads_input)], -1)

    def _emit(self, seen: Tensor) -> Tensor:
        return functional.linear(seen, self.weight_out, self.bias_out)

    def _steps(
        self, features: Tensor, state: MANNState, inside: Tensor | None
    ) -> tuple[Tensor, MANNState]:
        parameters = self.weight_hh, self.weight_heads, self.bias_heads, self.log_sharpness
        values = (features, *parameters, *(part for part in state[:-2]))
        usual = type(self)._advance is MANN._advance and not state.usage.requires_grad
        if not (usual and compiled_passes.serve(values)):
            return super()._steps(features, state, inside)

        def as_state(parts: Sequence[Tensor], others: Mapping[str, Tensor]) -> MANNState:
            memory, weights, found, hidden, cell = parts
            reading, writing = weights.split(self.reads, -2)
            return MANNState(
                hidden=hidden,
                cell=cell,
                memory=memory,
                read_weights=reading,
                write_weights=writing,
                found=found,
                **others,
            )

        def as_parts(state: MANNState) -> list[Tensor]:
            weights = torch.cat([state.read_weights, state.write_weights], -2)
            return [state.memory, weights, state.found, state.hidden, state.cell]

        def exact(
            features: Tensor,
            parameters: Sequence[Tensor],
            parts: Sequence[Tensor],
            others: Mapping[str, Tensor],
            inside: Tensor | None,
        ) -> tuple[Tensor, Sequence[Tensor]]:
            hh, weight, bias, sharpness = parameters
            layer = with_parameters(
                self,
                weight_hh=hh,
                weight_heads=weight,
                bias_heads=bias,
                log_sharpness=sharpness.log().unsqueeze(-1),
            )
            seen, after = super(MANN, layer)._steps(features, as_state(parts, others), inside)
            return seen, as_parts(after)

        # log_sharpness is (1,) or (N, 1); the heads take it as it is, (N,).
        given = *parameters[:3], self.log_sharpness.exp().squeeze(-1)
        heads = MANNHeads(self.reads, self.reads, math.sqrt(_EPS), self.decay)
        others = {"usage": state.usage, "used": state.used, "overwritten": state.overwritten}
        seen, parts, after = compiled_steps(
            heads, exact, features, given, as_parts(state), others, inside
        )
        return seen, as_state(parts, after)

    def _advance(self, features: Tensor, state: MANNState) -> tuple[Tensor, MANNState]:
        before = torch.cat([state.found, state.hidden], -1)
        size = 4 * self.hidden_size
        gates = features[..., :size] + functional.linear(before, self.weight_hh)
        units = self.hidden_size
        a_if, a_g, a_o = gates.split([2 * units, units, units], -1)
        i, f = a_if.sigmoid().chunk(2, -1)
        cell = torch.addcmul(f * state.cell, i, a_g.tanh())
        hidden = a_o.sigmoid() * cell.tanh()
        heads = functional.linear(hidden, self.weight_heads, self.bias_heads)
        if self.weight_heads_input is not None:
            heads = heads + features[..., size:]
        keys, contents, old = heads.split(self._interface(), -1)
        keys = keys.tanh().unflatten(-1, (self.reads, self.width))  # (…, R, W)
        contents = contents.tanh().unflatten(-1, (-1, self.width)) if contents.shape[-1] else keys
        old = old.sigmoid().unsqueeze(-1)

        slots = state.usage.argsort(dim=-1, stable=True)[..., : self.reads]
        least = F.one_hot(slots, self.slots).to(keys.dtype)  # w^lu, (…, R, M)
        writing = old * state.read_weights + (1 - old) * least
        wiped = least.sum(-2)
        memory = state.memory * (1 - wiped).unsqueeze(-1) + writing.mT @ contents
        reading = (self._sharpness(keys) * cosine_similarity(keys, memory, _EPS)).softmax(-1)
        found = (reading @ memory).flatten(-2)
        # Usage only orders slots, which has no derivative.
        lately = (reading + writing).detach().sum(-2)
        after = MANNState(
            hidden,
            cell,
            memory,
            self.decay * state.usage + lately,
            reading,
            writing,
            found,
            state.used | (wiped > 0),
            state.overwritten + (state.used & (wiped > 0)).sum(-1),
        )
        return torch.cat([hidden, found], -1), after

    def _sharpness(self, like: Tensor) -> Tensor:
        """`s`, or each task's, with axes for those of what it multiplies."""
        sharpness = self.log_sharpness.exp()
        between = [1] * (like.dim() - sharpness.dim())
        return sharpness.reshape(*sharpness.shape[:-1], *between, 1)

    # -- as a store --------------------------------------------------------------------------

    def _write(self, state: MANNState, keys: Tensor, values: Tensor) -> MANNState:
        count = keys.shape[-2]
        first, kept = min(count, self.slots), slice(max(count - self.slots, 0), None)
        order = state.usage.argsort(dim=-1, stable=True)
        turns = torch.arange(count, device=keys.device)
        put = F.one_hot(order[..., turns % self.slots], self.slots)  # (…, B, M)
        rows = torch.cat([keys, values], -1)[..., kept, :]
        there = put[..., kept, :].to(rows.dtype)
        memory = state.memory * (1 - there.sum(-2)).unsqueeze(-1) + there.mT @ rows
        ages = (count - 1 - turns).to(rows.dtype)
        lately = (self.decay**ages) @ put.to(rows.dtype)
        reached = put[..., :first, :].sum(-2) > 0
        return state._replace(
            memory=memory,
            usage=self.decay**count * state.usage + lately,
            used=state.used | reached,
            overwritten=state.overwritten + (state.used & reached).sum(-1) + (count - first),
        )

    def _read(self, state: MANNState, queries: Tensor) -> Tensor:
        return self.attention(state, queries) @ state.memory[..., self.key_size :]

    def attention(self, state: MANNState, queries: Tensor) -> Tensor:
        """Compute the weight of each slot, of those in use: `(…, Q, K)` -> `(…, Q, M)`."""
        self._check_queries(state, queries)
        alike = cosine_similarity(queries, state.memory[..., : self.key_size], _EPS)
        return masked_softmax(self._sharpness(alike) * alike, state.used.unsqueeze(-2))
