"""A ring of slots that hold a key and its value each; new examples overwrite the oldest."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.axes import align_tasks
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.addressing import bounded_exp, masked_softmax
from l2l_rnn.memory.masked_rows import put_rows
from l2l_rnn.memory.memory import leading_axis
from l2l_rnn.memory.store import STORES, SlotStore

AnyState = TypeVar("AnyState", bound=Any)


class SlotState(NamedTuple):
    """State of a `SlotMemory`.

    Attributes:
        memory: `M`, the slots, each a key and its value, `(…, M, K + V)`.
        written: the number of written examples, `(…)`.
        ages: the age of each slot's example in writes, where a set is one write, `(…, M)`: 1 for
            the last write, 0 for an empty slot.
    """

    memory: Tensor
    written: Tensor
    ages: Tensor

    @property
    def overwritten(self) -> Tensor:
        """The number of written examples that were overwritten, `(…)`."""
        return self.written - (self.ages > 0).sum(-1)


class KeyedSlots(SlotStore[AnyState]):
    """Slots of keys and values, read by cosine similarity. Not for direct use.

    A state has the slots in `memory`, `(…, M, K + V)`.

    Attributes:
        log_sharpness: the logarithm of `s`, `(1,)`.
    """

    log_sharpness: Tensor
    eps: float  # as in `functional.cosine_similarity`

    @abstractmethod
    def _filled(self, state: AnyState) -> Tensor:
        """Return which slots hold an example, `(…, M)`, bool."""

    def _read_weights(self, state: AnyState, queries: Tensor) -> Tensor:
        keys = state.memory[..., : self.key_size]
        similar = functional.cosine_similarity(keys, queries, self.eps)
        scores = align_tasks(bounded_exp(self.log_sharpness), 1, similar) * similar
        return masked_softmax(scores, self._filled(state).unsqueeze(-2))

    def _read(self, state: AnyState, queries: Tensor) -> Tensor:
        return self._read_weights(state, queries) @ state.memory[..., self.key_size :]


class RingStore(KeyedSlots[AnyState]):
    """Keyed slots that are written in turn. Not for direct use.

    A state also counts the writes in `written`, `(…)`. Write number i, starting at 0, goes to slot
    `i % M`.
    """

    def examples(self, state: AnyState) -> Tensor:
        place = torch.arange(self.slots, device=state.memory.device)
        newest = state.written.unsqueeze(-1) - 1
        numbers = newest - (newest - place) % self.slots  # of the last write to each slot
        return torch.where(self._filled(state), numbers, -1)

    def _filled(self, state: AnyState) -> Tensor:
        place = torch.arange(self.slots, device=state.memory.device)
        return place < state.written.unsqueeze(-1)

    def _write(self, state: AnyState, keys: Tensor, values: Tensor) -> AnyState:
        memory = write_slots(state.memory, state.written, keys, values)
        return state._replace(memory=memory, written=state.written + keys.shape[-2])


@STORES.register("slot-memory")
@configurable
class SlotMemory(RingStore[SlotState]):
    """Slots of keys and values, written in turn.

    A read is `r = sum_i softmax_i(s cos(q, k_i)) v_i`. When all slots are full, a write replaces
    the oldest example, and the write of a set replaces the oldest sets. Reads of a blank memory are
    0.

    Args:
        key_size, value_size: `K` and `V`, the sizes of a key and of a value.
        slots: `M`, number of memory slots.
        sharpness: initial value of `s`, which is learned.
        eps: norm below which a key counts as short, as in `functional.cosine_similarity`.

    Attributes:
        log_sharpness: the logarithm of `s`, the only parameter.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, queries `(…, Q, K)` -> reads `(…, Q, V)`.

    Raises:
        ArgumentError: a size is not a positive integer, or `sharpness` or `eps` is not positive.
        ShapeError: in a call, the keys, values, queries or state have the wrong shape.

    Example:
        >>> store = SlotMemory(key_size=3, value_size=3, slots=16)
        >>> values = torch.diag(torch.tensor([1.0, 2.0, 3.0]))
        >>> state = store.write(store.blank(), torch.eye(3), values)
        >>> store.read(state, torch.eye(3)[1:2]).round(decimals=2).tolist()
        [[0.0, 2.0, 0.0]]

    Source: content addressing as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing
    Machines, section 3.3.1. `NTM` and `DNC` store keys and values in this way too.
    """

    def __init__(
        self,
        key_size: int,
        value_size: int,
        *,
        slots: int = 128,
        sharpness: float = 10.0,
        eps: float = 1e-6,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.key_size = check_int("SlotMemory", "key_size", key_size)
        self.value_size = check_int("SlotMemory", "value_size", value_size)
        self.slots = check_int("SlotMemory", "slots", slots)
        self.eps = check_number("SlotMemory", "eps", eps, above=0)
        start = math.log(check_number("SlotMemory", "sharpness", sharpness, above=0))
        self.log_sharpness = nn.Parameter(torch.full((1,), start, device=device, dtype=dtype))

    def extra_repr(self) -> str:
        return f"{self.key_size}, {self.value_size}, slots={self.slots}"

    def _tasks(self) -> int | None:
        return leading_axis(self.log_sharpness, 1)

    def _blank(self, *batch: int) -> SlotState:
        zero = self.log_sharpness.new_zeros(())
        return SlotState(
            memory=zero.expand(*batch, self.slots, self.key_size + self.value_size),
            written=torch.zeros(batch, dtype=torch.long, device=zero.device),
            ages=torch.zeros((), dtype=torch.long, device=zero.device).expand(*batch, self.slots),
        )

    def _filled(self, state: SlotState) -> Tensor:
        return state.ages > 0

    def _write(self, state: SlotState, keys: Tensor, values: Tensor) -> SlotState:
        count = keys.shape[-2]
        last = last_writes(state.written, count, self.slots)
        older = torch.where(state.ages > 0, state.ages + count, 0)
        ages = torch.where(last >= 0, count - last, older)
        return super()._write(state, keys, values)._replace(ages=ages)

    def _write_set(self, state: SlotState, keys: Tensor, values: Tensor) -> SlotState:
        new = last_writes(state.written, keys.shape[-2], self.slots) >= 0
        older = torch.where(state.ages > 0, state.ages + 1, 0)
        ages = torch.where(new, 1, without_broken_sets(older, new))
        return super()._write(state, keys, values)._replace(ages=ages)

    def _write_set_masked(
        self, state: SlotState, keys: Tensor, values: Tensor, mask: Tensor
    ) -> SlotState:
        count = mask.sum(-1)
        place = torch.arange(self.slots, device=keys.device)
        row = (place - state.written.unsqueeze(-1)) % self.slots  # that would go to each slot
        new = row < count.unsqueeze(-1)
        older = torch.where(state.ages > 0, state.ages + 1, 0)
        return SlotState(
            memory=put_rows(state.memory, torch.cat([keys, values], -1), row, new),
            written=state.written + count,
            ages=torch.where(new, 1, without_broken_sets(older, new)),
        )


def overwritten(written: Tensor, slots: int) -> Tensor:
    """Return how many written examples were overwritten."""
    return (written - slots).clamp_min(0)


def without_broken_sets(ages: Tensor, overwritten: Tensor) -> Tensor:
    """Empty all slots of the sets that a write overwrites in part, and of older sets.

    Args:
        ages: the age of each slot's set, 0 for an empty slot.
        overwritten: the slots that the write takes.

    Shapes:
        both `(…, M)` -> `(…, M)`.

    Example:
        >>> without_broken_sets(torch.tensor([2, 2, 1, 1]), torch.tensor([True, *[False] * 3]))
        tensor([0, 0, 1, 1])
    """
    never = torch.iinfo(ages.dtype).max
    limit = ages.masked_fill(~overwritten | (ages == 0), never).amin(-1, keepdim=True)
    return ages.masked_fill(ages >= limit, 0)


def last_writes(written: Tensor, more: int, slots: int) -> Tensor:
    """Return the number of the last of `more` writes to each slot of a ring; negative if none.

    Shapes:
        written `(…)` -> `(…, M)`.
    """
    place = torch.arange(slots, device=written.device)
    return more - 1 - (written.unsqueeze(-1) + more - 1 - place) % slots


def write_slots(memory: Tensor, written: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Write keys and values to the next slots of a ring, all at once.

    This equals B writes of a Neural Turing Machine with a head that erases its slot, adds the key
    and the value, and moves on by one.

    Args:
        memory: the slots.
        written: the number of examples written before, which determines the head's slot.
        keys, values: the keys and values to write, in order.

    Returns:
        The slots after the writes. If there are more than M writes, only the last M remain.

    Shapes:
        memory `(…, M, K + V)`, written `(…)`, keys `(…, B, K)`, values `(…, B, V)`.

    Example:
        >>> key, value = torch.ones(1, 2), torch.full((1, 1), 5.0)
        >>> write_slots(torch.zeros(2, 3), torch.tensor(3), key, value).tolist()
        [[0.0, 0.0, 0.0], [1.0, 1.0, 5.0]]
    """
    slots, more = memory.shape[-2], keys.shape[-2]
    if more == 0:
        return memory
    last = last_writes(written, more, slots)  # (…, M)
    rows = torch.cat([keys, values], -1).to(memory.dtype)
    index = last.clamp_min(0).unsqueeze(-1).expand(*last.shape, memory.shape[-1])
    return torch.where((last >= 0).unsqueeze(-1), rows.gather(-2, index), memory)
