"""The key-value memory: slots that are read by attention to their keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.axes import align_tasks
from l2l_rnn.checks import check_choice
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.addressing import bounded_exp, masked_softmax
from l2l_rnn.memory.store import STORES
from l2l_rnn.memory.stores.item_store import ItemState, ItemStore

# Initial sharpness of the similarities that have one.
_SHARPNESS = {"dot": None, "cosine": 10.0, "distance": 1.0}


@STORES.register("key-value")
@configurable
class KeyValueMemory(ItemStore):
    """Slots of keys and values: `p_i = softmax_i(A q . A k_i)`, and the read is `sum_i p_i v_i`.

    Each hop except the last computes a new query from its read,
    `A q <- R_j (A q + C sum_i p_i v_i)`. With one hop, the read is an average of the values, and no
    parameter acts on them. Permuting the classes in the values then permutes them in the read.

    Args:
        key_size, value_size: `K` and `V`, the sizes of a key and of a value.
        embedding_size: `E`, size of an embedded key; None for `K`, and `A` is then initially the
            identity.
        slots: `M`, number of memory slots; when all are full, a write replaces the oldest example.
        hops: number of lookups per read.
        similarity: `"dot"`, as in the paper; `"cosine"`, the dot product of unit vectors; or
            `"distance"`, `-|A q - A k_i|^2`. The last two are multiplied by a learned sharpness.

    Attributes:
        embedding: `A`.
        hop_matrices, value_embeddings: `R` and `C` of each hop except the last, stacked; None with
            one hop.
        log_sharpness: the logarithm of the sharpness; None with `"dot"`.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, queries `(…, Q, K)` -> reads `(…, Q, V)`.

    Raises:
        ArgumentError: a size is not a positive integer, or the similarity is unknown.
        ShapeError: in a call, the keys, values, queries or state have the wrong shape.

    Example:
        >>> store = KeyValueMemory(key_size=2, value_size=1)
        >>> state = store.write(store.blank(), 20 * torch.eye(2), torch.tensor([[3.0], [5.0]]))
        >>> store.read(state, torch.tensor([[0.0, 1.0]]))
        tensor([[5.]], grad_fn=...)

    Source: A. Miller et al., 2016, Key-Value Memory Networks for Directly Reading Documents,
    section 3.1. There the last hop's query is compared with candidate answers; here the result is
    the read itself.
    """

    def __init__(
        self,
        key_size: int,
        value_size: int,
        *,
        embedding_size: int | None = None,
        slots: int = 32,
        hops: int = 1,
        similarity: str = "dot",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(key_size, value_size, embedding_size, slots, hops)
        self.similarity = check_choice("KeyValueMemory", "similarity", similarity, _SHARPNESS)
        size = self.embedding_size

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.embedding = empty(size, key_size)
        self.hop_matrices = empty(hops - 1, size, size) if hops > 1 else None
        self.value_embeddings = empty(hops - 1, size, value_size) if hops > 1 else None
        self.log_sharpness = None if _SHARPNESS[similarity] is None else empty(1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set `R`, and `A` if `E` is `K`, to the identity; draw the other parameters at random."""
        start = _SHARPNESS[self.similarity]
        with torch.no_grad():
            if self.embedding_size == self.key_size:
                nn.init.eye_(self.embedding)
            else:
                nn.init.xavier_uniform_(self.embedding)
            if self.hop_matrices is not None and self.value_embeddings is not None:
                self.hop_matrices.copy_(torch.eye(self.embedding_size).expand_as(self.hop_matrices))
                nn.init.normal_(self.value_embeddings, std=0.1)
            if self.log_sharpness is not None and start is not None:
                self.log_sharpness.fill_(math.log(start))

    def _layout_of_slots(self) -> tuple[int, int, Tensor]:
        return self.embedding_size, self.value_size, self.embedding

    def _items(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return functional.linear(keys, self.embedding), values

    def _lookup(self, queries: Tensor, keys: Tensor, values: Tensor, ages: Tensor) -> Tensor:
        filled = (ages > 0).unsqueeze(-2)
        u = functional.linear(queries, self.embedding)
        reads = masked_softmax(self._scores(u, keys), filled) @ values
        if self.hop_matrices is not None and self.value_embeddings is not None:
            for hop in range(self.hops - 1):
                back = self.value_embeddings[..., hop, :, :], self.hop_matrices[..., hop, :, :]
                u = functional.linear(u + functional.linear(reads, back[0]), back[1])
                reads = masked_softmax(self._scores(u, keys), filled) @ values
        return reads

    def _read_weights(self, state: ItemState, queries: Tensor) -> Tensor:
        u = functional.linear(queries, self.embedding)
        return masked_softmax(self._scores(u, state.keys), (state.ages > 0).unsqueeze(-2))

    def _scores(self, u: Tensor, keys: Tensor) -> Tensor:
        if self.log_sharpness is None:
            return u @ keys.mT
        if self.similarity == "cosine":
            scores = functional.cosine_similarity(keys, u)
        else:  # without |u|^2, which is the same for all slots and cancels in the softmax
            scores = 2 * (u @ keys.mT) - keys.square().sum(-1).unsqueeze(-2)
        return align_tasks(bounded_exp(self.log_sharpness), 1, scores) * scores
