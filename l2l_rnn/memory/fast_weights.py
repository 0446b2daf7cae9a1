"""Fast weights: a memory that is a matrix, written by outer products."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn import functional
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.memory.attention import unit_vectors
from l2l_rnn.functional.memory.fast_weights import delta_rule, hebbian_rule
from l2l_rnn.memory.checks import check_sizes
from l2l_rnn.memory.memory import Memory, leading_axis
from l2l_rnn.memory.projections import KeyValueProjection

# Steps that a Hebbian layer takes before it makes its matrix anew, and the numbers in the matrices
# of all sequences below which it makes them at every step: then operations, not sums, take time.
_BLOCK, _FEW = 64, 50_000


class HebbianState(NamedTuple):
    """What a `HebbianFastWeights` holds: `h`, `(…, H)`, and `A`, `(…, V, K)`."""

    hidden: Tensor
    weights: Tensor


class DeltaState(NamedTuple):
    """What a `DeltaFastWeights` holds: `W`, `(…, V, K)`."""

    weights: Tensor


class HebbianFastWeights(Memory[HebbianState]):
    """A recurrent layer drawn to its recent past: `A_t = lambda A_{t-1} + eta h_t h_t^T`.

    A step settles in `S` rounds, from `h_0 = f(LN(z))` with `z = W h + C x + b`, by
    `h_{s+1} = f(LN(z + A h_s))`; `f` is relu and `LN` a layer norm with gain and bias. The last one
    is the output. As a store it adds `eta v k^T` to what is left of `A`, and reads `A q`.

    Args:
        input_size: `F`, features of a step; None for a store without the parameters of a layer.
        hidden_size: `H`, hidden units of the layer.
        key_size, value_size: `K` and `V`, of the store; None for `H`. A layer needs them so.
        decay: `lambda`, what is left of the fast weights after a step.
        rate: `eta`, how much of an outer product is added; None for 0.5 in a store, for `0.2 / H`
            in a layer: its hidden states are about `sqrt(H / 2)` long, so that with 0.5, the
            paper's, what is read drowns what comes in, and little is learned.
        settling_steps: `S`, rounds in which a step settles.

    Attributes:
        weight_hh, weight_ih, bias: `W`, `C` and `b`.
        gain, shift: those of the layer norm.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> `(…, S, H)`; a store's are those of `Memory`.

    Raises:
        ArgumentError: a size is not a positive integer, `decay` is not in [0, 1] or `rate` not
            positive, or a store is used as a layer.
        ShapeError: at a call, as `Memory`.

    Example:
        >>> memory = HebbianFastWeights(None, key_size=2, value_size=1, decay=1.0, rate=1.0)
        >>> state = memory.write(memory.blank(), torch.eye(2), torch.tensor([[3.0], [5.0]]))
        >>> memory.read(state, torch.tensor([[0.0, 1.0]]))
        tensor([[5.]])

    Source: J. Ba, G. Hinton, V. Mnih, J. Z. Leibo and C. Ionescu, 2016, Using Fast Weights to
    Attend to the Recent Past, eq. 1-2 and section 3.2. The layer norm is in the first round too.
    """

    adds = True

    def __init__(
        self,
        input_size: int | None,
        hidden_size: int = 32,
        *,
        key_size: int | None = None,
        value_size: int | None = None,
        decay: float = 0.95,
        rate: float | None = None,
        settling_steps: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "HebbianFastWeights"
        self.key_size = hidden_size if key_size is None else key_size
        self.value_size = hidden_size if value_size is None else value_size
        sizes = {"key_size": self.key_size, "value_size": self.value_size}
        check_sizes(who, hidden_size=hidden_size, settling_steps=settling_steps, **sizes)
        if not 0 <= decay <= 1:
            raise ArgumentError(f"{who}: decay must lie in [0, 1], got {decay!r}")
        if rate is None:
            rate = 0.5 if input_size is None else 0.2 / hidden_size
        if not rate > 0:
            raise ArgumentError(f"{who}: rate must be positive, got {rate!r}")
        self.hidden_size = self.output_size = hidden_size
        self.decay, self.rate, self.settling_steps = decay, rate, settling_steps
        factory = {"device": device, "dtype": dtype}
        self.register_buffer("like", torch.zeros((), **factory), persistent=False)  # type: ignore[arg-type]
        if input_size is None:
            self.input_size = 0
            return
        check_sizes(who, input_size=input_size)
        if not self.key_size == self.value_size == hidden_size:
            raise ArgumentError(
                f"{who}: a layer's keys and values are its hidden states, of size {hidden_size}; "
                "leave key_size and value_size out, or give input_size=None for a store"
            )
        self.input_size = input_size
        bound = 1 / math.sqrt(input_size)
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size, **factory))  # type: ignore[arg-type]
        self.weight_hh = nn.Parameter(0.05 * torch.eye(hidden_size, **factory))  # type: ignore[arg-type]
        nn.init.uniform_(self.weight_ih, -bound, bound)
        for name, start in {"bias": 0.0, "gain": 1.0, "shift": 0.0}.items():
            filled = torch.full((hidden_size,), start, **factory)  # type: ignore[arg-type]
            setattr(self, name, nn.Parameter(filled))

    def _tasks(self) -> int | None:
        return leading_axis(self.weight_ih, 2) if self.is_layer else None

    def _blank(self, *batch: int) -> HebbianState:
        zero = self.like.new_zeros(())
        hidden = zero.expand(*batch, self.hidden_size if self.is_layer else 0)
        return HebbianState(hidden, zero.expand(*batch, self.value_size, self.key_size))

    def _project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight_ih, self.bias)

    def _advance(self, features: Tensor, state: HebbianState) -> tuple[Tensor, HebbianState]:
        h, weights = state
        weights = self.decay * weights + self.rate * h.unsqueeze(-1) * h.unsqueeze(-2)
        fixed = features + functional.linear(h, self.weight_hh)
        h = self._settled(fixed)
        for _ in range(self.settling_steps):
            h = self._settled(fixed + (weights @ h.unsqueeze(-1)).squeeze(-1))
        return h, HebbianState(h, weights)

    def _run(
        self, x: Tensor, state: HebbianState, inside: Tensor | None
    ) -> tuple[Tensor, HebbianState]:
        rows, size = math.prod(x.shape[:-2]), self.hidden_size
        if rows * size * size < _FEW:
            return super()._run(x, state, inside)
        outputs, blocks = [], self._project(x).split(_BLOCK, -2)
        within = (None,) * len(blocks) if inside is None else inside.split(_BLOCK, -1)
        for features, here in zip(blocks, within, strict=True):
            seen, state = self._block(features, state, here)
            outputs.append(seen)
        return torch.cat(outputs, -2), state

    def _block(
        self, features: Tensor, state: HebbianState, inside: Tensor | None
    ) -> tuple[Tensor, HebbianState]:
        """Take some steps, reading the hidden states themselves in place of their outer products.

        `A_t h = lambda^t A_0 h + eta sum_s lambda^(t - s) h_{s-1} (h_{s-1} . h)`, so `A` is made
        but once, at the end.
        """
        hidden, weights = state
        steps, batch = features.shape[-2], features.shape[:-2]
        ages = torch.arange(steps - 1, -1, -1, device=features.device, dtype=features.dtype)
        shares = self.rate * self.decay**ages
        written, before = [hidden.unsqueeze(-2)], weights.mT
        for t, z in enumerate(features.unbind(-2)):
            past = torch.cat(written, -2)
            fixed = (z + functional.linear(hidden, self.weight_hh)).unsqueeze(-2)
            query = self._settled(fixed)
            for _ in range(self.settling_steps):
                alike = (query @ past.mT) * shares[steps - 1 - t :]
                drawn = torch.add(fixed, query @ before, alpha=self.decay ** (t + 1))
                query = self._settled(drawn + alike @ past)
            hidden = query.squeeze(-2)
            written.append(query)
        h = torch.cat(written, -2)
        past, seen = h[..., :-1, :], h[..., 1:, :]
        if inside is None:
            weights = hebbian_rule(past, past, weights, decay=self.decay, rate=self.rate)
            return seen, HebbianState(hidden, weights)
        taken = inside.sum(-1)
        ages = taken.unsqueeze(-1) - 1 - torch.arange(steps, device=inside.device)
        kept = (self.decay ** ages.clamp(min=0).to(h.dtype)).masked_fill(ages < 0, 0)
        left = (self.decay ** taken.to(h.dtype)).unsqueeze(-1).unsqueeze(-1)
        added = (past * kept.unsqueeze(-1)).mT @ past
        weights = torch.add(left * weights, added, alpha=self.rate)
        last = taken.reshape(*batch, 1, 1).expand(*batch, 1, self.hidden_size)
        return seen, HebbianState(h.gather(-2, last).squeeze(-2), weights)

    def _settled(self, x: Tensor) -> Tensor:
        normal = F.layer_norm(x, (self.hidden_size,))
        gain, shift = self.gain, self.shift
        if gain.dim() == 2:
            between = (1,) * (x.dim() - 2)
            gain, shift = (p.reshape(len(p), *between, -1) for p in (gain, shift))
        return (gain * normal + shift).relu()

    def _write(self, state: HebbianState, keys: Tensor, values: Tensor) -> HebbianState:
        weights = hebbian_rule(keys, values, state.weights, decay=self.decay, rate=self.rate)
        return HebbianState(state.hidden, weights)

    def _read(self, state: HebbianState, queries: Tensor) -> Tensor:
        return queries @ state.weights.mT

    def kernel(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compute what a read multiplies each written value by, `eta lambda^age (q . k)`.

        Shapes:
            queries `(…, Q, K)`, keys `(…, B, K)`, in the order of writing -> `(…, Q, B)`.
        """
        ages = torch.arange(keys.shape[-2] - 1, -1, -1, device=keys.device, dtype=keys.dtype)
        return self.rate * (queries @ keys.mT) * self.decay**ages


