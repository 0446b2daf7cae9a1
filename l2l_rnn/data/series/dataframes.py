"""Readers of time series in pandas data frames: nested, multi-index and long formats."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import shown
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, UnknownNameError

# Types that pandas infers for dates, times and durations. All of them sort by time.
_DATES = ("datetime64", "datetime", "date", "time", "timedelta64", "timedelta", "period")


class Columns(NamedTuple):
    """Names of the columns of a long frame that identify a value.

    Attributes:
        case: the column of series ids.
        time: the column of times.
        channel: the column of channel ids, if each row has the value of one channel; None if each
            row has the values of all channels.
    """

    case: Any = None
    time: Any = None
    channel: Any = None


class Frame(NamedTuple):
    """Content of a data frame.

    Attributes:
        series: an array (timepoints, channels) for each case.
        labels: the labels of the cases, by the name that was passed to `read_frame`.
    """

    series: list[NDArray[Any]]
    labels: dict[str, Any]


def is_frame(value: object) -> bool:
    """Return whether a value is a pandas DataFrame, without importing pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def read_frame(who: str, frame: Any, columns: Columns, labels: Mapping[str, Any]) -> Frame:
    """Read series from a pandas DataFrame.

    A nested frame (sktime's `nested_univ`) has a row per case, a column per channel, and series in
    its cells. A frame with two index levels (`pd-multiindex`) has a row per case and time. A long
    frame has the same rows, with case and time in two columns. Times only define the order of the
    steps. Numbers stored as text are parsed.

    Args:
        who: prefix of the error message.
        frame: the DataFrame.
        columns: the columns of a long frame.
        labels: the labels of the cases, by their name in error messages: the name of a column in a
            long frame, a mapping or Series from case to label, or a sequence in the order in which
            the cases first appear. Labels that are None are left out.

    Raises:
        UnknownNameError: a column does not exist.
        ArgumentError: the columns for case and time of a long frame are not given.
        ArgumentTypeError: a cell is neither a series nor a number, or a time is neither a number
            nor a date.
        ShapeError: the channels of a case differ in length.
        DataError: a case has a time twice, a label changes within a case, or a label is missing.
    """
    nested = len(frame.columns) > 0 and all(
        _is_series(frame.iloc[0, j] if len(frame) else None) for j in range(frame.shape[1])
    )
    if nested and columns == Columns():
        ids, series = list(frame.index), _nested(who, frame)
        found = {name: _by_case(who, name, given, ids) for name, given in labels.items()}
        return Frame(series, {name: given for name, given in found.items() if given is not None})
    return read_long(who, frame, columns, labels)


def _is_series(cell: object) -> bool:
    return getattr(cell, "ndim", 0) == 1 or isinstance(cell, (list, tuple))


def _nested(who: str, frame: Any) -> list[NDArray[Any]]:
    series = []
    for case, row in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        cells = []
        for channel, cell in zip(frame.columns, row, strict=True):
            if not _is_series(cell):
                raise ArgumentTypeError(
                    f"{who}: channel {shown(channel)} of case {shown(case)} must be a series of "
                    f"numbers, got {type(cell).__name__}; fill every cell"
                )
            cells.append(np.asarray(cell))
            if len(cells[-1]) != len(cells[0]):
                raise ShapeError(
                    f"{who}: channel {shown(channel)} of case {shown(case)} must have "
                    f"{len(cells[0])} steps like channel {shown(frame.columns[0])}, got "
                    f"{len(cells[-1])}; resample one of them"
                )
        series.append(np.stack(cells, -1))
    return series


def read_long(who: str, frame: Any, columns: Columns, labels: Mapping[str, Any]) -> Frame:
    """Read a long frame or one with two index levels; arguments as in `read_frame`."""
    if frame.index.nlevels == 2 and columns.case is None and columns.time is None:
        cases, times = (frame.index.get_level_values(level) for level in (0, 1))
    elif columns.case is None or columns.time is None:
        raise ArgumentError(
            f"{who}: case and time must name columns of a long frame, got case={columns.case!r} "
            f"and time={columns.time!r}; set each to one of its columns "
            f"({', '.join(map(str, frame.columns))}), or, if each row is a case, pass "
            "frame[[...]].to_numpy() of the value columns"
        )
    else:
        cases, times = (_column(who, frame, name) for name in (columns.case, columns.time))
    pandas = sys.modules["pandas"]
    codes, ids = pandas.factorize(cases)
    if (codes < 0).any() or pandas.isna(times).any():
        row = int(np.flatnonzero((codes < 0) | pandas.isna(times))[0])
        raise DataError(
            f"{who}: every row must have a case and a time, got none in row {row}; fill it in or "
            "drop the row"
        )
    # A str names a column of labels; other labels are values.
    inside = {name: given for name, given in labels.items() if isinstance(given, str)}
    values = frame.drop(
        columns=[c for c in columns[:2] if c is not None]
        + [_named(who, frame, column) for column in inside.values()]
    )
    if columns.channel is not None:
        values, codes, times = _pivoted(who, values, codes, times, columns.channel)
    for name, given in labels.items():
        if isinstance(given, (list, tuple, np.ndarray)) and not _is_sorted(ids):
            raise ArgumentError(
                f"{who}: {name} must map cases to labels, since the cases of the frame are not "
                f"sorted, got {type(given).__name__}; pass the name of a column, or a mapping or "
                "Series from case to label"
            )
    ordered, starts = _in_order(who, codes, times, ids)
    try:
        table = values.to_numpy(dtype=np.float64)[ordered]
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{who}: the columns {', '.join(map(str, values.columns))} must contain numbers, got "
            f"others ({error}); drop or convert those"
        ) from error
    if table.shape[1] == 0:
        raise DataError(
            f"{who}: the frame must have a column of values, got none besides case, time and "
            "labels; add one"
        )
    found = {
        name: _constant(who, name, frame[given].tolist(), pandas.factorize(cases)[0], ids)
        if name in inside
        else _by_case(who, name, given, list(ids))
        for name, given in labels.items()
    }
    return Frame(
        np.split(table, starts[1:]),
        {name: given for name, given in found.items() if given is not None},
    )


