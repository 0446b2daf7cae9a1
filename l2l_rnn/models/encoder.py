"""From a batch of ragged sequences to one vector each."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import step_lengths, step_mask, token_lengths
from l2l_rnn.nn import (
    GRU,
    LRU,
    LSTM,
    RNN,
    AttentionPooling,
    Embedding,
    LastStep,
    MaxPooling,
    MeanPooling,
    MinGRU,
    MinLSTM,
)
from l2l_rnn.registry import Registry

CELLS: Registry[Any] = Registry("cell")
for _cell in (RNN, GRU, LSTM, MinGRU, MinLSTM, LRU):
    CELLS.register(_cell.__name__.lower())(_cell)

POOLINGS: Registry[Any] = Registry("pooling")
for _name, _pooling in {
    "last": LastStep,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}.items():
    POOLINGS.register(_name)(_pooling)


class SequenceEncoder(nn.Module):
    """Compute one vector for each sequence: embed tokens, run a recurrence, pool its valid steps.

    Reads token ids padded with 0 (`vocab_size`) or real-valued steps padded with NaN
    (`input_size`); exactly one of the two is given. How much padding there is changes nothing.

    Args:
        vocab_size: `V`, number of token ids, padding included.
        input_size: `F`, features of a real-valued step.
        embedding_size: `E`, features of a token's vector. Only with `vocab_size`.
        hidden_size: `H`, hidden units of each direction.
        cell: `"rnn"`, `"gru"`, `"lstm"`, `"mingru"`, `"minlstm"` or `"lru"`.
        num_layers: recurrent layers.
        bidirectional: whether a second recurrence reads from the end.
        pooling: `"last"` (the last valid step, of each direction), `"mean"`, `"max"` or
            `"attention"`.
        dropout: share of the embedded inputs, of the outputs between layers and of the pooled
            vector that is set to zero in training; or a module that the embedded inputs and the
            pooled vector go through, such as `nn.LearnedDropout`, with nothing between layers.

    Attributes:
        output_size: features of a sequence's vector: `H`, or `2 H` if bidirectional.

    Shapes:
        tokens `(…, B, S)` or steps `(…, B, S, F)` -> `(…, B, output_size)`. With parameters
        `(N, …)`, the input is `(N, B, S)` or `(N, B, S, F)`.

    Raises:
        ArgumentError: the sizes do not fit together, a token id is not below `vocab_size`, a
            sequence is all padding, or a step within a sequence holds a NaN.
        ArgumentTypeError: x is no tensor, tokens are not integers, or steps are, or the dropout is
            neither a number nor a module.
        ShapeError: the input has too few axes or another number of features.
        UnknownNameError: the cell or pooling is not known.

    Example:
        >>> import torch
        >>> encoder = SequenceEncoder(vocab_size=30, hidden_size=8, bidirectional=True)
        >>> encoder(torch.tensor([[3, 4, 5], [6, 0, 0]])).shape
        torch.Size([2, 16])
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
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
        if (vocab_size is None) == (input_size is None):
            raise ArgumentError(
                "SequenceEncoder: give either vocab_size, for token ids, or input_size, for "
                f"real-valued steps, got vocab_size={vocab_size} and input_size={input_size}"
            )
        for name, size in {
            "vocab_size": vocab_size,
            "input_size": input_size,
            "embedding_size": embedding_size,
        }.items():
            if size is not None and (
                isinstance(size, bool) or not isinstance(size, int) or size < 1
            ):
                raise ArgumentError(
                    f"SequenceEncoder: {name} must be a positive integer, got {size!r}"
                )
        share = 0.0 if isinstance(dropout, nn.Module) else dropout
        if not isinstance(share, (int, float)):
            raise ArgumentTypeError(
                f"SequenceEncoder: dropout must be a number or a module, got {share!r}"
            )
        if not 0 <= share < 1:
            raise ArgumentError(f"SequenceEncoder: dropout must lie in [0, 1), got {share!r}")
        cell_class, pooling_class = CELLS[cell], POOLINGS[pooling]
        self.embedding = None if vocab_size is None else Embedding(vocab_size, embedding_size)
        self.dropout = dropout if isinstance(dropout, nn.Module) else nn.Dropout(dropout)
        self.recurrence = cell_class(
            input_size or embedding_size,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=share,
            bidirectional=bidirectional,
        )
        self.output_size = self.recurrence.output_size
        self.pooling = pooling_class(self.output_size, bidirectional)

    def forward(self, x: Tensor) -> Tensor:
        lengths = self._lengths(x)
        values = readable_values(lengths)
        if values is not None:
            if not values.all():
                where = tuple(int(i) for i in (values == 0).nonzero()[0])
                raise ArgumentError(
                    f"SequenceEncoder: sequence {where[0] if len(where) == 1 else where} is all "
                    "padding; drop it, or give it at least one step (an unknown token, say)"
                )
            x = x.narrow(lengths.dim(), 0, int(values.max()))  # cut the padding that all share
        if self.embedding is None:
            inside = step_mask(lengths, x.shape[-2]).unsqueeze(-1)
            x = x.where(inside, 0)
            values = readable_values(x)
            if values is not None and values.isnan().any():
                raise ArgumentError(
                    "SequenceEncoder: a step within a sequence holds a NaN, which marks padding at "
                    "the end; fill or drop such steps first"
                )
        else:
            x = self.embedding(x)
        outputs, _ = self.recurrence(self.dropout(x), lengths=lengths)
        return self.dropout(self.pooling(outputs, lengths))

    def _lengths(self, x: Tensor) -> Tensor:
        """Check what kind of input came and find its lengths, `(…, B)`."""
        if not isinstance(x, Tensor):
            raise ArgumentTypeError(
                f"SequenceEncoder: x must be a tensor, got {type(x).__name__}; make it one with "
                "torch.as_tensor"
            )
        if self.embedding is not None:
            if x.is_floating_point():
                raise ArgumentTypeError(
                    f"SequenceEncoder: token ids must be integers, got {x.dtype}; made with "
                    "vocab_size it reads tokens, set input_size to read real-valued steps"
                )
            if x.dim() < 2 or x.numel() == 0:
                raise ShapeError(
                    f"SequenceEncoder: tokens must be (…, B, S), got shape {tuple(x.shape)}"
                )
            return token_lengths(x)
        features = self.recurrence.input_size
        if not x.is_floating_point():
            raise ArgumentTypeError(
                f"SequenceEncoder: steps must be real-valued, got {x.dtype}; made with input_size "
                "it reads steps, set vocab_size to read tokens"
            )
        if x.dim() < 3 or x.shape[-1] != features or x.numel() == 0:
            raise ShapeError(
                f"SequenceEncoder: steps must be (…, B, S, F) with F={features} features, got "
                f"shape {tuple(x.shape)}; set input_size or project x"
            )
        return step_lengths(x)
