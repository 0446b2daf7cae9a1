"""Fast weights with the delta rule, as a store."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.checks import check_choice, check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.functional.memory.addressing import unit_vectors
from l2l_rnn.functional.memory.fast_weights import delta_rule, delta_rule_of_set
from l2l_rnn.memory.memory import leading_axis
from l2l_rnn.memory.store import STORES, FastWeights


class DeltaState(NamedTuple):
    """State of a `DeltaFastWeights`.

    Attributes:
        weights: `W`, the fast weights, `(…, V, K)`.
    """

    weights: Tensor


@STORES.register("delta")
@configurable
class DeltaFastWeights(FastWeights[DeltaState]):
    """Fast weights with corrective writes, `W_t = W_{t-1} + b_t (v_t - W_{t-1} p_t) p_t^T`.

    `p = phi(k)` are the features of the key, and `b_t = sigmoid(w . k_t + c)` is a gate. Reads are
    `W phi(q)`. In a `MemoryLayer`, a step writes, then reads; the steps are computed in blocks.

    `write_set` writes B examples at once, without an order. It minimizes
    `|W' - W|^2 + sum_t c_t |v_t - W' p_t|^2` over `W'`, where `c_t = b_t / (1 - b_t |p_t|^2)` makes
    a set of one example equal to a write.

    Args:
        key_size, value_size: `K` and `V`, the sizes of a key and of a value.
        features: `phi`: `"elu"` for `elu(k) + 1` divided by its sum, or `"unit"` for k scaled to
            norm 1.
        gate: initial value of `sigmoid(c)`.

    Attributes:
        gate_weight, gate_bias: `w` and `c`.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, queries `(…, Q, K)` -> reads `(…, Q, V)`.

    Raises:
        ArgumentError: a size is not a positive integer, `features` is unknown, or `gate` is not in
            (0, 1).
        ShapeError: in a call, the keys, values, queries or state have the wrong shape.

    Example:
        >>> store = DeltaFastWeights(key_size=2, value_size=1, features="unit", gate=0.5)
        >>> key, value = torch.tensor([[0.0, 1.0]]), torch.tensor([[4.0]])
        >>> state = store.write(store.blank(), key, value)
        >>> store.read(state, key), store.read(store.write(state, key, value), key)
        (tensor([[2.]], grad_fn=...), tensor([[3.]], grad_fn=...))

    Source: I. Schlag, K. Irie and J. Schmidhuber, 2021, Linear Transformers Are Secretly Fast
    Weight Programmers, eq. 24 and section 4.2; `elu + 1` is from A. Katharopoulos et al., 2020, and
    keys of norm 1 are from S. Yang et al., 2024. There the gate depends on the step; here it
    depends on the key, because a store has no step.
    """

    writes_first = True

    def __init__(
        self,
        key_size: int,
        value_size: int,
        *,
        features: str = "elu",
        gate: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "DeltaFastWeights"
        self.key_size = check_int(who, "key_size", key_size)
        self.value_size = check_int(who, "value_size", value_size)
        self.features = check_choice(who, "features", features, ("elu", "unit"))
        check_number(who, "gate", gate, above=0, below=1)
        self.gate_weight = nn.Parameter(torch.zeros(1, key_size, device=device, dtype=dtype))
        start = torch.full((1,), gate, device=device, dtype=dtype).logit()
        self.gate_bias = nn.Parameter(start)

    def extra_repr(self) -> str:
        return f"{self.key_size}, {self.value_size}, features={self.features!r}"

    def scan(
        self,
        state: DeltaState,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        inside: Tensor | None = None,
    ) -> tuple[Tensor, DeltaState]:
        gates = self._gates(keys)
        if inside is not None:
            gates = gates * inside
        p, q = self._phi(keys), self._phi(queries)
        reads, weights = delta_rule(q, p, values, gates, state.weights)
        return reads, DeltaState(weights)

    def kernel(self, queries: Tensor, keys: Tensor, in_order: bool = True) -> Tensor:
        """Compute the coefficient of each write in a read, `phi(q) . phi(k)`.

        A written value is `b (v - W phi(k))`, with the `W` before the write.

        Shapes:
            queries `(…, Q, K)`, keys `(…, B, K)` -> `(…, Q, B)`.
        """
        return self._phi(queries) @ self._phi(keys).mT

    def _tasks(self) -> int | None:
        return leading_axis(self.gate_weight, 2)

    def _blank(self, *batch: int) -> DeltaState:
        zero = self.gate_weight.new_zeros(())
        return DeltaState(zero.expand(*batch, self.value_size, self.key_size))

    def _write(self, state: DeltaState, keys: Tensor, values: Tensor) -> DeltaState:
        if keys.shape[-2] == 0:
            return state
        p = self._phi(keys)
        return DeltaState(delta_rule(p, p, values, self._gates(keys), state.weights)[1])

    def _write_set(self, state: DeltaState, keys: Tensor, values: Tensor) -> DeltaState:
        gates = self._gates(keys)
        return DeltaState(delta_rule_of_set(self._phi(keys), values, gates, state.weights))

    def _write_set_masked(
        self, state: DeltaState, keys: Tensor, values: Tensor, mask: Tensor
    ) -> DeltaState:
        gates = self._gates(keys) * mask  # a gate of 0 writes nothing
        return DeltaState(delta_rule_of_set(self._phi(keys), values, gates, state.weights))

    def _read(self, state: DeltaState, queries: Tensor) -> Tensor:
        return self._phi(queries) @ state.weights.mT

    def _phi(self, keys: Tensor) -> Tensor:
        if self.features == "unit":
            return unit_vectors(keys)
        # elu(k) + 1 = exp(k) for k <= 0, where adding 1 to elu(k) would lose digits. The quotient
        # does not depend on a common factor, exp(-top), so a key of very negative numbers is not 0.
        top = keys.detach().amax(-1, keepdim=True).clamp(max=0)
        positive = torch.where(keys > 0, keys + 1, (keys.clamp(max=0) - top).exp())
        return positive / positive.sum(-1, keepdim=True)

    def _gates(self, keys: Tensor) -> Tensor:
        return functional.linear(keys, self.gate_weight, self.gate_bias).squeeze(-1).sigmoid()
