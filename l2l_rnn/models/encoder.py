"""The sequence encoder: one vector for each ragged sequence."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_int, check_number, check_tensor
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional import step_lengths, step_mask, token_lengths
from l2l_rnn.functional.layer_calls import NotScripted
from l2l_rnn.nn import (
    CELLS,
    AttentionPooling,
    Embedding,
    LastStep,
    MaxPooling,
    MeanPooling,
)
from l2l_rnn.nn.torch_layers import run_ragged
from l2l_rnn.registry import Registry

POOLINGS: Registry[Any] = Registry("pooling")
for _name, _pooling in {
    "last": LastStep,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}.items():
    POOLINGS.register(_name)(_pooling)


@configurable
class SequenceEncoder(NotScripted):
    """Encode each sequence as one vector: embed tokens, run a recurrence, pool the valid steps.

    The input is token ids padded with 0 (`vocab_size`) or real-valued steps padded with NaN
    (`input_size`); pass exactly one of the two. The amount of padding does not change the results.

    Args:
        vocab_size: number of token ids, including padding.
        input_size: `F`, features of a real-valued step.
        embedding_size: features of a token's vector; used only with `vocab_size`.
        hidden_size: `H`, hidden units of each direction.
        cell: name of the recurrent layer in `nn.CELLS`: `"rnn"`, `"gru"`, `"lstm"`, `"mingru"`,
            `"minlstm"`, `"lru"`, or one that you registered.
        num_layers: number of recurrent layers.
        bidirectional: whether a second recurrence reads the sequence from its end.
        pooling: `"last"` (each direction's last valid step), `"mean"`, `"max"` or `"attention"`.
        dropout: probability of zeroing, in training, the elements of embedded inputs, of outputs
            between layers and of the pooled vector; or a module, such as `nn.LearnedDropout`, that
            is applied to embedded inputs and the pooled vector but not between layers.

    Attributes:
        output_size: features of a sequence's vector: `H`, or `2 H` if bidirectional.

    Shapes:
        tokens `(…, B, S)` or steps `(…, B, S, F)` -> `(…, B, output_size)`. With parameters
        `(N, …)`, the input is `(N, B, S)` or `(N, B, S, F)`.

    Raises:
        ArgumentError: not exactly one of `vocab_size` and `input_size` is given, a size or the
            dropout is out of range, a token id is out of range, a sequence is all padding, or a
            step inside a sequence holds a NaN.
        ArgumentTypeError: x is not a tensor, tokens are not integers, steps are not real-valued, or
            the dropout is neither a number nor a module.
        ShapeError: the input has too few axes or the wrong number of features.
        UnknownNameError: the cell or the pooling is unknown.

    Example:
        >>> import torch
        >>> encoder = SequenceEncoder(vocab_size=30, hidden_size=8, bidirectional=True)
        >>> encoder(torch.tensor([[3, 4, 5], [6, 0, 0]])).shape
        torch.Size([2, 16])
    """

    task_axis: ClassVar[bool] = True
    _script_fix: ClassVar[str] = "pass nn.to_torch(model) to torch.jit.trace"

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
                "SequenceEncoder: expected either vocab_size, for token ids, or input_size, for "
                f"real-valued steps, got vocab_size={vocab_size} and input_size={input_size}; pass "
                "exactly one"
            )
        who = "SequenceEncoder"
        features = check_int(who, "embedding_size", embedding_size)
        self.embedding: Embedding | None = None
        if vocab_size is not None:
            self.embedding = Embedding(check_int(who, "vocab_size", vocab_size), features)
        else:
            features = check_int(who, "input_size", input_size)
        between = 0.0
        if isinstance(dropout, nn.Module):
            self.dropout = dropout
        elif isinstance(dropout, Real):
            between = check_number(who, "dropout", dropout, least=0, below=1)
            self.dropout = nn.Dropout(between)
        else:
            raise ArgumentTypeError(
                f"{who}: dropout must be a number or a module, got {dropout!r}; pass 0 for none"
            )
        cell_class, pooling_class = CELLS[cell], POOLINGS[pooling]
        self.recurrence = cell_class(
            features,
            hidden_size,
            num_layers,
            batch_first=True,
            dropout=between,
            bidirectional=bidirectional,
        )
        self.output_size = self.recurrence.output_size
        self.pooling = pooling_class(self.output_size, bidirectional)

    def forward(self, x: Tensor) -> Tensor:
        lengths = self._lengths(x)
        values = readable_values(lengths)
        if values is not None and values.numel():
            if not values.all():
                where = tuple(int(i) for i in (values == 0).nonzero()[0])
                raise ArgumentError(
                    f"SequenceEncoder: sequence {where[0] if len(where) == 1 else where} is all "
                    "padding; drop it, or give it at least one step, such as an unknown token"
                )
            x = x.narrow(lengths.dim(), 0, int(values.max()))  # cut shared padding
        if self.embedding is None:
            inside = step_mask(lengths, x.shape[-2]).unsqueeze(-1)
            x = x.where(inside, 0)
            values = readable_values(x)
            if values is not None and values.isnan().any():
                raise ArgumentError(
                    "SequenceEncoder: a step inside a sequence holds a NaN, which marks padding "
                    "at the end; fill or drop such steps first"
                )
        else:
            x = self.embedding(x)
        outputs = run_ragged(self.recurrence, self.dropout(x), lengths)
        return self.dropout(self.pooling(outputs, lengths))

    def _lengths(self, x: Tensor) -> Tensor:
        """Check the input and compute its lengths, `(…, B)`."""
        check_tensor("SequenceEncoder", "x", x)
        if torch.jit.is_tracing():  # a trace of the checks would fix the shape
            return step_lengths(x) if self.embedding is None else token_lengths(x)
        if self.embedding is not None:
            if x.is_floating_point():
                raise ArgumentTypeError(
                    f"SequenceEncoder: token ids must be integers, got {x.dtype}; set input_size "
                    "instead of vocab_size to read real-valued steps"
                )
            if x.dim() < 2 or x.shape[-1] == 0:
                raise ShapeError(
                    "SequenceEncoder: tokens must be (…, B, S) with at least one step, got shape "
                    f"{tuple(x.shape)}; add a batch axis, or drop empty sequences"
                )
            return token_lengths(x)
        features = self.recurrence.input_size
        if not x.is_floating_point():
            raise ArgumentTypeError(
                f"SequenceEncoder: steps must be real-valued, got {x.dtype}; set vocab_size "
                "instead of input_size to read token ids"
            )
        if x.dim() < 3 or x.shape[-1] != features or x.shape[-2] == 0:
            raise ShapeError(
                "SequenceEncoder: steps must be (…, B, S, F) with at least one step of "
                f"F={features} features, got shape {tuple(x.shape)}; set input_size or project x"
            )
        return step_lengths(x)
