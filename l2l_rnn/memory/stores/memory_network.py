"""The end-to-end memory network: slots that are read in several hops."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.axes import align_tasks
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.addressing import masked_softmax
from l2l_rnn.memory.store import STORES
from l2l_rnn.memory.stores.item_store import ItemState, ItemStore


@STORES.register("memory-network")
@configurable
class MemoryNetwork(ItemStore):
    """Read in several hops: `p_i = softmax_i(u . m_i)`, `u <- u + sum_i p_i c_i`, result `W u`.

    An example `s_i = [k_i; v_i]` is embedded twice, `m_i = A s_i + T_A(i)` and `c_i = C s_i +
    T_C(i)`. The temporal encoding `T` holds a learned vector for each age of an example, counted in
    writes; all examples of a set have the same age. The query is embedded as `u = B q`. All hops
    share the embeddings, and between two hops `u` is multiplied by a matrix `H`.

    Args:
        key_size, value_size: `K` and `V`, the sizes of a key and of a value.
        embedding_size: `E`, size of an embedded example; None for `K`.
        slots: `M`, number of memory slots; when all are full, a write replaces the oldest example.
        hops: number of lookups per read.
        temporal: whether to add the temporal encoding.

    Attributes:
        input_embedding, output_embedding, query_embedding: `A`, `C` and `B`.
        input_ages, output_ages: `T_A` and `T_C`, `(M, E)`; None if `temporal` is False.
        hop_matrix: `H`; None with one hop.
        answer: `W`.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, queries `(…, Q, K)` -> reads `(…, Q, V)`.

    Raises:
        ArgumentError: a size is not a positive integer.
        ShapeError: in a call, the keys, values, queries or state have the wrong shape.

    Example:
        >>> store = MemoryNetwork(key_size=4, value_size=2, hops=3)
        >>> state = store.write(store.blank(), torch.randn(7, 4), torch.randn(7, 2))
        >>> store.read(state, torch.randn(5, 4)).shape, state.written.item()
        (torch.Size([5, 2]), 7)

    Source: S. Sukhbaatar, A. Szlam, J. Weston and R. Fergus, 2015, End-To-End Memory Networks,
    section 2, with layer-wise tying, and section 4.1 for the temporal encoding. Here the result has
    no softmax.
    """

    def __init__(
        self,
        key_size: int,
        value_size: int,
        *,
        embedding_size: int | None = None,
        slots: int = 32,
        hops: int = 3,
        temporal: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(key_size, value_size, embedding_size, slots, hops)
        size, item = self.embedding_size, key_size + value_size

        def drawn(rows: int, columns: int) -> nn.Parameter:
            weight = torch.empty(rows, columns, device=device, dtype=dtype)
            return nn.Parameter(nn.init.xavier_uniform_(weight))

        self.query_embedding = drawn(size, key_size)
        self.input_embedding = drawn(size, item)
        self.output_embedding = drawn(size, item)
        self.answer = drawn(value_size, size)
        self.hop_matrix = drawn(size, size) if hops > 1 else None
        self.input_ages = drawn(slots, size) if temporal else None
        self.output_ages = drawn(slots, size) if temporal else None

    def _layout_of_slots(self) -> tuple[int, int, Tensor]:
        return self.embedding_size, self.embedding_size, self.query_embedding

    def _items(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        items = torch.cat([keys, values], -1)
        return (
            functional.linear(items, self.input_embedding),
            functional.linear(items, self.output_embedding),
        )

    def _lookup(self, queries: Tensor, keys: Tensor, values: Tensor, ages: Tensor) -> Tensor:
        keys = _with_ages(keys, self.input_ages, ages)
        values = _with_ages(values, self.output_ages, ages)
        filled = (ages > 0).unsqueeze(-2)
        u = functional.linear(queries, self.query_embedding)
        for hop in range(self.hops):
            reads = masked_softmax(u @ keys.mT, filled) @ values
            if hop and self.hop_matrix is not None:
                u = functional.linear(u, self.hop_matrix)
            u = u + reads
        return functional.linear(u, self.answer)

    def _read_weights(self, state: ItemState, queries: Tensor) -> Tensor:
        keys = _with_ages(state.keys, self.input_ages, state.ages)
        u = functional.linear(queries, self.query_embedding)
        return masked_softmax(u @ keys.mT, (state.ages > 0).unsqueeze(-2))


def _with_ages(items: Tensor, vectors: Tensor | None, ages: Tensor) -> Tensor:
    """Add the vector of each slot's age, `(…, M)`, to the slots; age 1 has the first vector."""
    if vectors is None:
        return items
    index = (ages - 1).clamp_min(0)
    if vectors.dim() == 2:
        return items + F.embedding(index, vectors)
    table = align_tasks(vectors, 2, items).expand_as(items)
    return items + table.gather(-2, index.unsqueeze(-1).expand_as(items))
