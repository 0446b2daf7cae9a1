"""Reader of a dataset's texts and classes, in batches of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.errors import DataError
from l2l_rnn.optional import require
from l2l_rnn.tasksets.hub.files import (
    ROWS,
    DatasetSplit,
    check_columns,
    first_columns,
    read_error,
)


class Rows(NamedTuple):
    """A batch of consecutive rows in one of the dataset's splits.

    Attributes:
        split: index of the dataset's split.
        first: number of the first row in that split.
        codes: class of each row, as its number in `RowReader.names`; -1 for a row without a label.
        texts: text of each row, an Arrow array.
        blank: whether each text is missing or blank.
        groups: group of each row, as its number in `RowReader.group_names`; -1 for a row without a
            group; None if the rows have no groups.
    """

    split: int
    first: int
    codes: NDArray[np.int64]
    texts: Any
    blank: NDArray[np.bool_]
    groups: NDArray[np.int64] | None


class RowReader:
    """Reads the text, label and group columns of a dataset in batches.

    Args:
        splits: the dataset's own splits.
        text: columns of the text, joined by a space.
        label: column of the class.
        limit: maximum number of characters per text.
        group: column of the group; None if the rows have no groups.

    Attributes:
        names: number of each class read so far, by class name.
        group_names: number of each group read so far, by group name.

    Raises:
        DataError: a split lacks a column.
    """

    def __init__(
        self,
        splits: Sequence[DatasetSplit],
        text: Sequence[str],
        label: str,
        limit: int,
        group: str | None = None,
    ) -> None:
        self.splits, self.text, self.label, self.limit = splits, tuple(text), label, limit
        self.group = group
        self.names: dict[str, int] = {}
        self.group_names: dict[str, int] = {}
        self._kinds: dict[str, str] = {}
        self._columns = list(dict.fromkeys((*text, label, *(() if group is None else (group,)))))
        self._arrow = require("pyarrow", extra="hub", purpose="from_hf")
        self._compute = require("pyarrow.compute", extra="hub", purpose="from_hf")
        for split in splits:
            columns = first_columns(split.data)
            if not columns:
                raise DataError(
                    f"from_hf: {self.where(split)} must have rows, got none; add or drop the split"
                )
            check_columns(self._columns, columns, self.where(split))

    def __iter__(self) -> Iterator[Rows]:
        """Yield all rows in the dataset's order, also if it is shuffled, selected or filtered.

        Raises:
            DataError: the rows cannot be read, or contain something other than texts and classes.
        """
        for index, split in enumerate(self.splits):
            first = 0
            for table in self._tables(split):
                where = f"{self.where(split)}, rows {first} to {first + len(table) - 1}"
                texts = self._texts(table, split, first)
                trimmed = self._compute.utf8_trim_whitespace(texts)
                blank = self._compute.equal(self._compute.utf8_length(trimmed), 0)
                codes = self._codes(table, self.label, self.names, where, split, first)
                groups = None
                if self.group is not None:
                    groups = self._codes(table, self.group, self.group_names, where, split, first)
                yield Rows(index, first, codes, texts, blank.to_numpy(zero_copy_only=False), groups)
                first += len(table)

    def where(self, split: DatasetSplit) -> str:
        """Return the name of a dataset split for error messages."""
        single = len(self.splits) == 1
        return ", ".join(split.files) or ("the dataset" if single else f"the split {split.name!r}")

    def _tables(self, split: DatasetSplit) -> Iterator[Any]:
        rows = 0
        try:
            # `iter` follows the order of a shuffled or selected dataset; its `data` does not.
            for table in split.data.select_columns(self._columns).with_format("arrow").iter(ROWS):
                yield table
                rows += len(table)
        except (self._arrow.ArrowException, LookupError, OSError, TypeError, ValueError) as error:
            raise read_error(error, split.files, f"after {rows} rows") from error

    def _texts(self, table: Any, split: DatasetSplit, first: int) -> Any:
        arrow, compute = self._arrow, self._compute
        columns = []
        for name in self.text:
            column = table.column(name).combine_chunks()
            if arrow.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            listed = arrow.types.is_list(column.type) or arrow.types.is_large_list(column.type)
            if listed and _is_text(arrow, column.type.value_type):
                # Arrow joins no lists whose type excludes missing words.
                kind = arrow.list_ if arrow.types.is_list(column.type) else arrow.large_list
                column = compute.binary_join(column.cast(kind(column.type.value_type)), " ")
            if arrow.types.is_null(column.type):
                column = column.cast(arrow.large_string())
            if not _is_text(arrow, column.type):
                raise DataError(
                    f"from_hf: the column {name!r} must contain texts or lists of words, got "
                    f"{column.type} in {self.where(split)}; choose another text_column, or cast it"
                )
            columns.append(self._cut(column, name, split, first))
        if len(columns) == 1:
            return columns[0]
        nothing = arrow.scalar(None, arrow.large_string())
        columns = [compute.if_else(compute.equal(text, ""), nothing, text) for text in columns]
        space = arrow.scalar(" ", arrow.large_string())
        return compute.binary_join_element_wise(*columns, space, null_handling="skip")

    def _cut(self, column: Any, name: str, split: DatasetSplit, first: int) -> Any:
        self._check_utf8(column, name, split, first)
        column = column.cast(self._arrow.large_string()).fill_null("")
        return self._compute.utf8_slice_codeunits(column, 0, self.limit)

    def _check_utf8(self, column: Any, name: str, split: DatasetSplit, first: int) -> None:
        try:
            column.validate(full=True)
        except self._arrow.ArrowInvalid as error:
            raw = column.cast(self._arrow.large_binary())
            for row, value in enumerate(raw, start=first):
                try:
                    (value.as_py() or b"").decode()
                except UnicodeDecodeError as bad:
                    raise DataError(
                        f"from_hf: the column {name!r} must be UTF-8, got byte "
                        f"0x{bad.object[bad.start]:02x} at position {bad.start} of row {row} of "
                        f"{self.where(split)}; save the data as UTF-8"
                    ) from error
            raise

    def _codes(
        self,
        table: Any,
        name: str,
        numbers: dict[str, int],
        where: str,
        split: DatasetSplit,
        first: int,
    ) -> NDArray[np.int64]:
        """Return the number of each value of a column of names, -1 for missing values."""
        arrow = self._arrow
        column = table.column(name).combine_chunks()
        if arrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if arrow.types.is_null(column.type):
            return np.full(len(column), -1)
        names = getattr((split.data.features or {}).get(name), "names", None)
        kind = "str" if names else _kind(arrow, column.type)
        if kind is None:
            raise DataError(
                f"from_hf: the column {name!r} must contain names or integers, all of one type, "
                f"got {column.type} in {where}; cast it, or choose another column"
            )
        before = self._kinds.setdefault(name, kind)
        if kind != before:
            what = "labels" if name == self.label else "groups"
            raise DataError(
                f"from_hf: the column {name!r} must contain {what} of one type, got {kind} in "
                f"{where} after {before}; cast them to one type"
            )
        if _is_text(arrow, column.type):
            self._check_utf8(column, name, split, first)
        encoded = column.dictionary_encode()
        values = encoded.dictionary.to_pylist()
        codes = [_code(value, names, numbers, where) for value in values] + [-1]
        places = encoded.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)
        return np.array(codes)[places]


def _code(value: Any, names: Sequence[str] | None, numbers: dict[str, int], where: str) -> int:
    """Return the number of a name, a new one for a new name, and -1 for a blank one."""
    if names:
        if value == -1:  # marks the rows of unlabeled test splits on the hub
            return -1
        if not 0 <= value < len(names):
            raise DataError(
                f"from_hf: labels must lie in 0 .. {len(names) - 1}, got {value} in {where}; "
                "remove these rows"
            )
        value = names[value]
    name = str(value)
    return numbers.setdefault(name, len(numbers)) if name.strip() else -1


def _is_text(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _kind(arrow: Any, kind: Any) -> str | None:
    if _is_text(arrow, kind):
        return "str"
    if arrow.types.is_integer(kind):
        return "int"
    return "bool" if arrow.types.is_boolean(kind) else None