def _is_sorted(ids: Any) -> bool:
    return bool(sys.modules["pandas"].Index(ids).is_monotonic_increasing)


def _in_order(
    who: str, codes: NDArray[Any], times: Any, ids: Any
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sort rows by case and time; return the order, and the start of each case in it."""
    ranks = np.asarray(sys.modules["pandas"].factorize(_times(who, times), sort=True)[0])
    order = np.lexsort((ranks, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(ranks[order]) == 0)
    if same.any():
        row = int(order[np.flatnonzero(same)[0]])
        raise DataError(
            f"{who}: each case must have one row per time, got two of case "
            f"{shown(ids[codes[row]])} for time {times[row]!s}; drop one"
        )
    return order, np.unique(codes[order], return_index=True)[1]


def _times(who: str, times: Any) -> Any:
    """Return times as values that sort correctly; as text, 10 would sort before 9."""
    pandas = sys.modules["pandas"]
    if isinstance(times.dtype, pandas.CategoricalDtype):
        times = times.astype(times.categories.dtype)
    types = pandas.api.types
    dated = types.is_datetime64_any_dtype(times.dtype) or types.infer_dtype(times) in _DATES
    if dated or types.is_numeric_dtype(times.dtype):
        return times
    numbers = pandas.to_numeric(np.asarray(times, dtype=object), errors="coerce")
    missing = np.isnan(numbers)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise ArgumentTypeError(
            f"{who}: times must be numbers or dates, got {shown(times[row])} among others; convert "
            "them with pandas.to_datetime or pandas.to_numeric"
        )
    return numbers


def _pivoted(
    who: str, values: Any, codes: NDArray[Any], times: Any, channel: Any
) -> tuple[Any, NDArray[Any], Any]:
    """Turn rows of one channel each into rows of all channels."""
    kept = [c for c in values.columns if c != _named(who, values, channel)]
    if len(kept) != 1:
        raise ArgumentError(
            f"{who}: a frame with a channel column must have one value column, got "
            f"{', '.join(map(str, kept)) or 'none'}; drop the others"
        )
    pandas = sys.modules["pandas"]
    flat = pandas.DataFrame(
        {"case": codes, "time": np.asarray(times), "channel": values[channel].to_numpy()}
    )
    flat["value"] = values[kept[0]].to_numpy()
    try:
        wide = flat.pivot(index=["case", "time"], columns="channel", values="value")
    except ValueError as error:
        raise DataError(
            f"{who}: each channel must have one row per time, got two ({error}); drop one"
        ) from error
    return wide, np.asarray(wide.index.get_level_values(0)), wide.index.get_level_values(1)


def _column(who: str, frame: Any, name: Any) -> Any:
    return sys.modules["pandas"].Index(frame[_named(who, frame, name)])


def _named(who: str, frame: Any, name: Any) -> Any:
    if name not in frame.columns:
        raise UnknownNameError(
            f"{who}: unknown column {name!r}. Known: {', '.join(map(str, frame.columns))}"
        )
    return name


def _constant(who: str, what: str, values: list[Any], codes: NDArray[Any], ids: Any) -> list[Any]:
    """Return the value of a column that is constant within each case."""
    found: dict[int, Any] = {}
    for code, value in zip(codes.tolist(), values, strict=True):
        first = found.setdefault(code, value)
        both_missing = first != first and value != value  # NaN, which is reported later
        if first != value and not both_missing:
            raise DataError(
                f"{who}: {what} must be constant within a case, got {shown(first)} and "
                f"{shown(value)} in case {shown(ids[code])}; give each case one value"
            )
    return [found[code] for code in range(len(ids))]


def _by_case(who: str, what: str, given: Any, ids: list[Any]) -> Any:
    """Put labels from a mapping or Series in the order of the cases; return others unchanged."""
    pandas = sys.modules["pandas"]
    if isinstance(given, pandas.Series):
        given = given.to_dict() if given.index.is_unique else None
        if given is None:
            raise DataError(
                f"{who}: {what} must have one label per case, got two for some; drop the repeats"
            )
    if not isinstance(given, Mapping):
        return given
    for case in ids:
        if case not in given:
            raise DataError(
                f"{who}: {what} must have a label for every case, got none for {shown(case)}; add "
                "one"
            )
    return [given[case] for case in ids]