class DeltaFastWeights(Memory[DeltaState]):
    """Fast weights that correct what a key reads: `W_t = W_{t-1} + b_t (v_t - W_{t-1} p_t) p_t^T`.

    `p = phi(k)` is the key's features and `b_t = sigmoid(w . k_t + c)` a gate. As a layer it makes
    a query, a key and a value of each step, writes, then reads `W_t phi(q_t)`; all steps are taken
    at once, by blocks. As a store it is written pairs in their order, and reads `W phi(q)`.

    Args:
        input_size: `F`, features of a step; None for a store without the parameters of a layer.
        key_size: `K`.
        value_size: `V`, also the size of the outputs; None for `K`.
        features: `phi`: `"elu"`, `elu(k) + 1` divided by its sum; `"unit"`, k of length 1.
        gate: `sigmoid(c)` at the start.

    Attributes:
        projection: what makes q, k and v; None in a store.
        gate_weight, gate_bias: `w` and `c`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> `(…, S, V)`; a store's are those of `Memory`.

    Raises:
        ArgumentError: a size is not a positive integer, `features` is not known, `gate` is not in
            (0, 1), or a store is used as a layer.
        ShapeError: at a call, as `Memory`.

    Example:
        >>> memory = DeltaFastWeights(3, key_size=4, value_size=2)
        >>> outputs, state = memory(torch.randn(5, 7, 3))
        >>> outputs.shape, state.weights.shape
        (torch.Size([5, 7, 2]), torch.Size([5, 2, 4]))

    Source: I. Schlag, K. Irie and J. Schmidhuber, 2021, Linear Transformers Are Secretly Fast
    Weight Programmers, eq. 24 and section 4.2; `elu + 1` as A. Katharopoulos et al., 2020, and keys
    of length 1 as S. Yang et al., 2024. There the gate reads the step; here it reads the key, which
    a store has too.
    """

    def __init__(
        self,
        input_size: int | None,
        key_size: int = 32,
        value_size: int | None = None,
        *,
        features: str = "elu",
        gate: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        who = "DeltaFastWeights"
        self.key_size, self.value_size = key_size, key_size if value_size is None else value_size
        check_sizes(who, key_size=key_size, value_size=self.value_size)
        if features not in ("elu", "unit"):
            raise ArgumentError(f"{who}: features must be 'elu' or 'unit', got {features!r}")
        if not 0 < gate < 1:
            raise ArgumentError(f"{who}: gate must lie in (0, 1), got {gate!r}")
        self.features = features
        self.output_size = self.value_size
        self.gate_weight = nn.Parameter(torch.zeros(1, key_size, device=device, dtype=dtype))
        start = torch.full((1,), gate, device=device, dtype=dtype).logit()
        self.gate_bias = nn.Parameter(start)
        self.input_size = 0
        self.projection: KeyValueProjection | None = None
        if input_size is not None:
            check_sizes(who, input_size=input_size)
            self.input_size = input_size
            self.projection = KeyValueProjection(
                input_size, key_size, self.value_size, device=device, dtype=dtype
            )

    def _tasks(self) -> int | None:
        return leading_axis(self.gate_weight, 2)

    def _blank(self, *batch: int) -> DeltaState:
        zero = self.gate_weight.new_zeros(())
        return DeltaState(zero.expand(*batch, self.value_size, self.key_size))

    def _advance(self, features: Tensor, state: DeltaState) -> tuple[Tensor, DeltaState]:
        y, state = self._run(features.unsqueeze(-2), state, None)
        return y.squeeze(-2), state

    def _run(
        self, x: Tensor, state: DeltaState, inside: Tensor | None
    ) -> tuple[Tensor, DeltaState]:
        q, k, v = self.projection(x)  # type: ignore[misc]  # None in a store, which has no steps
        gates = self._gates(k)
        if inside is not None:
            gates = gates * inside
        y, weights = delta_rule(self._phi(q), self._phi(k), v, gates, state.weights)
        return y, DeltaState(weights)

    def _write(self, state: DeltaState, keys: Tensor, values: Tensor) -> DeltaState:
        if keys.shape[-2] == 0:
            return state
        p = self._phi(keys)
        return DeltaState(delta_rule(p, p, values, self._gates(keys), state.weights)[1])

    def _read(self, state: DeltaState, queries: Tensor) -> Tensor:
        return self._phi(queries) @ state.weights.mT

    def kernel(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compute what a read multiplies by what each key was written, `phi(q) . phi(k)`.

        That is `b (v - W phi(k))`, as `W` was then.

        Shapes:
            queries `(…, Q, K)`, keys `(…, B, K)` -> `(…, Q, B)`.
        """
        return self._phi(queries) @ self._phi(keys).mT

    def _phi(self, keys: Tensor) -> Tensor:
        if self.features == "unit":
            return unit_vectors(keys)
        positive = F.elu(keys) + 1
        return positive / positive.sum(-1, keepdim=True)

    def _gates(self, keys: Tensor) -> Tensor:
        return functional.linear(keys, self.gate_weight, self.gate_bias).squeeze(-1).sigmoid()
