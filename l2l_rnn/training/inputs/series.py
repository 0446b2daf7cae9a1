"""Conversion of time series to standardized steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.padding import LAYOUTS, padded_steps
from l2l_rnn.data.series.dataframes import Columns, is_frame, read_frame
from l2l_rnn.data.series.frame_lists import is_frame_list, read_frames
from l2l_rnn.data.series.layouts import split_flat
from l2l_rnn.data.series.moments import standardized
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.training.inputs.base import Inputs


class SeriesInputs(Inputs):
    """Turn time series into standardized steps.

    Takes every format of `data.from_arrays`: arrays of all cases, lists of arrays of different
    lengths, and pandas data frames.

    Args:
        input_size: `F`, the number of channels; None takes any number, for an encoder that does.
        mean, std: mean and standard deviation of each channel, from `data.channel_moments` of the
            training series; one number stands for all channels. 0 and 1 leave the series as they
            are, for an encoder that normalizes each of them.
        max_length: the largest number of steps; each series keeps its first ones. None keeps all.
        layout: the axes of arrays, `"channels_first"` or `"channels_last"`. None is channels first
            for arrays, and channels last for flat arrays and lists of frames.

    Shapes:
        call: B series of F channels -> `(B, S, F)` float32, padded with NaN.

    Raises:
        ArgumentError: a size is not a positive integer, or the moments do not fit or are not finite
            and positive.
        ShapeError: in a call, the series have another number of channels.
        ArgumentTypeError: in a call, the series are not numbers.
        DataError: in a call, a series is empty, or has an infinite value or a NaN before its end.

    Example:
        >>> inputs = SeriesInputs(1, mean=2.0, std=2.0)
        >>> inputs([[2.0, 4.0], [6.0]]).squeeze(-1)
        tensor([[0., 1.],
                [2., nan]])
    """

    kind = "series"

    def __init__(
        self,
        input_size: int | None,
        mean: Any,
        std: Any,
        max_length: int | None = None,
        layout: str | None = None,
    ) -> None:
        who = "SeriesInputs"
        self.input_size = None if input_size is None else check_int(who, "input_size", input_size)
        self.max_length = (
            max_length if max_length is None else check_int(who, "max_length", max_length)
        )
        self.layout = layout if layout is None else check_choice(who, "layout", layout, LAYOUTS)
        try:
            moments = [torch.as_tensor(m, dtype=torch.float32).detach().cpu() for m in (mean, std)]
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentTypeError(
                f"{who}: mean and std must be numbers, one for each channel, got "
                f"{type(mean).__name__} and {type(std).__name__}; use data.channel_moments"
            ) from error
        standardized(who, torch.zeros(1, 1, self.input_size or 1), (moments[0], moments[1]))
        self.mean, self.std = (m.expand(self.input_size or 1).clone() for m in moments)

    def __repr__(self) -> str:
        return f"SeriesInputs({self.input_size}, max_length={self.max_length})"

    def __call__(
        self,
        raw: Any,
        *,
        lengths: Any = None,
        case: Any = None,
        time: Any = None,
        channel: Any = None,
    ) -> Tensor:
        """Return series as one padded and standardized tensor.

        Args:
            raw: the series, in a format of `data.from_arrays`.
            lengths, case, time, channel: as in `data.from_arrays`.
        """
        steps = self._steps(raw, lengths, Columns(case, time, channel))
        if self.input_size is not None and steps.shape[-1] != self.input_size:
            raise ShapeError(
                f"SeriesInputs: series must have F={self.input_size} channels, got "
                f"{steps.shape[-1]}; pass arrays of "
                f"{LAYOUTS[self.layout or 'channels_first']}, or use a model for this kind of input"
            )
        return standardized("SeriesInputs", steps[:, : self.max_length], (self.mean, self.std))

    def known_fraction(self, raw: Any) -> NDArray[np.float64]:
        """Return 1 for each series, because there are no unknown numbers, `(B,)`."""
        return np.ones(len(self(raw)))

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "input_size": self.input_size,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "max_length": self.max_length,
            "layout": self.layout,
        }

    @classmethod
    def _from_json(cls, content: dict[str, Any]) -> SeriesInputs:
        names = ("input_size", "mean", "std", "max_length", "layout")
        return cls(**{name: content[name] for name in names})

    def _steps(self, raw: Any, lengths: Any, columns: Columns) -> Tensor:
        who = "SeriesInputs"
        if _holds_text(raw):
            raise ArgumentTypeError(
                f"{who}: series must be numbers, got texts; this model reads time series, so use a "
                "model for this kind of input"
            )
        if is_frame(raw) and lengths is None:
            return padded_steps(who, read_frame(who, raw, columns, {}).series, "channels_last")
        if columns != Columns():
            raise ArgumentError(
                f"{who}: case, time and channel require a long data frame, got "
                f"{type(raw).__name__}; leave them out"
            )
        if is_frame_list(raw):
            frames = read_frames(who, raw, self.layout or "channels_last", {})
            return padded_steps(who, frames.series, "channels_last")
        if lengths is not None:
            flat = split_flat(who, np.asarray(raw), lengths, self.layout)
            return padded_steps(who, flat, "channels_last")
        return padded_steps(who, raw, self.layout or "channels_first")


def _holds_text(raw: Any) -> bool:
    if isinstance(raw, (str, bytes)):
        return True
    if is_frame(raw) and raw.shape[1] == 1:
        raw = raw.iloc[:, 0]
    if isinstance(raw, (list, tuple)):
        return any(isinstance(one, (str, bytes)) for one in raw)
    kind = getattr(getattr(raw, "dtype", None), "kind", "")
    if kind in ("O", "U", "S"):
        values = np.asarray(raw).reshape(-1)[:1]
        return bool(len(values)) and isinstance(values[0], (str, bytes))
    return False
