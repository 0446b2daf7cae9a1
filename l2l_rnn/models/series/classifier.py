"""The series classifier: a series encoder and a linear head."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.models.series.encoder import SeriesEncoder
from l2l_rnn.nn import Linear


@configurable
class SeriesClassifier(nn.Module):
    """Classify series with a `SeriesEncoder` and a linear head.

    Args:
        ways: `C`, the number of classes.
        encoder: options of the `SeriesEncoder`.

    Attributes:
        encoder: the `SeriesEncoder`.
        head: the `Linear` layer from its vectors to the scores.
        output_size: `C`, so that it can be a part of an `EncoderEnsemble`.

    Shapes:
        x `(…, B, S, F)`, padded with NaN -> `(…, B, C)`.

    Raises:
        ArgumentError: as in `SeriesEncoder`; also if `ways` is not a positive integer.

    Example:
        >>> import torch
        >>> SeriesClassifier(4, length=32, embedding_size=8)(torch.randn(2, 40, 3)).shape
        torch.Size([2, 4])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, ways: int, **encoder: Any) -> None:
        super().__init__()
        self.output_size = ways = check_int("SeriesClassifier", "ways", ways)
        self.encoder = SeriesEncoder(**encoder)
        self.head = Linear(self.encoder.output_size, ways)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))
