"""Tables in memory: data frames, lists of rows and dicts of columns."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
from torch import Tensor

from l2l_rnn.data.series.dataframes import is_frame
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError
from l2l_rnn.optional import require
from l2l_rnn.registry import hint

_KINDS = {bool: "bool", str: "str", int: "int", float: "float", bytes: "bytes"}
_KINDS |= {list: "list", tuple: "list", np.ndarray: "list"}
_PATH = re.compile(r"\.\w{1,8}$")
_FILE_OR_ROW = (os.PathLike, Mapping)
_SCALARS = {"b": "bool", "i": "int", "u": "int", "f": "float"}


class TableRows:
    """Table in memory with the interface of a `datasets.Dataset` in Arrow format.

    Args:
        table: a pandas DataFrame, a list of dicts, a dict of columns, or a table that exports Arrow
            data, such as one of pyarrow or polars. The index of a DataFrame is ignored.
        columns: names of the columns to read.
        where: description of the table, for error messages.

    Raises:
        DataError: a column does not exist, occurs twice, or has values of several types.
        ArgumentTypeError: a row is not a dict, or a column is not a list.
        ShapeError: the columns differ in length.
    """

    features = None

    def __init__(self, table: Any, columns: Sequence[str], where: str) -> None:
        arrow = require("pyarrow", extra="hub", purpose="from_hf")
        read = _reader(arrow, table, where)
        wanted = list(dict.fromkeys(columns))
        arrays = {name: _array(arrow, read(name), name, where) for name in wanted}
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise ShapeError(
                f"from_hf: the columns of {where} must have one length, got "
                f"{', '.join(f'{n} for {name!r}' for name, n in lengths.items())}; pass one value "
                "for each row"
            )
        self._table = arrow.table(arrays)

    @property
    def column_names(self) -> list[str]:
        names: list[str] = self._table.column_names
        return names

    def select_columns(self, columns: Sequence[str]) -> TableRows:
        return self

    def with_format(self, kind: str) -> TableRows:
        return self

    def iter(self, batch_size: int) -> Iterator[Any]:
        """Yield Arrow tables of up to `batch_size` rows."""
        for first in range(0, len(self._table), batch_size):
            yield self._table.slice(first, batch_size)


def is_table(value: object) -> bool:
    """Return whether a value is a table in memory.

    Example:
        >>> is_table([{"text": "a"}]), is_table({"text": ["a"]}), is_table(["a.csv"])
        (True, True, False)
    """
    if isinstance(value, list | tuple):
        return any(isinstance(row, Mapping) for row in value)
    return is_frame(value) or isinstance(value, Mapping) or hasattr(value, "__arrow_c_stream__")


def is_columns(dataset: Mapping[Any, Any], columns: Sequence[str]) -> bool:
    """Return whether a dict contains columns, and not splits.

    Example:
        >>> is_columns({"text": ["a"], "label": ["b"]}, ["text", "label"])
        True
        >>> is_columns({"train": [{"text": "a", "label": "b"}]}, ["text", "label"])
        False
    """
    if dataset and all(column in dataset for column in columns):
        return True
    return any(_is_column(value) for value in dataset.values())


def _is_column(value: object) -> bool:
    """Return whether a value is a list of something other than rows and paths."""
    if isinstance(value, list | tuple):
        return any(
            not (_PATH.search(part) if isinstance(part, str) else isinstance(part, _FILE_OR_ROW))
            for part in value
        )
    return getattr(value, "ndim", 0) == 1


def _reader(arrow: Any, table: Any, where: str) -> Any:
    """Return a function from a column's name to its values."""
    if is_frame(table):
        names = list(table.columns)
    elif isinstance(table, Mapping):
        names = list(table)
    elif isinstance(table, list | tuple):
        for number, row in enumerate(table):
            if not isinstance(row, Mapping):
                raise ArgumentTypeError(
                    f"from_hf: every row of {where} must be a dict, got {type(row).__name__} in "
                    f"row {number}; pass dicts from column to value"
                )
        names = list(dict.fromkeys(name for row in table for name in row))
    else:
        try:
            table = arrow.table(table)
        except arrow.ArrowException as error:
            raise ArgumentTypeError(
                f"from_hf: {where} must be a table of columns, got {type(table).__name__}; pass "
                "texts and labels together"
            ) from error
        names = table.column_names

    def read(name: str) -> Any:
        if names.count(name) != 1:
            if name in names:
                raise DataError(
                    f"from_hf: column names must be distinct, got {name!r} "
                    f"{names.count(name)} times in {where}; rename or drop one"
                )
            known = ", ".join(map(str, names))
            raise DataError(
                f"from_hf: unknown column {name!r} in {where}{hint(name, list(map(str, names)))} "
                f"Known: {known or 'none'}"
            )
        return [row.get(name) for row in table] if isinstance(table, list | tuple) else table[name]

    return read


def _array(arrow: Any, values: Any, name: str, where: str) -> Any:
    """Return a column as an Arrow array, with None and NaN as nulls.

    pandas stores integers as floating point if some are missing; they become integers again.
    """
    if isinstance(values, str | bytes | Set | Mapping) or not hasattr(values, "__len__"):
        raise ArgumentTypeError(
            f"from_hf: the column {name!r} of {where} must be a list, got {type(values).__name__}; "
            "pass one value for each row"
        )
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    errors = (arrow.ArrowException, OverflowError, TypeError, ValueError)
    try:
        array = values if _is_arrow(arrow, values) else arrow.array(values, from_pandas=True)
    except errors:
        values = [None if _kind(value) is None else value for value in values]
        try:
            array = arrow.array(values)
        except errors as error:
            raise _fault(arrow, values, name, where, error) from error
    if arrow.types.is_floating(array.type):
        if array.null_count == len(array):
            return arrow.nulls(len(array))
        if array.null_count:
            try:
                return array.cast(arrow.int64())
            except arrow.ArrowException:
                pass  # not integers; the reader rejects them
    return array


def _is_arrow(arrow: Any, values: Any) -> bool:
    return isinstance(values, arrow.Array | arrow.ChunkedArray)


def _fault(arrow: Any, values: Any, name: str, where: str, error: Exception) -> DataError:
    """Return the DataError for a column that Arrow cannot read, with the row of its first fault."""
    before = None
    for row, value in enumerate(values):
        kind = _kind(value)
        if kind is None:
            continue
        if before is not None and kind != before:
            return DataError(
                f"from_hf: the column {name!r} must contain values of one type, got {kind} after "
                f"{before} in row {row} of {where}; convert the column"
            )
        before = kind
        try:
            arrow.array([value])
        except Exception as own:  # Arrow raises many kinds
            why = f"{kind} ({_shortened(own)}) in row {row}"
            break
    else:
        why = f"values of different types ({_shortened(error)})"
    return DataError(
        f"from_hf: the column {name!r} must contain texts, names or integers, got {why} of "
        f"{where}; convert the column"
    )


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _kind(value: Any) -> str | None:
    """Return the kind of a value, or None if it is missing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, np.generic):
        value_kind = _SCALARS.get(value.dtype.kind, type(value).__name__)
        return None if value_kind == "float" and np.isnan(value) else value_kind
    if isinstance(value, float) and value != value:
        return None
    return next(
        (kind for own, kind in _KINDS.items() if isinstance(value, own)), type(value).__name__
    )
