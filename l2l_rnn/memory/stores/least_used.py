"""Slots of keys and values, written to the least used slot (LRUA)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.addressing import one_hot
from l2l_rnn.memory.masked_rows import put_rows
from l2l_rnn.memory.memory import leading_axis
from l2l_rnn.memory.store import STORES
from l2l_rnn.memory.stores.slot_memory import AnyState, KeyedSlots


class LeastUsedState(NamedTuple):
    """State of a `LeastUsedMemory`.

    Attributes:
        memory: `M`, the slots, each a key and its value, `(…, M, K + V)`.
        usage: `w^u`, how recently each slot was written, `(…, M)`.
        used: True for slots that were written, `(…, M)`.
        overwritten: the number of overwritten examples, `(…)`.
    """

    memory: Tensor
    usage: Tensor
    used: Tensor
    overwritten: Tensor

    @property
    def written(self) -> Tensor:
        """The number of written examples, `(…)`."""
        return self.used.sum(-1) + self.overwritten


class LeastUsedStore(KeyedSlots[AnyState]):
    """Keyed slots, written to the least used slots. Not for direct use.

    A state has the fields of `LeastUsedState`, and may have others.

    Attributes:
        decay: `gamma`, the decay of the usage.
    """

    decay: float

    def examples(self, state: AnyState) -> Tensor:
        # A write goes to the least used slot, which then becomes the most used one, so usage orders
        # the slots by age.
        usage = state.usage.masked_fill(~state.used, -torch.inf)
        rank = usage.sort(dim=-1, stable=True).indices.argsort(-1)
        return torch.where(state.used, state.written.unsqueeze(-1) - self.slots + rank, -1)

    def _filled(self, state: AnyState) -> Tensor:
        filled: Tensor = state.used
        return filled

    def _write(self, state: AnyState, keys: Tensor, values: Tensor) -> AnyState:
        count = keys.shape[-2]
        first, kept = min(count, self.slots), slice(max(count - self.slots, 0), None)
        order = state.usage.sort(dim=-1, stable=True).indices  # argsort has no batching rule
        turns = torch.arange(count, device=keys.device)
        put = one_hot(order[..., turns % self.slots], self.slots)  # (…, B, M)
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


@STORES.register("least-used")
@configurable
class LeastUsedMemory(LeastUsedStore[LeastUsedState]):
    """Slots of keys and values, written to the least used slot.

    A read is `r = sum_i softmax_i(s cos(q, k_i)) v_i`. B examples are written to the B least used
    slots, the least used one first. If there are more examples than slots, the oldest are lost. A
    write multiplies the usage of all slots by `gamma` and sets the usage of its slot to 1. The
    write of a set counts as one write, and overwrites older sets completely. Reads do not count as
    usage. Reads of a blank memory are 0.

    Args:
        key_size, value_size: `K` and `V`, the sizes of a key and of a value.
        slots: `M`, number of memory slots.
        decay: `gamma`, the decay of the usage.
        sharpness: initial value of `s`, which is learned.
        eps: norm below which a key counts as short, as in `functional.cosine_similarity`.

    Attributes:
        log_sharpness: the logarithm of `s`, the only parameter.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, queries `(…, Q, K)` -> reads `(…, Q, V)`.

    Raises:
        ArgumentError: a size is not a positive integer, `decay` is not in [0, 1), or `sharpness` or
            `eps` is not positive.
        ShapeError: in a call, the keys, values, queries or state have the wrong shape.

    Example:
        >>> store = LeastUsedMemory(key_size=2, value_size=1, slots=2)
        >>> keys, values = torch.eye(2)[[0, 1, 0]], torch.tensor([[3.0], [5.0], [7.0]])
        >>> state = store.write(store.blank(), keys, values)
        >>> state.memory.tolist(), state.overwritten.item()
        ([[1.0, 0.0, 7.0], [0.0, 1.0, 5.0]], 1)

    Source: A. Santoro et al., 2016, Meta-Learning with Memory-Augmented Neural Networks, section
    3.2. `MANN` stores keys and values in this way too.
    """

    def __init__(
        self,
        key_size: int,
        value_size: int,
        *,
        slots: int = 32,
        decay: float = 0.95,
        sharpness: float = 5.0,
        eps: float = 1e-2,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "LeastUsedMemory"
        self.key_size = check_int(who, "key_size", key_size)
        self.value_size = check_int(who, "value_size", value_size)
        self.slots = check_int(who, "slots", slots)
        self.decay = check_number(who, "decay", decay, least=0, below=1)
        self.eps = check_number(who, "eps", eps, above=0)
        start = math.log(check_number(who, "sharpness", sharpness, above=0))
        self.log_sharpness = nn.Parameter(torch.full((1,), start, device=device, dtype=dtype))

    def extra_repr(self) -> str:
        return f"{self.key_size}, {self.value_size}, slots={self.slots}, decay={self.decay}"

    def _write_set(self, state: LeastUsedState, keys: Tensor, values: Tensor) -> LeastUsedState:
        # The set takes the least used slots in the order of their numbers, and all get the same
        # usage. The usage therefore identifies a set, and the number orders its examples.
        order = state.usage.argsort(dim=-1, stable=True)
        chosen = order[..., : keys.shape[-2]].sort(-1).values
        new = torch.zeros_like(state.used).scatter(-1, chosen, True)
        rows = torch.cat([keys, values], -1).to(state.memory.dtype)
        memory = state.memory.scatter(-2, chosen.unsqueeze(-1).expand_as(rows), rows)
        return self._after_set(state, memory, new)

    def _write_set_masked(
        self, state: LeastUsedState, keys: Tensor, values: Tensor, mask: Tensor
    ) -> LeastUsedState:
        rank = state.usage.sort(dim=-1, stable=True).indices.argsort(-1)
        new = rank < mask.sum(-1, keepdim=True)
        rows = torch.cat([keys, values], -1)
        memory = put_rows(state.memory, rows, new.cumsum(-1) - 1, new)
        return self._after_set(state, memory, new)

    def _after_set(self, state: LeastUsedState, memory: Tensor, new: Tensor) -> LeastUsedState:
        """Return the state after the write of a set to the slots `new`, with their content."""
        lost = state.used & new
        limit = state.usage.masked_fill(~lost, 0.0).amax(-1, keepdim=True)
        lost = lost | (state.used & (state.usage > 0) & (state.usage <= limit))  # broken sets
        most = state.usage.masked_fill(~new, 0.0).amax(-1, keepdim=True)
        return LeastUsedState(
            memory=memory,
            usage=self.decay * torch.where(new, most, state.usage) + new.to(most.dtype),
            used=(state.used & ~lost) | new,
            overwritten=state.overwritten + lost.sum(-1),
        )

    def _tasks(self) -> int | None:
        return leading_axis(self.log_sharpness, 1)

    def _blank(self, *batch: int) -> LeastUsedState:
        zero = self.log_sharpness.new_zeros(())
        return LeastUsedState(
            memory=zero.expand(*batch, self.slots, self.key_size + self.value_size),
            usage=zero.expand(*batch, self.slots),
            used=zero.new_zeros((), dtype=torch.bool).expand(*batch, self.slots),
            overwritten=zero.new_zeros(batch, dtype=torch.long),
        )
