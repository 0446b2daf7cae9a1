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
    """

    split: int
    first: int
    codes: NDArray[np.int64]
    texts: Any
    blank: NDArray[np.bool_]


class RowReader:
    """Reads the text and label columns of a dataset in batches.

    Args:
        splits: the dataset's own splits.
        text: columns of the text, joined by a space.
        label: column of the class.
        limit: maximum number of characters per text.

    Attributes:
        names: number of each class read so far, by class name.

    Raises:
        DataError: a split lacks a column.
    """

    def __init__(
        self, splits: Sequence[DatasetSplit], text: Sequence[str], label: str, limit: int
    ) -> None:
        self.splits, self.text, self.label, self.limit = splits, tuple(text), label, limit
        self.names: dict[str, int] = {}
        self._kind: str | None = None
        self._arrow = require("pyarrow", extra="hub", purpose="from_hf")
        self._compute = require("pyarrow.compute", extra="hub", purpose="from_hf")
        for split in splits:
            columns = first_columns(split.data)
            if not columns:
                raise DataError(
                    f"from_hf: {self.where(split)} must have rows, got none; add or drop the split"
                )
            check_columns((*text, label), columns, self.where(split))

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
                feature = (split.data.features or {}).get(self.label)
                codes = self._codes(table.column(self.label), feature, where, split, first)
                yield Rows(index, first, codes, texts, blank.to_numpy(zero_copy_only=False))
                first += len(table)

    def where(self, split: DatasetSplit) -> str:
        """Return the name of a dataset split for error messages."""
        single = len(self.splits) == 1
        return ", ".join(split.files) or ("the dataset" if single else f"the split {split.name!r}")

    def _tables(self, split: DatasetSplit) -> Iterator[Any]:
        columns = list(dict.fromkeys((*self.text, self.label)))
        rows = 0
        try:
            # `iter` follows the order of a shuffled or selected dataset; its `data` does not.
            for table in split.data.select_columns(columns).with_format("arrow").iter(ROWS):
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
        self, column: Any, feature: Any, where: str, split: DatasetSplit, first: int
    ) -> NDArray[np.int64]:
        arrow = self._arrow
        column = column.combine_chunks()
        if arrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if arrow.types.is_null(column.type):
            return np.full(len(column), -1)
        names = getattr(feature, "names", None)
        kind = "str" if names else _kind(arrow, column.type)
        if kind is None:
            raise DataError(
                f"from_hf: the column {self.label!r} must contain names or integers, all of one "
                f"type, got {column.type} in {where}; cast it, or choose another label_column"
            )
        if self._kind not in (None, kind):
            raise DataError(
                f"from_hf: the column {self.label!r} must contain labels of one type, got {kind} "
                f"in {where} after {self._kind}; cast them to one type"
            )
        self._kind = kind
        if _is_text(arrow, column.type):
            self._check_utf8(column, self.label, split, first)
        encoded = column.dictionary_encode()
        table = [self._code(value, names, where) for value in encoded.dictionary.to_pylist()] + [-1]
        places = encoded.indices.fill_null(len(table) - 1).to_numpy(zero_copy_only=False)
        return np.array(table)[places]

    def _code(self, value: Any, names: Sequence[str] | None, where: str) -> int:
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
        return self.names.setdefault(name, len(self.names)) if name.strip() else -1


def _is_text(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _kind(arrow: Any, kind: Any) -> str | None:
    if _is_text(arrow, kind):
        return "str"
    if arrow.types.is_integer(kind):
        return "int"
    return "bool" if arrow.types.is_boolean(kind) else None
