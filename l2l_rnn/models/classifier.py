"""The sequence classifier: a sequence encoder and a linear head."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.models.encoder import SequenceEncoder
from l2l_rnn.nn import Linear


@configurable
class SequenceClassifier(nn.Module):
    """Classify sequences with a `SequenceEncoder` and a linear head.

    Args:
        ways: `C`, the number of classes.
        vocab_size, input_size, embedding_size, hidden_size, cell, num_layers, bidirectional,
            pooling, dropout: as in `SequenceEncoder`.

    Attributes:
        encoder: the `SequenceEncoder`.
        head: the `Linear` layer from its vectors to the scores.

    Shapes:
        tokens `(…, B, S)`, padded with 0, or steps `(…, B, S, F)`, padded with NaN -> `(…, B, C)`.

    Raises:
        ArgumentError: as in `SequenceEncoder`; also if `ways` is not a positive integer.
        ArgumentTypeError, ShapeError, UnknownNameError: as in `SequenceEncoder`.

    Example:
        >>> import torch
        >>> model = SequenceClassifier(5, input_size=3, cell="gru", pooling="attention")
        >>> model(torch.randn(2, 7, 3)).shape
        torch.Size([2, 5])
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        ways: int,
        *,
        vocab_size: int | None = None,
        input_size: int | None = None,
        embedding_size: int = 64,
        hidden_size: int = 64,
        cell: str = "lstm",
        num_layers: int = 1,
        bidirectional: bool = False,
        pooling: str = "last",
        dropout: float | nn.Module = 0.0,
    ) -> None:
        super().__init__()
        ways = check_int("SequenceClassifier", "ways", ways)
        self.encoder = SequenceEncoder(
            vocab_size=vocab_size,
            input_size=input_size,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            cell=cell,
            num_layers=num_layers,
            bidirectional=bidirectional,
            pooling=pooling,
            dropout=dropout,
        )
        self.head = Linear(self.encoder.output_size, ways)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))
