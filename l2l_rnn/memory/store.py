"""Stores, the memories that are written and read by key: the interface and the registry."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from l2l_rnn.axes import transforms_are_active
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.losses import check_mask
from l2l_rnn.mapped_axis import takes_mapped_axis
from l2l_rnn.memory.masked_rows import examples_first
from l2l_rnn.memory.memory import Memory, State, where
from l2l_rnn.registry import Registry


class Store(Memory[State]):
    """A memory of values that are written and read by key. Not for direct use.

    Attributes:
        key_size: `K`, features of a key or a query.
        value_size: `V`, features of a value.
        additive: whether a write adds its value to what the key reads instead of replacing it.
        writes_first: whether each step of a `MemoryLayer` writes before it reads.
    """

    key_size: int
    value_size: int
    additive: ClassVar[bool] = False
    writes_first: ClassVar[bool] = False

    @takes_mapped_axis()
    def write(
        self, state: State, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> State:
        """Write B values under their keys, in order, and return the next state.

        Args:
            state: the state before the writes.
            keys, values: the keys and values to write.
            mask: False where a row is padding, which is not written and changes nothing, whatever
                its values; None if there is no padding.

        Shapes:
            keys `(…, B, K)`, values `(…, B, V)`, mask `(…, B)`.

        Raises:
            ShapeError: keys, values and state do not fit this memory or each other.
            ArgumentTypeError: the state belongs to another kind of memory.
        """
        state = self._checked(state, keys, values, mask)
        if mask is None:
            return self._write(state, keys, values)
        most = _most(mask)
        return self._write_masked(state, *examples_first(keys, values, mask, most))

    def _checked(
        self, state: State, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> State:
        """Return the state if it, the keys and the values fit this memory and each other."""
        self._check_rows("keys", keys, self.key_size)
        self._check_rows("values", values, self.value_size)
        if keys.shape[:-1] != values.shape[:-1]:
            raise ShapeError(
                f"{type(self).__name__}: keys and values must agree in number, got "
                f"{tuple(keys.shape[:-1])} keys and {tuple(values.shape[:-1])} values; pass one "
                "value per key"
            )
        self._check_axes("keys", keys, 3)
        if mask is not None:
            check_mask(type(self).__name__, mask, keys.shape[:-1])
        return self.check_state(state, *keys.shape[:-2])

    @takes_mapped_axis()
    def write_set(
        self, state: State, keys: Tensor, values: Tensor, mask: Tensor | None = None
    ) -> State:
        """Write B values under their keys at once, and return the next state.

        Reads do not depend on the order of the examples, to rounding. With one example, this is
        `write`. Learners write support sets in this way.

        Args:
            state, keys, values, mask: as in `write`. A set without examples changes nothing.

        Shapes:
            keys `(…, B, K)`, values `(…, B, V)`, mask `(…, B)`.

        Raises:
            ShapeError: keys, values and state do not fit this memory or each other.
            ArgumentTypeError: the state belongs to another kind of memory.
            ArgumentError: the memory has slots, but fewer than examples.
        """
        state = self._checked(state, keys, values, mask)
        most = keys.shape[-2] if mask is None else _most(mask)
        if most is not None:
            self._check_count(most)
        if most == 0 or keys.shape[-2] == 0:
            return state
        if mask is None:
            return self._write_set(state, keys, values)
        keys, values, mask = examples_first(keys, values, mask, most)
        return where(mask[..., 0], self._write_set_masked(state, keys, values, mask), state)

    @takes_mapped_axis()
    def read(self, state: State, queries: Tensor) -> Tensor:
        """Read the values of Q queries. The state does not change.

        Shapes:
            queries `(…, Q, K)` -> `(…, Q, V)`.

        Raises:
            ShapeError: queries and state do not fit this memory or each other.
            ArgumentTypeError: the state belongs to another kind of memory.
        """
        self._check_queries(state, queries)
        return self._read(state, queries)

    def scan(
        self,
        state: State,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        inside: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """Read and write once at every step of a sequence, for a `MemoryLayer`.

        Each step reads what earlier steps wrote, then writes; with `writes_first` it writes, then
        reads. This loop defines the result. A store that can compute all steps at once overrides
        it. The arguments are not checked.

        Args:
            state: the state before the first step.
            queries, keys, values: the query, key and value of each step.
            inside: True at steps inside a sequence, False at padding; None for no padding.

        Returns:
            The reads and the state after the last step.

        Shapes:
            queries and keys `(…, S, K)`, values `(…, S, V)`, inside `(…, S)` -> `(…, S, V)`.
        """
        reads = []
        for t in range(queries.shape[-2]):
            q, k, v = (x[..., t : t + 1, :] for x in (queries, keys, values))
            after = self._write(state, k, v)
            if inside is not None:
                after = where(inside[..., t], after, state)
            reads.append(self._read(after if self.writes_first else state, q))
            state = after
        return torch.cat(reads, -2), state

    @abstractmethod
    def _write(self, state: State, keys: Tensor, values: Tensor) -> State:
        """Compute the state after the writes."""

    def _write_set(self, state: State, keys: Tensor, values: Tensor) -> State:
        """Compute the state after the writes of a set that is not empty."""
        return self._write(state, keys, values)

    def _write_masked(self, state: State, keys: Tensor, values: Tensor, mask: Tensor) -> State:
        """Compute the state after the writes of the rows where the mask is True, in order."""
        for t in range(keys.shape[-2]):
            after = self._write(state, keys[..., t : t + 1, :], values[..., t : t + 1, :])
            state = where(mask[..., t], after, state)
        return state

    def _write_set_masked(self, state: State, keys: Tensor, values: Tensor, mask: Tensor) -> State:
        """Compute the state after the writes of sets of several sizes.

        The first rows of each set are its examples, and the largest set has no other rows. The
        state of an empty set is discarded. A store with its own `_write_set` may override this; the
        default calls `_write_set` once for each size.
        """
        if type(self)._write_set is Store._write_set:
            return self._write_masked(state, keys, values, mask)
        if self._tasks() is not None or transforms_are_active():
            raise ArgumentTypeError(
                f"{type(self).__name__}: write_set must take a mask with parameters of several "
                "tasks, got a store without _write_set_masked; implement it"
            )
        counts, after = mask.sum(-1), state
        for count in counts.unique().tolist():
            if count:
                same = self._write_set(state, keys[..., :count, :], values[..., :count, :])
                after = where(counts == count, same, after)
        return after

    def _check_count(self, count: int) -> None:
        """Check that a set of `count` examples can be written at once."""

    @abstractmethod
    def _read(self, state: State, queries: Tensor) -> Tensor:
        """Compute the reads of the queries."""

    def _check_rows(self, name: str, rows: Tensor, size: int) -> None:
        if rows.dim() < 2 or rows.shape[-1] != size:
            raise ShapeError(
                f"{type(self).__name__}: {name} must be (…, {'Q' if name == 'queries' else 'B'}, "
                f"{size}), got shape {tuple(rows.shape)}; set "
                f"{'value_size' if name == 'values' else 'key_size'} or project them"
            )

    def _check_queries(self, state: State, queries: Tensor) -> None:
        self._check_rows("queries", queries, self.key_size)
        self._check_axes("queries", queries, 3)
        self.check_state(state, *queries.shape[:-2])


class SlotStore(Store[State]):
    """A store with M slots that hold one written example each. Not for direct use.

    A read averages the slots, weighted by `read_weights`. Once all slots are full, `write`
    overwrites the oldest examples, and `write_set` the oldest sets, each of them completely. A set
    must fit into the slots. A state counts the examples that were `written` and those that were
    `overwritten`, both `(…)`.

    Attributes:
        slots: `M`, number of memory slots.
    """

    slots: int

    def _check_count(self, count: int) -> None:
        if count > self.slots:
            raise ArgumentError(
                f"{type(self).__name__}: a set of {count} examples does not fit into "
                f"{self.slots} slots; create the memory with slots={count} or more, or write the "
                f"examples in order, which keeps the last {self.slots}"
            )

    def read_weights(self, state: State, queries: Tensor) -> Tensor:
        """Compute the weight of each slot in the read of a query; with several hops, in the first.

        The weights sum to 1. They are all 0 in a blank memory.

        Shapes:
            queries `(…, Q, K)` -> `(…, Q, M)`.

        Raises:
            ShapeError: queries and state do not fit this memory or each other.
            ArgumentTypeError: the state belongs to another kind of memory.
        """
        self._check_queries(state, queries)
        return self._read_weights(state, queries)

    @abstractmethod
    def examples(self, state: State) -> Tensor:
        """Return the number of the example in each slot, or -1 if the slot is empty.

        Examples are numbered from 0 in the order of writing.

        Shapes:
            `(…, M)`, int64.
        """

    @abstractmethod
    def _read_weights(self, state: State, queries: Tensor) -> Tensor:
        """Compute the weight of each slot in the read of a query."""


class FastWeights(Store[State]):
    """A store that is a matrix, updated by outer products. Not for direct use.

    The examples are summed, so there are no read weights. `kernel` computes how much each written
    key contributes to a read.
    """

    @abstractmethod
    def kernel(self, queries: Tensor, keys: Tensor, in_order: bool = True) -> Tensor:
        """Compute the coefficient of each written example in the read of a query.

        Args:
            in_order: whether the keys were written one by one, by `write`, or by `write_set`.

        Shapes:
            queries `(…, Q, K)`, keys `(…, B, K)`, in the order of writing -> `(…, Q, B)`.
        """


def _most(mask: Tensor) -> int | None:
    """Return the largest number of examples of a set; None under a transform of torch."""
    return None if transforms_are_active() else int(mask.sum(-1).max()) if mask.numel() else 0


STORES: Registry[type[Store[Any]]] = Registry("store")
"""Every store that is not a recurrent layer; each takes `(key_size, value_size, *, dtype, …)`."""
