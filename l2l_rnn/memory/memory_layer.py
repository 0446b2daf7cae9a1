"""A recurrent layer around a store."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn import functional
from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.memory.memory import State, leading_axis
from l2l_rnn.memory.recurrent_memory import RecurrentMemory
from l2l_rnn.memory.store import Store


@configurable
class MemoryLayer(RecurrentMemory[State]):
    """A recurrent layer that reads and writes a store at every step.

    Each step is projected to a query, a key and a value, `q, k, v = W x`. The output is the value
    that the store returns for `q`; then `v` is written under `k`. A step therefore reads what
    earlier steps wrote. A store with `writes_first = True`, such as `DeltaFastWeights`, writes
    before it reads.

    `KeyValueMemory`, `MemoryNetwork` and `DeltaFastWeights` compute all steps at once; other stores
    loop over them.

    Args:
        input_size: `F`, features of a step.
        store: a store of `l2l_rnn.memory`; each sequence has its own state of the store.

    Attributes:
        weight: `W`, `(K + K + V, F)`, with rows for q, k and v in this order.
        output_size: `V`, the store's `value_size`.

    Shapes:
        x `(B, S, F)` or `(N, B, S, F)` -> outputs `(…, S, V)` and a state of the store.

    Raises:
        ArgumentError: `input_size` is not a positive integer.
        ArgumentTypeError: `store` is not a `Store`.
        ShapeError: in a call, the input, state or lengths have the wrong shape.

    Example:
        >>> from l2l_rnn.memory import DeltaFastWeights
        >>> layer = MemoryLayer(3, DeltaFastWeights(key_size=4, value_size=2))
        >>> outputs, state = layer(torch.randn(5, 7, 3))
        >>> outputs.shape, state.weights.shape
        (torch.Size([5, 7, 2]), torch.Size([5, 2, 4]))
    """

    def __init__(
        self,
        input_size: int,
        store: Store[State],
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = check_int("MemoryLayer", "input_size", input_size)
        given: Any = store
        if not isinstance(given, Store):
            raise ArgumentTypeError(
                f"MemoryLayer: store must be a memory.Store, got {type(given).__name__}; use one "
                "such as KeyValueMemory(key_size, value_size)"
            )
        self.store = store
        self.output_size = store.value_size
        rows = 2 * store.key_size + store.value_size
        self.weight = nn.Parameter(torch.empty(rows, input_size, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw `W` so that features of variance 1 give queries, keys and values of variance 1."""
        bound = math.sqrt(3 / self.input_size)
        nn.init.uniform_(self.weight, -bound, bound)

    def extra_repr(self) -> str:
        return f"{self.input_size}"

    def _tasks(self) -> int | None:
        tasks = leading_axis(self.weight, 2)
        return self.store._tasks() if tasks is None else tasks

    def _blank(self, *batch: int) -> State:
        return self.store.blank(*batch)

    def _project(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight)

    def _advance(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        reads, state = self._steps(features.unsqueeze(-2), state, None)
        return reads.squeeze(-2), state

    def _steps(self, features: Tensor, state: State, inside: Tensor | None) -> tuple[Tensor, State]:
        sizes = [self.store.key_size, self.store.key_size, self.store.value_size]
        queries, keys, values = features.split(sizes, -1)
        return self.store.scan(state, queries, keys, values, inside)
