"""Time series out of pandas data frames: nested, of two index levels, and long ones."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError, UnknownNameError

# What pandas infers of dates and times of day, whose order is that of time.
_DATES = ("datetime64", "datetime", "date", "time", "timedelta64", "timedelta", "period")


class Columns(NamedTuple):
    """Names of the columns of a long frame that say whose and when a value is.

    Attributes:
        case: of the series.
        time: of the time.
        channel: of the channel, where a row holds the value of one channel; None where it holds
            those of all.
    """

    case: Any = None
    time: Any = None
    channel: Any = None


class Frame(NamedTuple):
    """What a data frame holds.

    Attributes:
        series: an array (timepoints, channels) for each case.
        labels: by the names they were asked by, one value a case.
    """

    series: list[NDArray[Any]]
    labels: dict[str, Any]


def is_frame(value: object) -> bool:
    """Say whether a value is a pandas DataFrame; without pandas there is none."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def read_frame(who: str, frame: Any, columns: Columns, labels: Mapping[str, Any]) -> Frame:
    """Read series out of a pandas DataFrame.

    A frame whose cells hold series (sktime's `nested_univ`) has a row for each case and a column
    for each channel. One with an index of two levels (`pd-multiindex`) has a row for each case
    and time. So has a long one, which names the two in columns. Times give the order of the steps
    and nothing more; numbers that are text count as numbers.

    Args:
        who: who asks, to begin an error's message.
        frame: the DataFrame.
        columns: where a long frame keeps what.
        labels: what each case is labelled with, by its name in messages: the name of a column of
            a long frame, a mapping or a Series by case, or a sequence in the order of the cases'
            first appearance. None is left out.

    Raises:
        UnknownNameError: a column is not there.
        ArgumentError: a frame of plain columns does not say which of them are case and time.
        ArgumentTypeError: cells hold neither series nor numbers, or times neither numbers, in
            figures or as text, nor dates.
        ShapeError: the channels of a case differ in length.
        DataError: a time stands twice in a case, a label changes within a case, or one is missing.
    """
    nested = len(frame.columns) > 0 and all(
        _is_series(frame.iloc[0, j] if len(frame) else None) for j in range(frame.shape[1])
    )
    if nested and columns == Columns():
        ids, series = list(frame.index), _nested(who, frame)
        found = {name: _by_case(who, name, given, ids) for name, given in labels.items()}
        return Frame(series, {name: given for name, given in found.items() if given is not None})
    return _long(who, frame, columns, labels)


def _is_series(cell: object) -> bool:
    return getattr(cell, "ndim", 0) == 1 or isinstance(cell, (list, tuple))


def _nested(who: str, frame: Any) -> list[NDArray[Any]]:
    series = []
    for case, row in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        cells = []
        for channel, cell in zip(frame.columns, row, strict=True):
            if not _is_series(cell):
                raise ArgumentTypeError(
                    f"{who}: case {case!r} holds a {type(cell).__name__} in channel {channel!r}, "
                    "expected a series of numbers; fill every cell"
                )
            cells.append(np.asarray(cell))
            if len(cells[-1]) != len(cells[0]):
                raise ShapeError(
                    f"{who}: case {case!r} has {len(cells[-1])} steps in channel {channel!r} and "
                    f"{len(cells[0])} in channel {frame.columns[0]!r}; resample one"
                )
        series.append(np.stack(cells, -1))
    return series


def _long(who: str, frame: Any, columns: Columns, labels: Mapping[str, Any]) -> Frame:
    if frame.index.nlevels == 2 and columns.case is None and columns.time is None:
        cases, times = (frame.index.get_level_values(level) for level in (0, 1))
    elif columns.case is None or columns.time is None:
        raise ArgumentError(
            f"{who}: a frame of plain columns must name those of case and time, got "
            f"case={columns.case!r} and time={columns.time!r}; set both to one of its columns "
            f"({', '.join(map(str, frame.columns))}), or pass frame[[...]].to_numpy() of the "
            "columns that hold values if each row is a case"
        )
    else:
        cases, times = (_column(who, frame, name) for name in (columns.case, columns.time))
    pandas = sys.modules["pandas"]
    codes, ids = pandas.factorize(cases)
    if (codes < 0).any() or pandas.isna(times).any():
        row = int(np.flatnonzero((codes < 0) | pandas.isna(times))[0])
        raise DataError(f"{who}: row {row} names no case or no time; fill it in or drop it")
    # A label may itself be the name of a column; a list or a dict cannot be.
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
                f"{who}: the cases of the frame are not in order, so {name} must say which case "
                "each label is of; give the name of a column, or a mapping or Series by case"
            )
    ordered, starts = _in_order(who, codes, times, ids)
    try:
        table = values.to_numpy(dtype=np.float64)[ordered]
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{who}: the columns {', '.join(map(str, values.columns))} must hold numbers ({error});"
            " drop or convert the others"
        ) from error
    if table.shape[1] == 0:
        raise DataError(f"{who}: no column is left for the values; name fewer as something else")
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
    """Sort rows by case and time; return the order and where each case starts."""
    ranks = np.asarray(sys.modules["pandas"].factorize(_times(who, times), sort=True)[0])
    order = np.lexsort((ranks, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(ranks[order]) == 0)
    if same.any():
        row = int(order[np.flatnonzero(same)[0]])
        raise DataError(
            f"{who}: case {ids[codes[row]]!r} has two rows of the time {times[row]!s}; drop one"
        )
    return order, np.unique(codes[order], return_index=True)[1]


def _times(who: str, times: Any) -> Any:
    """Bring times to values whose order is that of time: as text, 10 comes before 9."""
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
            f"{who}: times must be numbers or dates, got {times[row]!r} among others; convert them "
            "by pandas.to_datetime or pandas.to_numeric"
        )
    return numbers


def _pivoted(
    who: str, values: Any, codes: NDArray[Any], times: Any, channel: Any
) -> tuple[Any, NDArray[Any], Any]:
    """Bring rows of one channel each to rows of all channels."""
    kept = [c for c in values.columns if c != _named(who, values, channel)]
    if len(kept) != 1:
        raise ArgumentError(
            f"{who}: a frame with a column of channels must have one column of values, got "
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
        raise DataError(f"{who}: a channel has two rows of one time ({error}); drop one") from error
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
    """Take the one value that a column has within each case."""
    found: dict[int, Any] = {}
    for code, value in zip(codes.tolist(), values, strict=True):
        first = found.setdefault(code, value)
        if first != value and (first == first or value == value):  # NaN is found missing later
            raise DataError(
                f"{who}: {what} changes within case {ids[code]!r}, from {first!r} to "
                f"{value!r}; give each case one"
            )
    return [found[code] for code in range(len(ids))]


def _by_case(who: str, what: str, given: Any, ids: list[Any]) -> Any:
    """Bring labels by case to the order of the cases; leave others as they are."""
    pandas = sys.modules["pandas"]
    if isinstance(given, pandas.Series):
        given = given.to_dict() if given.index.is_unique else None
        if given is None:
            raise DataError(f"{who}: {what} names a case twice; give each case one")
    if not isinstance(given, Mapping):
        return given
    for case in ids:
        if case not in given:
            raise DataError(f"{who}: {what} has no label for case {case!r}; add one")
    return [given[case] for case in ids]
