"""Ensembles of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError


@configurable
class EncoderEnsemble(nn.Module):
    """Concatenate the vectors of several encoders of the same sequences.

    Args:
        encoders: modules with an integer `output_size`, such as `SequenceEncoder`.

    Attributes:
        output_size: `E`, the sum of the encoders' sizes.

    Shapes:
        x as in the encoders -> `(…, B, E)`.

    Raises:
        ArgumentTypeError: there is no encoder, or one has no `output_size`.

    Example:
        >>> from l2l_rnn.models import SequenceEncoder
        >>> members = [SequenceEncoder(input_size=3, hidden_size=size) for size in (4, 6)]
        >>> EncoderEnsemble(members)(torch.randn(2, 7, 3)).shape
        torch.Size([2, 10])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, encoders: Sequence[nn.Module]) -> None:
        super().__init__()
        sizes: list[Any] = [getattr(encoder, "output_size", None) for encoder in encoders]
        if not sizes or not all(isinstance(size, int) for size in sizes):
            raise ArgumentTypeError(
                "EncoderEnsemble: encoders must be modules with an output_size, got sizes "
                f"{sizes}; use models.SequenceEncoder, or set output_size"
            )
        self.encoders = nn.ModuleList(encoders)
        self.output_size: int = sum(sizes)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([encoder(x) for encoder in self.encoders], -1)


@configurable
class VectorPart(nn.Module):
    """Take a part of each vector, such as that of one encoder of an `EncoderEnsemble`.

    It is the model of a learner of a `StackedLearner` that uses the vectors of one encoder only.

    Args:
        start: the first feature.
        stop: the feature after the last; None goes to the end.
        then: a module that is applied to the part; None returns the part.

    Shapes:
        `(…, E)` -> `(…, stop - start)`, or as `then` returns it.

    Example:
        >>> VectorPart(1, 3)(torch.tensor([[5.0, 6.0, 7.0, 8.0]]))
        tensor([[6., 7.]])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, start: int, stop: int | None = None, then: nn.Module | None = None) -> None:
        super().__init__()
        self.start = check_int("VectorPart", "start", start, least=0)
        self.stop = (
            stop if stop is None else check_int("VectorPart", "stop", stop, least=self.start + 1)
        )
        self.then = then

    def forward(self, vectors: Tensor) -> Tensor:
        part = vectors[..., self.start : self.stop]
        if self.then is None:
            return part
        changed: Tensor = self.then(part)
        return changed
