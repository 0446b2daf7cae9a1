"""The memory model: an encoder, and a store that is read with the encoder's vectors."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.axes import align_tasks
from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.functional.memory.addressing import unit_vectors
from l2l_rnn.memory import Store
from l2l_rnn.nn import Linear


class Lookup(NamedTuple):
    """The results of a `MemoryModel` for B sequences.

    Attributes:
        keys: the keys that were looked up in the store, `(…, B, K)`.
        values: the values read for them, `(…, B, V)`.
        outputs: the model's outputs, `(…, B, V)`.
    """

    keys: Tensor
    values: Tensor
    outputs: Tensor


@configurable
class MemoryModel(nn.Module):
    """Compute `y = s r(k) + g(f(x))`, where `r(k)` is the value that a store reads for key `k`.

    `f` is the encoder, and `k = f(x)`, or `W_k f(x)` if the key size differs. The store's values
    are in the space of the outputs, and `s` is a learned scale. `g` is a linear head, used only for
    regression. A classifier has no head: with a blank memory, it scores all classes equally, and
    permuting the classes permutes their scores.

    Args:
        encoder: `f`, a module that maps sequences to vectors and has an `output_size`, such as
            `SequenceEncoder`.
        store: a `memory.Store`, such as `KeyValueMemory(key_size, ways)`. Its `value_size` is the
            size of the outputs.
        regression: whether outputs are values rather than class scores, which adds the head.
        scale: initial value of `s`; None for 10, or for 1 in regression.
        unit_keys: whether to scale keys to norm 1.

    Attributes:
        key: `W_k`; the identity if the sizes agree.
        head: `g`, or None.
        log_scale: the logarithm of `s`.
        log_lr: the logarithm of the learning rate of writes, which is 1 initially.

    Shapes:
        x as in the encoder -> outputs `(…, B, V)`.

    Raises:
        ArgumentTypeError: the encoder has no `output_size`, or `store` is not a `Store`.
        ArgumentError: the scale is not positive.

    Example:
        >>> from l2l_rnn.memory import DeltaFastWeights
        >>> from l2l_rnn.models import SequenceEncoder
        >>> encoder = SequenceEncoder(input_size=3, hidden_size=8)
        >>> model = MemoryModel(encoder, DeltaFastWeights(key_size=8, value_size=5))
        >>> model(torch.randn(4, 7, 3)).shape
        torch.Size([4, 5])
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        encoder: nn.Module,
        store: Store[Any],
        *,
        regression: bool = False,
        scale: float | None = None,
        unit_keys: bool = False,
    ) -> None:
        super().__init__()
        size = getattr(encoder, "output_size", None)
        if not isinstance(encoder, nn.Module) or not isinstance(size, int):
            raise ArgumentTypeError(
                "MemoryModel: encoder must be a module with an output_size, got "
                f"{type(encoder).__name__}; use models.SequenceEncoder, or set output_size"
            )
        if not isinstance(store, Store):
            raise ArgumentTypeError(
                f"MemoryModel: store must be a memory.Store, got {type(store).__name__}; use one "
                "such as memory.KeyValueMemory"
            )
        scale = (1.0 if regression else 10.0) if scale is None else scale
        scale = check_number("MemoryModel", "scale", scale, above=0)
        self.encoder, self.store, self.regression = encoder, store, regression
        self.unit_keys = unit_keys
        same = size == store.key_size
        self.key = nn.Identity() if same else Linear(size, store.key_size, bias=False)
        self.head = Linear(size, store.value_size) if regression else None
        self.log_scale = nn.Parameter(torch.full((1,), math.log(scale)))
        self.log_lr = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> Tensor:
        """Compute the outputs with a state of the store; None stands for a blank state."""
        vectors = self.encoder(x)
        if state is None:
            state = self.store.blank(*vectors.shape[:-2])
        return self.look_up(vectors, state).outputs

    def keys(self, vectors: Tensor) -> Tensor:
        """Compute the keys of the encoder's vectors, `(…, B, E)` -> `(…, B, K)`."""
        keys: Tensor = self.key(vectors)
        return unit_vectors(keys) if self.unit_keys else keys

    def look_up(
        self, vectors: Tensor, state: tuple[Tensor, ...], keys: Tensor | None = None
    ) -> Lookup:
        """Read the store for the encoder's vectors, `(…, B, E)`, and compute the outputs.

        Args:
            vectors: the encoder's vectors.
            state: the state of the store.
            keys: the keys of the vectors, if already computed; None computes them.
        """
        if keys is None:
            keys = self.keys(vectors)
        values = self.store.read(state, keys)
        outputs = align_tasks(self.log_scale.exp(), 1, values) * values
        if self.head is not None:
            outputs = outputs + self.head(vectors)
        return Lookup(keys, values, outputs)

    def bind(
        self,
        state: tuple[Tensor, ...],
        lookup: Lookup,
        errors: Tensor,
        in_order: bool = False,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Write the errors of the outputs to the store, and return its next state.

        The value written for a key is the error times the learning rate. If a write replaces what
        the key reads instead of adding to it, the value that was read is added first.

        Args:
            state: the state of the store.
            lookup: the results for the sequences with this state.
            errors: how much larger each output should be, `(…, B, V)`.
            in_order: whether to write the sequences one after the other. By default, they are
                written as a set, and the result does not depend on their order.
            mask: False where a row is padding, which is not written; None if there is no padding.
        """
        if mask is not None:
            errors = torch.where(mask.unsqueeze(-1), errors, 0.0)
        values = align_tasks(self.log_lr.exp(), 1, errors) * errors
        if not self.store.additive:
            values = lookup.values + values
        write = self.store.write if in_order else self.store.write_set
        masks = {} if mask is None else {"mask": mask}
        return write(state, lookup.keys, values, **masks)
