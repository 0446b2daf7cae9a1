"""Slots that hold the newest items: what the memory networks share."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.memory.checks import check_sizes
from l2l_rnn.memory.memory import Memory, leading_axis
from l2l_rnn.memory.projections import KeyValueProjection


class ItemState(NamedTuple):
    """What a memory network holds, the newest item in the last slot.

    Attributes:
        keys: what slots are found by, `(…, M, E)`.
        values: what is in them, `(…, M, any)`.
        written: how many items were ever written, `(…)`; above M, the oldest were overwritten.
    """

    keys: Tensor
    values: Tensor
    written: Tensor

    @property
    def overwritten(self) -> Tensor:
        """How many items are lost, `(…)`."""
        return (self.written - self.keys.shape[-2]).clamp_min(0)


class ItemMemory(Memory[ItemState]):
    """What the memory networks share: M slots, the oldest of which is overwritten. Not direct.

    As a layer it makes a query, a key and a value of each step. A step reads what the steps before
    it wrote, the last M of them, then it is written; so all steps are taken at once. Reading a
    blank memory finds nothing: all attention is 0.

    Args:
        input_size: `F`, features of a step; None for a store without the parameters of a layer.
        key_size, value_size: `K` and `V`.
        slots: `M`.
        hops: how often the memory is looked up for one answer.
    """

    def __init__(
        self,
        input_size: int | None,
        key_size: int,
        value_size: int | None,
        embedding_size: int | None,
        slots: int,
        hops: int,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.key_size = key_size
        self.value_size = key_size if value_size is None else value_size
        self.embedding_size = key_size if embedding_size is None else embedding_size
        sizes = {"value_size": self.value_size, "embedding_size": self.embedding_size}
        check_sizes(type(self).__name__, key_size=key_size, slots=slots, hops=hops, **sizes)
        self.slots, self.hops = slots, hops
        self.output_size = self.value_size
        self.input_size = 0
        self.projection: KeyValueProjection | None = None
        if input_size is not None:
            check_sizes(type(self).__name__, input_size=input_size)
            self.input_size = input_size
            self.projection = KeyValueProjection(
                input_size, key_size, self.value_size, device=device, dtype=dtype
            )

    @abstractmethod
    def _items(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what is put in slots: `(…, B, K)` and `(…, B, V)` -> two `(…, B, any)`."""

    @abstractmethod
    def _answer(self, queries: Tensor, keys: Tensor, values: Tensor, filled: Tensor) -> Tensor:
        """Look up: queries `(…, Q, K)`, keys, values `(…, M, any)`, filled `(…, 1, M)`."""

    @abstractmethod
    def _slot_sizes(self) -> tuple[int, int, Tensor]:
        """Return the sizes of a slot's key and value, and a parameter that is a matrix."""

    def _tasks(self) -> int | None:
        return leading_axis(self._slot_sizes()[2], 2)

    def _blank(self, *batch: int) -> ItemState:
        key_size, value_size, like = self._slot_sizes()
        zero = like.new_zeros(())
        return ItemState(
            zero.expand(*batch, self.slots, key_size),
            zero.expand(*batch, self.slots, value_size),
            torch.zeros(batch, dtype=torch.long, device=like.device),
        )

    def _advance(self, features: Tensor, state: ItemState) -> tuple[Tensor, ItemState]:
        y, state = self._run(features.unsqueeze(-2), state, None)
        return y.squeeze(-2), state

    def _run(self, x: Tensor, state: ItemState, inside: Tensor | None) -> tuple[Tensor, ItemState]:
        q, k, v = self.projection(x)  # type: ignore[misc]  # None in a store, which has no steps
        steps = x.shape[-2]
        new_keys, new_values = self._items(k, v)
        keys = torch.cat([state.keys, new_keys], -2)  # (…, M + S, E)
        values = torch.cat([state.values, new_values], -2)
        # Before step t the slots hold the M items from t on.
        at_step = [
            items.narrow(-2, 0, self.slots + steps - 1).unfold(-2, self.slots, 1).mT
            for items in (keys, values)
        ]  # (…, S, M, E)
        written = state.written.unsqueeze(-1) + torch.arange(steps, device=x.device)
        y = self._answer(q.unsqueeze(-2), at_step[0], at_step[1], self._filled(written)).squeeze(-2)
        count = torch.full_like(state.written, steps) if inside is None else inside.sum(-1)
        last = count.unsqueeze(-1) + torch.arange(self.slots, device=x.device)  # (…, M)
        kept = [
            items.gather(-2, last.unsqueeze(-1).expand(*last.shape, items.shape[-1]))
            for items in (keys, values)
        ]
        return y, ItemState(kept[0], kept[1], state.written + count)

    def _filled(self, written: Tensor) -> Tensor:
        """Tell which slots hold an item: `(…)` -> `(…, 1, M)`."""
        empty = self.slots - written[..., None, None]
        return torch.arange(self.slots, device=written.device) >= empty

    def _write(self, state: ItemState, keys: Tensor, values: Tensor) -> ItemState:
        added = self._items(keys, values)
        old = (state.keys, state.values)
        slots = [
            torch.cat([before, new], -2)[..., -self.slots :, :]
            for before, new in zip(old, added, strict=True)
        ]
        return ItemState(slots[0], slots[1], state.written + keys.shape[-2])

    def _read(self, state: ItemState, queries: Tensor) -> Tensor:
        return self._answer(queries, state.keys, state.values, self._filled(state.written))
