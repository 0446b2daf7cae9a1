"""Ensembles of encoders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

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
