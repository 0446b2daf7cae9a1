"""Vectors of sentences over a frozen encoder: the mean of its states, or a trained head."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.compiler import is_compiling

from l2l_rnn.axes import is_transformed
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.functional import step_lengths, token_lengths
from l2l_rnn.functional.memory.addressing import unit_vectors
from l2l_rnn.nn import MeanPooling


@configurable
class EncodedSequence(nn.Module):
    """Run an encoder of real-valued steps on the states of a frozen encoder.

    `y = g(f(x))`, where `f` is frozen and `g` is trained, such as a recurrent encoder.

    Args:
        frozen: `f`, a `FrozenEncoder`.
        encoder: `g`, a module that maps steps, padded with NaN, to vectors and has an
            `output_size`, such as `SequenceEncoder(input_size=frozen.output_size)`.

    Attributes:
        output_size: features of a vector.

    Shapes:
        token ids `(…, B, S)`, padded with 0 -> `(…, B, output_size)`.

    Raises:
        ArgumentTypeError: `frozen` or `encoder` has no `output_size`.

    Example:
        >>> from l2l_rnn.models import SequenceEncoder
        >>> class Ids(nn.Module):
        ...     output_size = 1
        ...
        ...     def forward(self, x):
        ...         return x.float().masked_fill(x == 0, torch.nan).unsqueeze(-1)
        >>> model = EncodedSequence(Ids(), SequenceEncoder(input_size=1, hidden_size=8))
        >>> model(torch.tensor([[3, 4], [5, 0]])).shape
        torch.Size([2, 8])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, frozen: nn.Module, encoder: nn.Module) -> None:
        super().__init__()
        sizes: list[Any] = []
        for name, part in {"frozen": frozen, "encoder": encoder}.items():
            sizes.append(getattr(part, "output_size", None))
            if not isinstance(part, nn.Module) or not isinstance(sizes[-1], int):
                raise ArgumentTypeError(
                    f"EncodedSequence: {name} must be a module with an output_size, got "
                    f"{type(part).__name__}; use FrozenEncoder and SequenceEncoder"
                )
        self.frozen, self.encoder = frozen, encoder
        self.output_size: int = sizes[1]

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.frozen(without_shared_padding(x))
        return self.encoder(states)


@configurable
class FrozenSentenceEncoder(nn.Module):
    """Encode a text as the mean of a frozen encoder's states.

    For a model of sentence-transformers that pools by the mean, these are its sentence vectors.

    Args:
        frozen: a `FrozenEncoder`.
        normalize: whether to scale vectors to norm 1.

    Attributes:
        output_size: `E`, features of a vector.

    Shapes:
        token ids `(…, B, S)`, padded with 0 -> `(…, B, E)`.

    Raises:
        ArgumentTypeError: `frozen` has no `output_size`.

    Example:
        >>> class Ids(nn.Module):
        ...     output_size = 1
        ...
        ...     def forward(self, x):
        ...         return x.float().masked_fill(x == 0, torch.nan).unsqueeze(-1)
        >>> FrozenSentenceEncoder(Ids(), normalize=False)(torch.tensor([[3, 4], [5, 0]]))
        tensor([[3.5000],
                [5.0000]])

    Source: N. Reimers and I. Gurevych, 2019, Sentence-BERT: Sentence Embeddings using Siamese
    BERT-Networks, section 3, the pooling strategy MEAN.
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, frozen: nn.Module, normalize: bool = True) -> None:
        super().__init__()
        size: Any = getattr(frozen, "output_size", None)
        if not isinstance(frozen, nn.Module) or not isinstance(size, int):
            raise ArgumentTypeError(
                "FrozenSentenceEncoder: frozen must be a module with an output_size, got "
                f"{type(frozen).__name__}; use FrozenEncoder"
            )
        self.frozen, self.normalize, self.output_size = frozen, bool(normalize), size
        self.pooling = MeanPooling(size)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.frozen(without_shared_padding(x))
        vectors: Tensor = self.pooling(states, step_lengths(states))
        return unit_vectors(vectors) if self.normalize else vectors


def without_shared_padding(x: Tensor) -> Tensor:
    """Return token ids without the steps that are padding in every row; one step is kept.

    Example:
        >>> without_shared_padding(torch.tensor([[3, 4, 0, 0], [5, 0, 0, 0]]))
        tensor([[3, 4],
                [5, 0]])
    """
    if not isinstance(x, Tensor) or torch.jit.is_tracing() or is_compiling() or not x.numel():
        return x
    if is_transformed(x):
        return x
    return x[..., : max(1, int(token_lengths(x).max()))]
