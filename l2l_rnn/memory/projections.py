"""From the steps of a sequence to what a memory is asked by and what is written to it."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn import functional


class KeyValueProjection(nn.Module):
    """Compute a query, a key and a value of each step, `q, k, v = W x`, in one product.

    Args:
        input_size: `F`, features of a step.
        key_size: `K`, of query and key.
        value_size: `V`.

    Attributes:
        weight: `W`, the rows of q, k and v in this order.

    Shapes:
        `(…, S, F)` -> `(…, S, K)` twice and `(…, S, V)`; with a weight `(N, …)` the input is
        `(N, …)`.

    Example:
        >>> q, k, v = KeyValueProjection(3, 4, 2)(torch.zeros(5, 7, 3))
        >>> q.shape, v.shape
        (torch.Size([5, 7, 4]), torch.Size([5, 7, 2]))
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        key_size: int,
        value_size: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.sizes = [key_size, key_size, value_size]
        self.weight = nn.Parameter(
            torch.empty(sum(self.sizes), input_size, device=device, dtype=dtype)
        )
        nn.init.uniform_(self.weight, -math.sqrt(3 / input_size), math.sqrt(3 / input_size))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = functional.linear(x, self.weight).split(self.sizes, -1)
        return q, k, v
