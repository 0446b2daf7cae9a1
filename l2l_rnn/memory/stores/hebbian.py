"""Hebbian fast weights as a store."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.fast_weights import hebbian_rule
from l2l_rnn.memory.store import STORES, FastWeights


class HebbianState(NamedTuple):
    """State of a `HebbianFastWeights`.

    Attributes:
        weights: `A`, the fast weights, `(…, V, K)`.
    """

    weights: Tensor


@STORES.register("hebbian")
@configurable
class HebbianFastWeights(FastWeights[HebbianState]):
    """Fast weights that add outer products, `A_t = lambda A_{t-1} + eta v_t k_t^T`.

    Reads are `A q`. The store has no parameters. `HebbianRNN` is the recurrent network that uses
    this rule. `write_set` gives the mean over all orders of its B examples,
    `A <- lambda^B A + eta m sum_t v_t k_t^T`, where `m` is the mean of `lambda^0 … lambda^(B-1)`.

    Args:
        key_size, value_size: `K` and `V`, the sizes of a key and of a value.
        decay: `lambda`, the factor by which the fast weights decay at each write.
        lr: `eta`, the learning rate of the fast weights.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, queries `(…, Q, K)` -> reads `(…, Q, V)`.

    Raises:
        ArgumentError: a size is not a positive integer, `decay` is not in [0, 1], or `lr` is not
            positive.
        ShapeError: in a call, the keys, values, queries or state have the wrong shape.

    Example:
        >>> store = HebbianFastWeights(key_size=2, value_size=1, decay=1.0, lr=1.0)
        >>> state = store.write(store.blank(), torch.eye(2), torch.tensor([[3.0], [5.0]]))
        >>> store.read(state, torch.tensor([[0.0, 1.0]]))
        tensor([[5.]])

    Source: J. Ba, G. Hinton, V. Mnih, J. Z. Leibo and C. Ionescu, 2016, Using Fast Weights to
    Attend to the Recent Past, eq. 1, with a key and a value in place of a hidden state.
    """

    additive = True

    def __init__(
        self,
        key_size: int,
        value_size: int,
        *,
        decay: float = 0.95,
        lr: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "HebbianFastWeights"
        self.key_size = check_int(who, "key_size", key_size)
        self.value_size = check_int(who, "value_size", value_size)
        self.decay = check_number(who, "decay", decay, least=0, most=1)
        self.lr = check_number(who, "lr", lr, above=0)
        like = torch.zeros((), device=device, dtype=dtype)  # sets the dtype and device of states
        self.register_buffer("like", like, persistent=False)

    def extra_repr(self) -> str:
        return f"{self.key_size}, {self.value_size}, decay={self.decay}, lr={self.lr}"

    def kernel(self, queries: Tensor, keys: Tensor, in_order: bool = True) -> Tensor:
        """Compute the coefficient of each written value in a read, `eta lambda^age (q . k)`.

        Args:
            in_order: whether the keys were written one by one. The keys of a set share the mean of
                `lambda^age`.

        Shapes:
            queries `(…, Q, K)`, keys `(…, B, K)`, in the order of writing -> `(…, Q, B)`.
        """
        products = self.lr * (queries @ keys.mT)
        if not in_order:
            return self._mean_decay(keys.shape[-2]) * products
        ages = torch.arange(keys.shape[-2] - 1, -1, -1, device=keys.device, dtype=keys.dtype)
        return products * self.decay**ages

    def _tasks(self) -> int | None:
        return None

    def _blank(self, *batch: int) -> HebbianState:
        zero = self.like.new_zeros(())
        return HebbianState(zero.expand(*batch, self.value_size, self.key_size))

    def _write(self, state: HebbianState, keys: Tensor, values: Tensor) -> HebbianState:
        weights = hebbian_rule(keys, values, state.weights, decay=self.decay, lr=self.lr)
        return HebbianState(weights)

    def _write_set(self, state: HebbianState, keys: Tensor, values: Tensor) -> HebbianState:
        count = keys.shape[-2]
        lr, weights = self.lr * self._mean_decay(count), self.decay**count * state.weights
        return HebbianState(torch.add(weights, values.mT @ keys, alpha=lr))

    def _write_set_masked(
        self, state: HebbianState, keys: Tensor, values: Tensor, mask: Tensor
    ) -> HebbianState:
        sums = (values * mask.unsqueeze(-1)).mT @ keys
        if self.decay == 1:
            return HebbianState(torch.add(state.weights, sums, alpha=self.lr))
        count = mask.sum(-1).clamp(min=1).to(sums.dtype)[..., None, None]
        left = self.decay**count
        mean = (1 - left) / (count * (1 - self.decay))  # as in _mean_decay
        return HebbianState(left * state.weights + self.lr * mean * sums)

    def _mean_decay(self, count: int) -> float:
        """Return the mean of `lambda^age` over the examples of a set."""
        if self.decay == 1 or count == 0:
            return 1.0
        return (1 - self.decay**count) / (count * (1 - self.decay))

    def _read(self, state: HebbianState, queries: Tensor) -> Tensor:
        return queries @ state.weights.mT
