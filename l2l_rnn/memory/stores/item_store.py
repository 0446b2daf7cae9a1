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


class ItemState(NamedTuple):
    """State of a memory network, with the newest example in the last slot.

    Attributes:
        keys: the vectors that queries are compared with, `(…, M, E)`.
        values: the vectors that are read, `(…, M, any)`.
        written: the number of written examples, `(…)`.
        ages: the age of each slot's example in writes, where a set is one write, `(…, M)`: 1 for
            the last write, 0 for an empty slot.
    """

    keys: Tensor
    values: Tensor
    written: Tensor
    ages: Tensor

    @property
    def overwritten(self) -> Tensor:
        """The number of written examples that were overwritten, `(…)`."""
        return self.written - (self.ages > 0).sum(-1)


class ItemStore(SlotStore[ItemState]):
    """M slots that move by one at each write, which drops the oldest example. Not for direct use.

    The write of a set of B examples moves them by B and drops the oldest sets.

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
        numbers = state.written.unsqueeze(-1) - self.slots + place
        return torch.where(state.ages > 0, numbers, -1)

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
        # The step before which each example has age 0; never, for an empty slot.
        step = torch.arange(steps, device=queries.device)
        old_births = (-state.ages).masked_fill(state.ages == 0, steps)
        births = torch.cat([old_births, step.expand(*old_births.shape[:-1], steps)], -1)
        at_births = births.narrow(-1, 0, self.slots + steps - 1).unfold(-1, self.slots, 1)
        ages = (step.unsqueeze(-1) - at_births).clamp_min(0)  # (…, S, M)
        reads = self._lookup(queries.unsqueeze(-2), at_keys, at_values, ages).squeeze(-2)
        count = torch.full_like(state.written, steps) if inside is None else inside.sum(-1)
        last = count.unsqueeze(-1) + torch.arange(self.slots, device=queries.device)  # (…, M)
        kept = [
            part.gather(-2, last.unsqueeze(-1).expand(*last.shape, part.shape[-1]))
            for part in items
        ]
        ages = (count.unsqueeze(-1) - births.gather(-1, last)).clamp_min(0)
        return reads, ItemState(kept[0], kept[1], state.written + count, ages)

    @abstractmethod
    def _items(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the content of slots: `(…, B, K)` and `(…, B, V)` -> two `(…, B, any)`."""

    @abstractmethod
    def _lookup(self, queries: Tensor, keys: Tensor, values: Tensor, ages: Tensor) -> Tensor:
        """Compute the reads of queries.

        Shapes:
            queries `(…, Q, K)`, keys and values `(…, M, any)`, ages `(…, M)` -> `(…, Q, V)`.
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
            torch.zeros((), dtype=torch.long, device=like.device).expand(*batch, self.slots),
        )

    def _write(self, state: ItemState, keys: Tensor, values: Tensor) -> ItemState:
        count = keys.shape[-2]
        older = torch.where(state.ages > 0, state.ages + count, 0)
        new = torch.arange(count, 0, -1, device=keys.device).expand(*older.shape[:-1], count)
        return self._moved(state, keys, values, torch.cat([older, new], -1)[..., -self.slots :])

    def _write_set(self, state: ItemState, keys: Tensor, values: Tensor) -> ItemState:
        count, ages = keys.shape[-2], state.ages
        # The last slot that is lost holds the newest lost example, of which the whole set is lost.
        # If it is empty, so are all slots before it, and nothing is lost.
        most = (ages[..., count - 1 : count] - 1) % torch.iinfo(ages.dtype).max
        older = ages[..., count:]
        older = (older + older.sign()) * (older <= most)
        new = ages.new_ones(()).expand(*ages.shape[:-1], count)
        return self._moved(state, keys, values, torch.cat([older, new], -1))

    def _write_set_masked(
        self, state: ItemState, keys: Tensor, values: Tensor, mask: Tensor
    ) -> ItemState:
        count, ages = mask.sum(-1), state.ages
        last = (count - 1).clamp_min(0).unsqueeze(-1)  # as in _write_set
        most = (ages.gather(-1, last) - 1) % torch.iinfo(ages.dtype).max
        older = (ages + ages.sign()) * (ages <= most)
        ages = torch.cat([older, torch.ones_like(mask, dtype=ages.dtype)], -1)
        kept = count.unsqueeze(-1) + torch.arange(self.slots, device=keys.device)  # (…, M)
        slots = []
        for old, new in zip((state.keys, state.values), self._items(keys, values), strict=True):
            items = torch.cat([old, new], -2)
            index = kept.unsqueeze(-1).expand(*kept.shape, items.shape[-1])
            slots.append(items.gather(-2, index))
        return ItemState(slots[0], slots[1], state.written + count, ages.gather(-1, kept))

    def _moved(self, state: ItemState, keys: Tensor, values: Tensor, ages: Tensor) -> ItemState:
        """Append examples and move the slots; `ages` are those after the write."""
        old = state.keys, state.values
        slots = [
            torch.cat([before, new], -2)[..., -self.slots :, :]
            for before, new in zip(old, self._items(keys, values), strict=True)
        ]
        return ItemState(slots[0], slots[1], state.written + keys.shape[-2], ages)

    def _read(self, state: ItemState, queries: Tensor) -> Tensor:
        return self._lookup(queries, state.keys, state.values, state.ages)


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
