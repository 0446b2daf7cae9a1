"""An encoder, a memory that is asked by its vectors, and what the outputs make of the answer."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from l2l_rnn.errors import ArgumentError, ArgumentTypeError
from l2l_rnn.functional.memory.attention import unit_vectors
from l2l_rnn.memory import Memory
from l2l_rnn.nn import Linear


class Look(NamedTuple):
    """What a `MemoryModel` found for sequences.

    Attributes:
        keys: what the memory was asked by, `(…, B, K)`.
        values: what it read, `(…, B, V)`.
        outputs: the model's, `(…, B, V)`.
    """

    keys: Tensor
    values: Tensor
    outputs: Tensor


class MemoryModel(nn.Module):
    """Compute `y = s r(k) + g(f(x))`, where `r(k)` is what a memory reads for a key `k`.

    `f` is the encoder; `k = f(x)`, or `W_k f(x)` where keys are of another size. The memory
    holds values in the space of the outputs and `s` is a learned scale. `g` is a linear head, for
    regression; a classifier goes without: from a blank memory it scores all classes alike, and
    classes that change their places change their scores alike.

    Args:
        encoder: `f`, a module from sequences to vectors with an `output_size`, such as
            `SequenceEncoder`.
        memory: a store, such as `KeyValueMemory(None, key_size, ways)`; its `value_size` is that of
            the outputs. Made with `input_size=None` it has no parameters that go unused here.
        regression: whether outputs are values rather than class scores. There is then a head, and
            the scale starts at 1.
        scale: `s` at the start; None for 10, or 1 in regression.
        unit_keys: whether keys are scaled to length 1.

    Attributes:
        key: `W_k`; the identity where sizes agree.
        head: `g`, or None.
        log_scale: the logarithm of `s`.
        log_rate: the logarithm of how much of an error is written, which starts at 1.

    Shapes:
        x as the encoder's -> outputs `(…, B, value_size)`.

    Raises:
        ArgumentTypeError: the encoder has no `output_size`, or the memory is none.
        ArgumentError: the scale is not positive.

    Example:
        >>> from l2l_rnn.memory import DeltaFastWeights
        >>> from l2l_rnn.models import SequenceEncoder
        >>> encoder = SequenceEncoder(input_size=3, hidden_size=8)
        >>> model = MemoryModel(encoder, DeltaFastWeights(None, key_size=8, value_size=5))
        >>> model(torch.randn(4, 7, 3)).shape
        torch.Size([4, 5])
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        encoder: nn.Module,
        memory: Memory[Any],
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
                f"{type(encoder).__name__}; use models.SequenceEncoder, or set the attribute"
            )
        if not isinstance(memory, Memory):
            raise ArgumentTypeError(
                f"MemoryModel: memory must be a memory.Memory, got {type(memory).__name__}"
            )
        scale = (1.0 if regression else 10.0) if scale is None else scale
        if not scale > 0:
            raise ArgumentError(f"MemoryModel: scale must be positive, got {scale!r}")
        self.encoder, self.memory, self.regression = encoder, memory, regression
        self.unit_keys = unit_keys
        same = size == memory.key_size
        self.key = nn.Identity() if same else Linear(size, memory.key_size, bias=False)
        self.head = Linear(size, memory.value_size) if regression else None
        self.log_scale = nn.Parameter(torch.full((1,), math.log(scale)))
        self.log_rate = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, state: tuple[Tensor, ...] | None = None) -> Tensor:
        """Compute the outputs with a memory's state, or with a blank one if None."""
        vectors = self.encoder(x)
        if state is None:
            state = self.memory.blank(*vectors.shape[:-2])
        return self.look(vectors, state).outputs

    def keys(self, vectors: Tensor) -> Tensor:
        """Compute what the memory is asked by for vectors, `(…, B, E)` -> `(…, B, K)`."""
        keys: Tensor = self.key(vectors)
        return unit_vectors(keys) if self.unit_keys else keys

    def look(self, vectors: Tensor, state: tuple[Tensor, ...], keys: Tensor | None = None) -> Look:
        """Read the memory for the encoder's vectors, `(…, B, E)`, of sequences.

        Args:
            vectors: the encoder's.
            state: the memory's.
            keys: those of the vectors, where they were computed before; None computes them.
        """
        if keys is None:
            keys = self.keys(vectors)
        values = self.memory.read(state, keys)
        outputs = _as_wide(self.log_scale.exp(), values) * values
        if self.head is not None:
            outputs = outputs + self.head(vectors)
        return Look(keys, values, outputs)

    def bind(self, state: tuple[Tensor, ...], look: Look, errors: Tensor) -> tuple[Tensor, ...]:
        """Write what would have made outputs better, and return the memory's next state.

        What is written for a key is the error, scaled; a memory whose writes set what a key reads,
        rather than add to it, is written what it read and the error together.

        Args:
            state: the memory's.
            look: what was found for the sequences, with this state.
            errors: how much higher each output should be, `(…, B, V)`.
        """
        values = _as_wide(self.log_rate.exp(), errors) * errors
        if not self.memory.adds:
            values = look.values + values
        return self.memory.write(state, look.keys, values)


def _as_wide(parameter: Tensor, like: Tensor) -> Tensor:
    """`(1,)` or `(N, 1)` with axes for the others of what it multiplies."""
    between = [1] * (like.dim() - parameter.dim())
    return parameter.reshape(*parameter.shape[:-1], *between, 1)
