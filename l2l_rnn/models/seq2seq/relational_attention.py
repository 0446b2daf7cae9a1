"""Attention with several heads that also depends on relations between queries and rows."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.axes import align_tasks
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError
from l2l_rnn.nn import Embedding, Linear


class Relations(NamedTuple):
    """Relations of queries to the rows of K groups, such as the tokens of K pairs.

    Attributes:
        kinds: number of the relation of each query to each row, `(…, Q, M)`.
        groups: number of the relation of each query to each group, `(…, Q, K)`.
        features: further features of the relation to each group, `(…, Q, K, R)`.
        group: the group of each row, `(…, M)`.
        members: 1 where a row is in a group, else 0, `(…, M, K)`.
    """

    kinds: Tensor
    groups: Tensor
    features: Tensor
    group: Tensor
    members: Tensor

    def biases(self, weights: Tensor) -> Tensor:
        """Compute the bias of each row, as a linear function of the features of its group.

        Args:
            weights: the weight of each feature, by query.

        Shapes:
            weights `(…, Q, heads, R)` -> `(…, heads, Q, M)`.
        """
        biases = (weights @ self.features.mT).movedim(-2, -3)  # (…, heads, Q, K)
        index = self.group.unsqueeze(-2).unsqueeze(-2)
        return biases.gather(-1, index.expand(*biases.shape[:-1], index.shape[-1]))


class RelationalAttention(nn.Module):
    """Scaled dot-product attention whose scores also depend on relations to the rows.

    `softmax_m(q · k_m / sqrt(d) + b_r(m))` for each head, where `r(m)` is the number of the
    relation to row m, and `b` is a learned table, or is computed from the query. A linear function
    of further features of the relation, with weights computed from the query, is added. Besides the
    sum of the values, the result has a projection of the total weight of each relation and feature
    of the groups of rows. One more row means "nothing": it has a learned key and the value 0, so
    the result is defined without any row.

    Args:
        size: `H`, features of queries, keys, values and results.
        heads: number of heads; divides `size`.
        kinds: number of relations to rows; 0 for plain attention.
        groups: number of relations to groups.
        features: `R`, number of features of relations to groups.
        by_query: whether `b` is computed from the query.

    Shapes:
        queries `(…, Q, H)`, keys and values `(…, M, H)`, bias, added to the scores, broadcastable
        to `(…, Q, M)` -> `(…, Q, H)`.

    Raises:
        ArgumentError: a size is not a positive integer, or `heads` does not divide `size`.

    Example:
        >>> attention = RelationalAttention(8, heads=2)
        >>> attention(torch.zeros(5, 8), torch.zeros(3, 8), torch.zeros(3, 8)).shape
        torch.Size([5, 8])

    Source: A. Vaswani et al., 2017, Attention Is All You Need, section 3.2; biases by relation
    after P. Shaw et al., 2018, Self-Attention with Relative Position Representations.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        size: int,
        heads: int = 2,
        kinds: int = 0,
        groups: int = 1,
        features: int = 0,
        by_query: bool = False,
    ) -> None:
        super().__init__()
        who = "RelationalAttention"
        size, heads = check_int(who, "size", size), check_int(who, "heads", heads)
        if size % heads:
            raise ArgumentError(
                f"{who}: heads must divide size={size}, got {heads}; choose another number"
            )
        self.heads, self.kinds, self.groups = heads, kinds, groups
        self.query, self.key = Linear(size, size), Linear(size, size)
        self.value, self.result = Linear(size, size), Linear(size, size)
        self.nothing = nn.Parameter(torch.zeros(1, size))
        self.table: Embedding | None = None
        self.biases: Linear | None = None
        self.relations: Linear | None = None
        self.feature_weights: Linear | None = None
        if kinds:
            self.relations = Linear(heads * (groups + features), size)
            if features:
                self.feature_weights = zero_linear(size, heads * features)
            if by_query:
                self.biases = zero_linear(size, heads * kinds)
            else:
                self.table = Embedding(kinds, heads)
                nn.init.zeros_(self.table.weight)

    def forward(
        self,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        bias: Tensor | None = None,
        relations: Relations | None = None,
    ) -> Tensor:
        q = self.query(queries) / math.sqrt(queries.shape[-1] / self.heads)
        k = self.key(keys)
        nothing = align_tasks(self.nothing, 2, k).expand(*k.shape[:-2], 1, -1)
        q, k, v, nothing = map(self._split, (q, k, self.value(values), nothing))
        scores = q @ k.mT  # (…, heads, Q, M)
        if relations is not None:
            scores = scores + self._biases(queries, relations.kinds, scores)
            if self.feature_weights is not None:
                own = self.feature_weights(queries).unflatten(-1, (self.heads, -1))
                scores = scores + relations.biases(own)
        if bias is not None:
            scores = scores + bias.unsqueeze(-3)
        weights = torch.cat([scores, q @ nothing.mT], -1).softmax(-1)[..., :-1]
        result: Tensor = self.result((weights @ v).movedim(-3, -2).flatten(-2))
        if self.relations is None or relations is None:
            return result
        by_group = weights @ relations.members.unsqueeze(-3)  # (…, heads, Q, K)
        index = relations.groups.unsqueeze(-3).expand(by_group.shape)
        totals = by_group.new_zeros(*by_group.shape[:-1], self.groups)
        totals = totals.scatter_add(-1, index, by_group).movedim(-3, -2)  # (…, Q, heads, groups)
        if self.feature_weights is not None:
            features = by_group.movedim(-3, -2) @ relations.features  # (…, Q, heads, R)
            totals = torch.cat([totals, features], -1)
        return result + self.relations(totals.flatten(-2))

    def _biases(self, queries: Tensor, kinds: Tensor, like: Tensor) -> Tensor:
        """Return the bias of each score, `(…, heads, Q, M)`."""
        if self.table is not None:
            biases: Tensor = self.table(kinds)  # (…, Q, M, heads)
            return biases.movedim(-1, -3)
        if self.biases is None:
            return torch.zeros_like(like)
        computed = self.biases(queries).unflatten(-1, (self.heads, self.kinds)).movedim(-2, -3)
        return computed.gather(-1, kinds.unsqueeze(-3).expand(like.shape))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).movedim(-2, -3)


def zero_linear(size: int, outputs: int) -> Linear:
    """Return a linear layer that is initially 0."""
    layer = Linear(size, outputs)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
