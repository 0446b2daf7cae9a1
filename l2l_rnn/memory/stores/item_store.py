"""Slots that hold the newest examples: base class of the memory networks."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.axes import transforms_are_active
from l2l_rnn.checks import check_int
from l2l_rnn.memory.memory import leading_axis
from l2l_rnn.memory.store import SlotStore
from l2l_rnn.memory.stores.slot_memory import overwritten


class ItemState(NamedTuple):
    """State of a memory network, with the newest example in the last slot.

    Attributes:
        keys: the vectors that queries are compared with, `(…, M, E)`.
        values: the vectors that are read, `(…, M, any)`.
        written: the number of written examples, `(…)`.
    """

    keys: Tensor
    values: Tensor
    written: Tensor

    @property
    def overwritten(self) -> Tensor:
        """The number of written examples that were overwritten, `(…)`."""
        return overwritten(self.written, self.keys.shape[-2])


class ItemStore(SlotStore[ItemState]):
    """M slots that move by one at each write, which drops the oldest example. Not for direct use.

    A subclass defines the content of a slot in `_items`, and the lookup in `_lookup`. A blank
    memory has read weights of 0.

    Args:
        key_size, value_size: `K` and `V`, the sizes of a key and of a value.
        embedding_size: `E`, size of an embedded key; None for `K`.
        slots: `M`, number of memory slots.
        hops: number of lookups per read.
    """

    def __init__(
        self, key_size: int, value_size: int, embedding_size: int | None, slots: int, hops: int
    ) -> None:
        super().__init__()
        who = type(self).__name__
        self.key_size = check_int(who, "key_size", key_size)
        self.value_size = check_int(who, "value_size", value_size)
        self.embedding_size = self.key_size
        if embedding_size is not None:
            self.embedding_size = check_int(who, "embedding_size", embedding_size)
        self.slots = check_int(who, "slots", slots)
        self.hops = check_int(who, "hops", hops)

    def extra_repr(self) -> str:
        return f"{self.key_size}, {self.value_size}, slots={self.slots}, hops={self.hops}"

    def examples(self, state: ItemState) -> Tensor:
        place = torch.arange(self.slots, device=state.keys.device)
        return (state.written.unsqueeze(-1) - self.slots + place).clamp_min(-1)

    def scan(
        self,
        state: ItemState,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        inside: Tensor | None = None,
    ) -> tuple[Tensor, ItemState]:
        steps = queries.shape[-2]
        old = state.keys, state.values
        items = [
            torch.cat([before, new], -2)  # (…, M + S, any)
            for before, new in zip(old, self._items(keys, values), strict=True)
        ]
        # Before step t, the slots hold the M items that start at t.
        at_keys, at_values = (_windows(part, steps, self.slots) for part in items)
        written = state.written.unsqueeze(-1) + torch.arange(steps, device=queries.device)
        filled = self._filled(written)  # (…, S, 1, M)
        reads = self._lookup(queries.unsqueeze(-2), at_keys, at_values, filled).squeeze(-2)
        count = torch.full_like(state.written, steps) if inside is None else inside.sum(-1)
        last = count.unsqueeze(-1) + torch.arange(self.slots, device=queries.device)  # (…, M)
        kept = [
            part.gather(-2, last.unsqueeze(-1).expand(*last.shape, part.shape[-1]))
            for part in items
        ]
        return reads, ItemState(kept[0], kept[1], state.written + count)

    @abstractmethod
    def _items(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the content of slots: `(…, B, K)` and `(…, B, V)` -> two `(…, B, any)`."""

    @abstractmethod
    def _lookup(self, queries: Tensor, keys: Tensor, values: Tensor, filled: Tensor) -> Tensor:
        """Compute the reads of queries.

        Shapes:
            queries `(…, Q, K)`, keys and values `(…, M, any)`, filled `(…, 1, M)` -> `(…, Q, V)`.
        """

    @abstractmethod
    def _layout_of_slots(self) -> tuple[int, int, Tensor]:
        """Return the sizes of a slot's key and value, and a parameter that is a matrix."""

    def _tasks(self) -> int | None:
        return leading_axis(self._layout_of_slots()[2], 2)

    def _blank(self, *batch: int) -> ItemState:
        key_size, value_size, like = self._layout_of_slots()
        zero = like.new_zeros(())
        return ItemState(
            zero.expand(*batch, self.slots, key_size),
            zero.expand(*batch, self.slots, value_size),
            torch.zeros(batch, dtype=torch.long, device=like.device),
        )

    def _filled(self, written: Tensor) -> Tensor:
        """Return which slots hold an example: `(…)` -> `(…, 1, M)`."""
        empty = self.slots - written[..., None, None]
        return torch.arange(self.slots, device=written.device) >= empty

    def _write(self, state: ItemState, keys: Tensor, values: Tensor) -> ItemState:
        old = state.keys, state.values
        slots = [
            torch.cat([before, new], -2)[..., -self.slots :, :]
            for before, new in zip(old, self._items(keys, values), strict=True)
        ]
        return ItemState(slots[0], slots[1], state.written + keys.shape[-2])

    def _read(self, state: ItemState, queries: Tensor) -> Tensor:
        return self._lookup(queries, state.keys, state.values, self._filled(state.written))


def _windows(items: Tensor, count: int, size: int) -> Tensor:
    """Return the windows of items that start at the first `count` ones.

    Shapes:
        items `(…, any, E)` -> `(…, count, size, E)`.
    """
    if not transforms_are_active():
        return items.narrow(-2, 0, size + count - 1).unfold(-2, size, 1).mT
    # torch has no batching rule for the derivative of `unfold`.
    starts, places = (torch.arange(n, device=items.device) for n in (count, size))
    within = (starts.unsqueeze(-1) + places).flatten()
    return items.index_select(-2, within).unflatten(-2, (count, size))
