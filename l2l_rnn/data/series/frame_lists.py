"""Reader of time series in lists of pandas data frames."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from l2l_rnn.data.class_splits import some_names
from l2l_rnn.data.series.dataframes import Columns, Frame, is_frame, read_long
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError


def is_frame_list(value: object) -> bool:
    """Return whether a value is a list with a DataFrame in it."""
    return isinstance(value, (list, tuple)) and any(map(is_frame, value))


def read_frames(who: str, frames: Sequence[Any], layout: str, labels: Mapping[str, Any]) -> Frame:
    """Read series from a list with a DataFrame for each case, the `df-list` of sktime and aeon.

    In sktime, a row is a time point, and its index is the time. In aeon, a row is a channel. Both
    name the format `df-list`.

    Args:
        who: prefix of the error message.
        frames: the DataFrames.
        layout: `"channels_last"` if a row is a time point, `"channels_first"` if it is a channel.
        labels: as in `read_frame`; a mapping has the positions of the cases as keys.

    Raises:
        UnknownNameError, ArgumentTypeError: as `read_frame`.
        ArgumentTypeError: a case is not a DataFrame.
        ShapeError: the cases differ in channels, or an index has several levels.
        DataError: a case is empty or has a time twice, a label changes within a case or is missing.
    """
    others = [i for i, frame in enumerate(frames) if not is_frame(frame)]
    if others:
        raise ArgumentTypeError(
            f"{who}: every case must be a DataFrame if one is, got "
            f"{type(frames[others[0]]).__name__} for case {others[0]}; convert it"
        )
    if layout == "channels_first":
        frames = [frame.T for frame in frames]
    for i, frame in enumerate(frames):
        if 0 in frame.shape:
            raise DataError(f"{who}: case {i} must have at least one step, got none; drop it")
        if frame.index.nlevels > 1:
            raise ShapeError(
                f"{who}: the index of case {i} must be its times, got an index of "
                f"{frame.index.nlevels} levels; use droplevel, or concatenate the cases"
            )
        if not frame.columns.is_unique or set(frame.columns) != set(frames[0].columns):
            other = "channels_first" if layout == "channels_last" else "channels_last"
            raise ShapeError(
                f"{who}: case {i} must have {len(frames[0].columns)} channels like case 0, "
                f"{some_names(frames[0].columns)}, got {some_names(frame.columns)}; rename or add "
                f"some, or set layout={other!r} if the axes are swapped"
            )
    whole = sys.modules["pandas"].concat(frames, keys=range(len(frames)))
    return read_long(who, whole, Columns(), labels)
