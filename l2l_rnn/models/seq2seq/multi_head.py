"""Attention with several heads, for queries of any number of sequences over one set of rows."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.axes import align_tasks
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError
from l2l_rnn.nn import Linear


class MultiHeadAttention(nn.Module):
    """Scaled dot-product attention with several heads and one more row that means "nothing".

    `softmax(Q K^T / sqrt(d)) V` for each head. The additional row has a learned key and the value
    0, so the result is defined without any row, and a query can find nothing.

    Args:
        size: `H`, features of queries, keys and results.
        heads: number of heads; divides `size`.
        value_size: `V`, features of the values; None for `size`.

    Shapes:
        queries `(…, Q, H)`, keys `(…, M, H)`, values `(…, M, V)`, bias, added to the scores,
        broadcastable to `(…, Q, M)` -> `(…, Q, H)`.

    Raises:
        ArgumentError: a size is not a positive integer, or `heads` does not divide `size`.

    Example:
        >>> attention = MultiHeadAttention(8, heads=2)
        >>> attention(torch.zeros(5, 8), torch.zeros(3, 8), torch.zeros(3, 8)).shape
        torch.Size([5, 8])

    Source: A. Vaswani et al., 2017, Attention Is All You Need, section 3.2.
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, size: int, heads: int = 2, value_size: int | None = None) -> None:
        super().__init__()
        who = "MultiHeadAttention"
        size, heads = check_int(who, "size", size), check_int(who, "heads", heads)
        if size % heads:
            raise ArgumentError(
                f"{who}: heads must divide size={size}, got {heads}; choose another number"
            )
        self.heads = heads
        self.query, self.key = Linear(size, size), Linear(size, size)
        self.value = Linear(size if value_size is None else value_size, size)
        self.result = Linear(size, size)
        self.nothing = nn.Parameter(torch.zeros(1, size))

    def forward(
        self, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        q = self.query(queries) / math.sqrt(queries.shape[-1] / self.heads)
        k, v = self.key(keys), self.value(values)
        nothing = align_tasks(self.nothing, 2, k).expand(*k.shape[:-2], 1, -1)
        k, v = torch.cat([k, nothing], -2), F.pad(v, (0, 0, 0, 1))
        q, k, v = map(self._split, (q, k, v))  # (…, heads, rows, d)
        scores = q @ k.mT
        if bias is not None:
            scores = scores + F.pad(bias, (0, 1)).unsqueeze(-3)
        return self.result((scores.softmax(-1) @ v).movedim(-3, -2).flatten(-2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).movedim(-2, -3)
