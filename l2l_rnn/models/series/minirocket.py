"""MiniRocket: features of series from fixed convolution kernels."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional.affine import precise
from l2l_rnn.models.series.channels import average_channels, channel_rows
from l2l_rnn.models.series.resampling import instance_normalized, resampled

KERNEL_LENGTH = 9
_TRIPLES = torch.tensor(list(itertools.combinations(range(KERNEL_LENGTH), 3)))  # (84, 3)
KERNELS = len(_TRIPLES)
_MOST_DILATIONS = 32
_GOLDEN = (math.sqrt(5) + 1) / 2
_ELEMENTS = 2**22  # of the largest intermediate tensor
_FEW = 16  # biases of a kernel
_LEAST_STD = 0.02  # of a feature, which is a proportion


@configurable
class MiniRocket(nn.Module):
    """Encode each series as the proportions of positive values of fixed, dilated convolutions.

    There are 84 kernels of length 9, with three weights of 2 and six of -1, at several dilations.
    A feature is the fraction of the outputs of a kernel that are above a bias. The biases are
    quantiles of the kernels' outputs on example series, see `fit`. All other numbers are fixed.

    Each series is first resampled to `length` steps, so series of any length have the same
    features. Each channel is encoded on its own. The features are piecewise constant, so no
    gradient passes through this encoder.

    Args:
        input_size: `F`, the number of channels, whose features are concatenated; None averages the
            features over channels, so any number of channels is accepted.
        length: steps to which a series is resampled, at least 9.
        features: number of features of a channel, rounded down to a multiple of 84, at least 84.
        normalize: whether each channel of a series is scaled to mean 0 and standard deviation 1.
        standardize: whether features are scaled to mean 0 and standard deviation 1 over the series
            given to `fit`, and divided by the root of their number.

    Attributes:
        output_size: the number of features.
        dilations: the dilations, in steps.
        counts: features per kernel of each dilation.
        biases: `(output_size,)`; zeros before `fit`. Ordered by channel, dilation, kernel and
            quantile.
        center, scale: what features are shifted and multiplied by, with `standardize`.

    Shapes:
        x `(…, B, S, F)`, padded with NaN -> `(…, B, output_size)`.

    Raises:
        ArgumentError: a size is out of range, or a series is all padding or has a NaN inside.

    Example:
        >>> x = torch.sin(torch.arange(60.0)).reshape(2, 30, 1)
        >>> rocket = MiniRocket(length=32, features=168).fit(x)
        >>> rocket(x).shape
        torch.Size([2, 168])

    Source: A. Dempster, D. Schmidt and G. Webb, 2021, MiniRocket: A Very Fast (Almost)
    Deterministic Transform for Time Series Classification. On a univariate series of `length` steps
    the features are those of sktime's `MiniRocketMultivariate` with the same biases. Resampling,
    and the average over channels in place of random sums of channels, are choices made here: they
    give the same features whatever the length and the number of channels.
    """

    task_axis: ClassVar[bool] = True
    biases: Tensor
    center: Tensor | None
    scale: Tensor | None

    def __init__(
        self,
        input_size: int | None = None,
        *,
        length: int = 128,
        features: int = 9996,
        normalize: bool = True,
        standardize: bool = False,
    ) -> None:
        super().__init__()
        self.length = check_int("MiniRocket", "length", length, least=KERNEL_LENGTH)
        self.features = check_int("MiniRocket", "features", features, least=KERNELS)
        self.normalize = bool(normalize)
        self.dilations, self.counts = _dilations(self.length, self.features // KERNELS)
        self.input_size = (
            None if input_size is None else check_int("MiniRocket", "input_size", input_size)
        )
        self.per_channel = KERNELS * sum(self.counts)
        self.output_size = self.per_channel * (self.input_size or 1)
        self.standardize = bool(standardize)
        self.register_buffer("biases", torch.zeros(self.output_size))
        self.register_buffer("center", torch.zeros(self.output_size) if standardize else None)
        self.register_buffer("scale", torch.ones(self.output_size) if standardize else None)

    @torch.no_grad()
    def fit(self, x: Tensor, generator: Generator | None = None) -> MiniRocket:
        """Set the biases to quantiles of the outputs on one random series for each kernel.

        Args:
            x: example series, `(B, S, F)`, padded with NaN.
            generator: draws the series; None uses torch's global generator.

        Returns:
            The encoder itself.
        """
        rows, _ = self.channels(x)
        series = rows.reshape(-1, self.input_size or 1, self.length)  # all channels, or each alone
        self.biases.copy_(
            torch.cat([self._quantiles(part, generator) for part in series.unbind(1)])
        )
        if self.center is not None and self.scale is not None:
            features = self._of_rows(series).to(series.dtype)
            self.center.copy_(features.mean(0))
            std = features.std(0, correction=0).clamp_min(_LEAST_STD)
            self.scale.copy_(1 / (std * math.sqrt(self.output_size)))
        return self

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        rows, inside = self.channels(x)
        features = self._of_rows(rows.reshape(-1, self.input_size or 1, self.length))
        if self.input_size is not None:
            features = features.reshape(*x.shape[:-2], self.output_size)
        else:
            features = features.reshape(*rows.shape[:-1], self.output_size)
            features = average_channels(features, inside)
        # Equal means of several channels are equal in all bits after this. A head that divides by
        # standard deviations would enlarge the differences.
        features = features.to(rows.dtype)
        if self.center is None or self.scale is None:
            return features
        return (features - self.center) * self.scale

    def channels(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the resampled channels `(…, B F, length)`, and which have values `(…, B, F)`."""
        rows, lengths, inside = channel_rows("MiniRocket", x)
        if self.input_size not in (None, x.shape[-1]):
            raise ShapeError(
                f"MiniRocket: x must have F={self.input_size} channels, got shape "
                f"{tuple(x.shape)}; set input_size={x.shape[-1]}, or input_size=None for any number"
            )
        if self.normalize:
            rows = instance_normalized(rows, lengths)
        return resampled(rows, lengths, self.length), inside

    def _quantiles(self, series: Tensor, generator: Generator | None) -> Tensor:
        """Return biases for series `(R, S)`: quantiles of each kernel's outputs on one of them."""
        quantiles = torch.arange(1, self.per_channel + 1, dtype=torch.float64) * _GOLDEN % 1
        found, place = [], 0
        for number, count in enumerate(self.counts):
            chosen = torch.randint(len(series), (KERNELS,), generator=generator)
            outputs = self._outputs(series[chosen.to(series.device)], number, own=True)  # (84, S)
            share = quantiles[place : place + KERNELS * count].view(KERNELS, count)
            at = (share * (self.length - 1)).to(series.device)
            low = at.floor().long().clamp_max(self.length - 2)
            ordered = outputs.double().sort(-1).values
            below, above = ordered.gather(-1, low), ordered.gather(-1, low + 1)
            found.append((below + (above - below) * (at - low)).flatten())
            place += KERNELS * count
        return torch.cat(found)

    def _of_rows(self, rows: Tensor) -> Tensor:
        """Return the fractions of rows `(R, F, S)`, `(R, output_size)`, a part at a time."""
        chunk = max(1, _ELEMENTS // (KERNELS * self.length))
        biases = self.biases.view(rows.shape[1], -1)
        return torch.cat(
            [
                torch.cat([self._features(part[:, f], own) for f, own in enumerate(biases)], -1)
                for part in rows.split(chunk)
            ]
        )

    def _features(self, rows: Tensor, own: Tensor) -> Tensor:
        """Return the features of one channel, rows `(R, S)`, with its biases."""
        found, place = [], 0
        for number, count in enumerate(self.counts):
            outputs = self._outputs(rows, number)  # (R, 84, S)
            biases = own[place : place + KERNELS * count].view(KERNELS, count).to(outputs)
            cut = (KERNEL_LENGTH - 1) * self.dilations[number] // 2
            part = precise(rows[:0]).new_empty(len(rows), KERNELS, count)
            # Kernels take turns: with the outputs that read zero padding, and without these.
            whole, inner = number % 2, (number + 1) % 2
            part[:, whole::2] = _above(outputs[:, whole::2], biases[whole::2])
            part[:, inner::2] = _above(outputs[:, inner::2, cut:-cut], biases[inner::2])
            found.append(part.flatten(1))
            place += KERNELS * count
        return torch.cat(found, 1)

    def _outputs(self, rows: Tensor, number: int, own: bool = False) -> Tensor:
        """Return the outputs of the kernels at a dilation, `(R, 84, S)`.

        With `own`, row k only has the outputs of kernel k, `(84, S)`.
        """
        dilation = self.dilations[number]
        cut = (KERNEL_LENGTH - 1) * dilation // 2
        padded = F.pad(rows, (cut, cut))
        shifts = padded.unfold(-1, rows.shape[-1], dilation)[:, :KERNEL_LENGTH]  # (R, 9, S)
        total = shifts.sum(1)
        triples = _TRIPLES.to(rows.device)
        if own:
            return 3 * shifts[torch.arange(KERNELS).unsqueeze(-1), triples].sum(1) - total
        first, second, third = triples.unbind(-1)
        chosen = shifts[:, first] + shifts[:, second] + shifts[:, third]
        return 3 * chosen - total.unsqueeze(1)


def _above(outputs: Tensor, biases: Tensor) -> Tensor:
    """Return the fraction of outputs above each bias, in the dtype of `precise`.

    Shapes:
        outputs `(R, K, S)`, biases `(K, M)` -> `(R, K, M)`.
    """
    steps = outputs.shape[-1]
    if biases.shape[-1] <= _FEW:  # faster than to sort the outputs
        parts = [(outputs > bias.unsqueeze(-1)).float() for bias in biases.unbind(-1)]
        return precise(torch.stack([part.sum(-1) for part in parts], -1)) / steps
    ordered = outputs.sort(-1).values
    biases = biases.expand(len(outputs), *biases.shape).contiguous()
    return precise(steps - torch.searchsorted(ordered, biases, right=True)) / steps


def _dilations(length: int, per_kernel: int) -> tuple[list[int], list[int]]:
    """Return the dilations for a length, and the number of features of a kernel at each."""
    most = min(per_kernel, _MOST_DILATIONS)
    highest = math.log2((length - 1) / (KERNEL_LENGTH - 1))
    exponents = torch.linspace(0, highest, most, dtype=torch.float64)
    if most == 1:
        exponents = torch.zeros(1, dtype=torch.float64)
    values = (2**exponents).floor().long()
    dilations, repeats = values.unique(return_counts=True)
    counts = [int(n * per_kernel / most) for n in repeats.tolist()]
    for extra in range(per_kernel - sum(counts)):
        counts[extra % len(counts)] += 1
    return dilations.tolist(), counts
