"""Memory networks: slots that are looked up by attention, in one hop or several."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.memory.attention import cosine_similarity, masked_softmax
from l2l_rnn.memory.item_memory import ItemMemory, ItemState


class KeyValueMemory(ItemMemory):
    """Slots of keys and values: `p_i = softmax_i(A q . A k_i)`, and the answer is `sum_i p_i v_i`.

    Each hop but the last makes a new query of what it finds, `A q <- R_j (A q + C sum_i p_i v_i)`.
    With one hop nothing learned touches the values: the answer is their average, so that classes
    that change their places in the values change them in the answer alike.

    Args:
        input_size: `F`, features of a step; None for a store without the parameters of a layer.
        key_size: `K`.
        value_size: `V`, also the size of the outputs; None for `K`.
        embedding_size: `E`, of embedded keys; None for `K`, and `A` then starts as the identity.
        slots: `M`; of more items the oldest are overwritten, and `state.written` counts them all.
        hops: how often the memory is looked up for one answer.
        similarity: `"dot"`, the paper's; `"cosine"`, that of vectors of length 1; or `"distance"`,
            `-|A q - A k_i|^2`. The two latter are multiplied by a learned `sharpness`.

    Attributes:
        embedding: `A`.
        hop_matrices, value_embeddings: `R` and `C` of each hop but the last, stacked; None for one.
        log_sharpness: the logarithm of the sharpness; None with `"dot"`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> `(…, S, V)`; a store's are those of `Memory`.

    Raises:
        ArgumentError: a size is not a positive integer, the similarity is not known, or a store is
            used as a layer.
        ShapeError: at a call, as `Memory`.

    Example:
        >>> memory = KeyValueMemory(None, key_size=2, value_size=1)
        >>> state = memory.write(memory.blank(), 20 * torch.eye(2), torch.tensor([[3.0], [5.0]]))
        >>> memory.read(state, torch.tensor([[0.0, 1.0]]))
        tensor([[5.]], grad_fn=...)

    Source: A. Miller et al., 2016, Key-Value Memory Networks for Directly Reading Documents,
    section 3.1. There the last hop's query is compared with candidate answers; here the values that
    it finds are the answer.
    """

    def __init__(
        self,
        input_size: int | None,
        key_size: int = 32,
        value_size: int | None = None,
        *,
        embedding_size: int | None = None,
        slots: int = 32,
        hops: int = 1,
        similarity: str = "dot",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size, key_size, value_size, embedding_size, slots, hops, device, dtype
        )
        if similarity not in ("dot", "cosine", "distance"):
            raise ArgumentError(
                "KeyValueMemory: similarity must be 'dot', 'cosine' or 'distance', got "
                f"{similarity!r}"
            )
        self.similarity = similarity
        size = self.embedding_size

        def empty(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape, device=device, dtype=dtype))

        self.embedding = empty(size, key_size)
        self.hop_matrices = empty(hops - 1, size, size) if hops > 1 else None
        self.value_embeddings = empty(hops - 1, size, self.value_size) if hops > 1 else None
        self.log_sharpness = None
        if similarity != "dot":
            start = 10.0 if similarity == "cosine" else 1.0
            self.log_sharpness = nn.Parameter(
                torch.full((1,), math.log(start), device=device, dtype=dtype)
            )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start `A` and `R` as the identity, `C` at random; A at random if `E` is not `K`."""
        with torch.no_grad():
            if self.embedding_size == self.key_size:
                nn.init.eye_(self.embedding)
            else:
                nn.init.xavier_uniform_(self.embedding)
            if self.hop_matrices is not None and self.value_embeddings is not None:
                self.hop_matrices.copy_(torch.eye(self.embedding_size).expand_as(self.hop_matrices))
                nn.init.normal_(self.value_embeddings, std=0.1)

    def _slot_sizes(self) -> tuple[int, int, Tensor]:
        return self.embedding_size, self.value_size, self.embedding

    def _items(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return functional.linear(keys, self.embedding), values

    def _answer(self, queries: Tensor, keys: Tensor, values: Tensor, filled: Tensor) -> Tensor:
        u = functional.linear(queries, self.embedding)
        for hop in range(self.hops):
            found = masked_softmax(self._scores(u, keys), filled) @ values
            if hop + 1 < self.hops:
                back = _of_hop(self.value_embeddings, hop), _of_hop(self.hop_matrices, hop)
                u = functional.linear(u + functional.linear(found, back[0]), back[1])
        return found

    def attention(self, state: ItemState, queries: Tensor) -> Tensor:
        """Compute the weight of each slot in the first look-up: `(…, Q, K)` -> `(…, Q, M)`."""
        self._check_queries(state, queries)
        u = functional.linear(queries, self.embedding)
        return masked_softmax(self._scores(u, state.keys), self._filled(state.written))

    def _scores(self, u: Tensor, keys: Tensor) -> Tensor:
        if self.log_sharpness is None:
            return u @ keys.mT
        if self.similarity == "cosine":
            alike = cosine_similarity(u, keys)
        else:  # without |u|^2, which is the same for all slots
            alike = 2 * (u @ keys.mT) - keys.square().sum(-1).unsqueeze(-2)
        sharpness = self.log_sharpness.exp()  # (1,) or (N, 1)
        return alike * sharpness.reshape(
            *sharpness.shape[:-1], *[1] * (alike.dim() - sharpness.dim() + 1)
        )


class MemoryNetwork(ItemMemory):
    """Look up in several hops: `p_i = softmax_i(u . m_i)`, `u <- u + sum_i p_i c_i`, answer `W u`.

    An item `s_i = [k_i; v_i]` is embedded twice, `m_i = A s_i + T_A(i)` and `c_i = C s_i + T_C(i)`;
    `T` are learned vectors of an item's age, 0 for the newest (the temporal encoding). The query is
    embedded as `u = B q`. The embeddings are the same in every hop, and between two hops `u` goes
    through a matrix `H`.

    Args:
        input_size: `F`, features of a step; None for a store without the parameters of a layer.
        key_size: `K`.
        value_size: `V`, also the size of the outputs; None for `K`.
        embedding_size: `E`; None for `K`.
        slots: `M`; of more items the oldest are overwritten, and `state.written` counts them all.
        hops: how often the memory is looked up for one answer.
        temporal: whether there is a temporal encoding.

    Attributes:
        input_embedding, output_embedding, query_embedding: `A`, `C` and `B`.
        input_ages, output_ages: `T_A` and `T_C`, `(M, E)`; None if not `temporal`.
        hop_matrix: `H`; None with one hop.
        answer: `W`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> `(…, S, V)`; a store's are those of `Memory`.

    Raises:
        ArgumentError: a size is not a positive integer, or a store is used as a layer.
        ShapeError: at a call, as `Memory`.

    Example:
        >>> memory = MemoryNetwork(3, key_size=4, value_size=2, hops=3)
        >>> outputs, state = memory(torch.randn(5, 7, 3))
        >>> outputs.shape, state.written.tolist()
        (torch.Size([5, 7, 2]), [7, 7, 7, 7, 7])

    Source: S. Sukhbaatar, A. Szlam, J. Weston and R. Fergus, 2015, End-To-End Memory Networks,
    section 2, layer-wise tying, and section 4.1 for the temporal encoding; no softmax on the
    answer.
    """

    def __init__(
        self,
        input_size: int | None,
        key_size: int = 32,
        value_size: int | None = None,
        *,
        embedding_size: int | None = None,
        slots: int = 32,
        hops: int = 3,
        temporal: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            input_size, key_size, value_size, embedding_size, slots, hops, device, dtype
        )
        size, item = self.embedding_size, key_size + self.value_size

        def drawn(rows: int, columns: int) -> nn.Parameter:
            weight = torch.empty(rows, columns, device=device, dtype=dtype)
            return nn.Parameter(nn.init.xavier_uniform_(weight))

        self.query_embedding = drawn(size, key_size)
        self.input_embedding = drawn(size, item)
        self.output_embedding = drawn(size, item)
        self.answer = drawn(self.value_size, size)
        self.hop_matrix = drawn(size, size) if hops > 1 else None
        self.input_ages = drawn(slots, size) if temporal else None
        self.output_ages = drawn(slots, size) if temporal else None

    def _slot_sizes(self) -> tuple[int, int, Tensor]:
        return self.embedding_size, self.embedding_size, self.query_embedding

    def _items(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        items = torch.cat([keys, values], -1)
        return (
            functional.linear(items, self.input_embedding),
            functional.linear(items, self.output_embedding),
        )

    def _answer(self, queries: Tensor, keys: Tensor, values: Tensor, filled: Tensor) -> Tensor:
        keys = _with_ages(keys, self.input_ages)
        values = _with_ages(values, self.output_ages)
        u = functional.linear(queries, self.query_embedding)
        for hop in range(self.hops):
            found = masked_softmax(u @ keys.mT, filled) @ values
            if hop and self.hop_matrix is not None:
                u = functional.linear(u, self.hop_matrix)
            u = u + found
        return functional.linear(u, self.answer)

    def attention(self, state: ItemState, queries: Tensor) -> Tensor:
        """Compute the weight of each slot in the first look-up: `(…, Q, K)` -> `(…, Q, M)`."""
        self._check_queries(state, queries)
        keys = _with_ages(state.keys, self.input_ages)
        u = functional.linear(queries, self.query_embedding)
        return masked_softmax(u @ keys.mT, self._filled(state.written))


def _of_hop(stacked: Tensor | None, hop: int) -> Tensor:
    """One hop's matrix: `(hops - 1, …)` or `(N, hops - 1, …)`."""
    return stacked[..., hop, :, :]  # type: ignore[index]


def _with_ages(items: Tensor, ages: Tensor | None) -> Tensor:
    """Add the vectors of ages, the newest item's first, to the slots, which end with it."""
    if ages is None:
        return items
    ages = ages.flip(-2)
    if ages.dim() == 3:
        ages = ages.reshape(len(ages), *[1] * (items.dim() - 3), *ages.shape[1:])
    return items + ages
