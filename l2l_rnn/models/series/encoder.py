"""The series encoder: convolutions before a recurrence, pooled at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional import step_mask
from l2l_rnn.functional.layer_calls import NotScripted
from l2l_rnn.models.series.channels import (
    average_channels,
    channel_rows,
    check_inside,
    check_series,
)
from l2l_rnn.models.series.convolution import StepConvolution
from l2l_rnn.models.series.resampling import instance_normalized, resampled
from l2l_rnn.nn import CELLS, LayerNorm, Linear, MaxPooling, MeanPooling
from l2l_rnn.nn.torch_layers import run_ragged


@configurable
class SeriesEncoder(NotScripted):
    """Encode each series as one vector: convolve, run a recurrence, pool at every scale.

    A front of dilated and strided convolutions shortens the series, and a recurrent layer reads its
    output. The means and maxima over steps of each convolution's and of the recurrence's output are
    projected to the vector. The amount of padding does not change the results.

    Args:
        input_size: `F`, the number of channels, which are read together; None reads each channel on
            its own and averages the vectors, so any number of channels is accepted.
        length: steps to which each series is first resampled, so any length is accepted; None reads
            the series as it is, which must have at least `minimum_length` steps.
        normalize: whether each channel of a series is first scaled to mean 0 and standard deviation
            1; a constant channel becomes 0.
        channels: output features of each convolution.
        kernel_size: steps that a convolution reads.
        strides, dilations: of each convolution.
        hidden_size: `H`, hidden units of each direction of the recurrence.
        cell: name of the recurrent layer in `nn.CELLS`. Long series suit `"mingru"` and `"lru"`.
        num_layers, bidirectional: of the recurrence.
        embedding_size: `E`, the size of the vector.
        dropout: probability of zeroing the pooled features in training.

    Attributes:
        output_size: `E`.
        minimum_length: the fewest steps that the convolutions can read.

    Shapes:
        x `(…, B, S, F)`, padded with NaN -> `(…, B, E)`. With parameters `(N, …)`, the input is
        `(N, B, S, F)`.

    Raises:
        ArgumentError: a size or the dropout is out of range, the numbers of convolutions differ, a
            series is all padding or shorter than `minimum_length`, or has a NaN inside.
        ArgumentTypeError: x is not real-valued.
        ShapeError: x has too few axes or the wrong number of channels.
        UnknownNameError: the cell is unknown.

    Example:
        >>> encoder = SeriesEncoder(length=64, embedding_size=16)
        >>> encoder(torch.randn(2, 50, 3)).shape, encoder(torch.randn(2, 300, 1)).shape
        (torch.Size([2, 16]), torch.Size([2, 16]))
    """

    task_axis: ClassVar[bool] = True
    _script_fix: ClassVar[str] = "use torch.export.export"

    def __init__(
        self,
        *,
        input_size: int | None = None,
        length: int | None = None,
        normalize: bool = True,
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 7,
        strides: Sequence[int] = (2, 2),
        dilations: Sequence[int] = (1, 1),
        hidden_size: int = 64,
        cell: str = "gru",
        num_layers: int = 1,
        bidirectional: bool = True,
        embedding_size: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        who = "SeriesEncoder"
        self.input_size = None if input_size is None else check_int(who, "input_size", input_size)
        self.length = None if length is None else check_int(who, "length", length)
        self.normalize = bool(normalize)
        if not len(channels) == len(strides) == len(dilations) > 0:
            raise ArgumentError(
                f"{who}: channels, strides and dilations must have one value for each convolution, "
                f"got {len(channels)}, {len(strides)} and {len(dilations)}; pass as many of each"
            )
        sizes = [self.input_size or 1, *channels]
        self.front = nn.ModuleList(
            StepConvolution(before, after, kernel_size, stride, dilation)
            for before, after, stride, dilation in zip(
                sizes[:-1], sizes[1:], strides, dilations, strict=True
            )
        )
        self.norms = nn.ModuleList(LayerNorm(size) for size in channels)
        self.activation = nn.GELU()
        self.recurrence = CELLS[cell](
            sizes[-1], hidden_size, num_layers, batch_first=True, bidirectional=bidirectional
        )
        self.poolings = nn.ModuleList([MeanPooling(0), MaxPooling(0)])
        pooled = 2 * (sum(channels) + self.recurrence.output_size)
        self.dropout = nn.Dropout(check_number(who, "dropout", dropout, least=0, below=1))
        self.output_size = check_int(who, "embedding_size", embedding_size)
        self.projection = Linear(pooled, self.output_size)
        self.minimum_length = 1
        for layer in reversed(list(self.front)):
            self.minimum_length = (self.minimum_length - 1) * layer.stride + layer.reach
        if self.length is not None and self.length < self.minimum_length:
            raise ArgumentError(
                f"{who}: length must be at least {self.minimum_length}, the reach of the "
                f"convolutions, got {self.length}; raise length, or lower kernel_size or dilations"
            )

    def forward(self, x: Tensor) -> Tensor:
        if self.input_size is not None:
            return self._encoded(*self._together(x))
        rows, lengths, inside = channel_rows("SeriesEncoder", x)
        rows, lengths = self._prepared(rows, lengths)
        return average_channels(self._encoded(rows.unsqueeze(-1), lengths), inside)

    def _together(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return series `(…, B, S, F)` and lengths `(…, B)`, with all channels of a series."""
        lengths = check_series("SeriesEncoder", x)
        if x.shape[-1] != self.input_size:
            raise ShapeError(
                f"SeriesEncoder: x must have F={self.input_size} channels, got shape "
                f"{tuple(x.shape)}; set input_size={x.shape[-1]}, or input_size=None for any number"
            )
        x = x.where(step_mask(lengths, x.shape[-2]).unsqueeze(-1), 0)
        check_inside("SeriesEncoder", x)
        each = lengths.unsqueeze(-1).expand(*lengths.shape, x.shape[-1])
        rows, each = self._prepared(x.mT, each)
        return rows.mT, each[..., 0]

    def _prepared(self, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalize and resample channels: rows `(…, S)`, lengths `(…)`."""
        if self.normalize:
            rows = instance_normalized(rows, lengths)
        if self.length is not None:
            return resampled(rows, lengths, self.length), torch.full_like(lengths, self.length)
        values = readable_values(lengths)
        if values is not None and values.numel() and values.min() < self.minimum_length:
            raise ArgumentError(
                f"SeriesEncoder: a series must have at least {self.minimum_length} steps, the "
                f"reach of the convolutions, got one of {int(values.min())}; pass longer ones, or "
                "make an encoder with length, which resamples them, or with a lower kernel_size"
            )
        return rows, lengths

    def _encoded(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Encode series `(…, B, S, F)` with lengths `(…, B)`."""
        pooled = []
        for convolution, norm in zip(self.front, self.norms, strict=True):
            x = self.activation(norm(convolution(x)))
            lengths = convolution.output_lengths(lengths)
            pooled += [pooling(x, lengths) for pooling in self.poolings]
        outputs = run_ragged(self.recurrence, x, lengths)
        pooled += [pooling(outputs, lengths) for pooling in self.poolings]
        return self.projection(self.dropout(torch.cat(pooled, -1)))
