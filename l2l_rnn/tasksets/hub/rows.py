"""The rows of a dataset, some thousands at a time: their texts, and the classes they are of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.errors import DataError
from l2l_rnn.optional import require
from l2l_rnn.tasksets.hub.files import ROWS, Part, check_columns, first_columns, say_why_unreadable


class Rows(NamedTuple):
    """Rows that follow one another in one part of a dataset.

    Attributes:
        part: which of the parts.
        first: the number of the first row within its part.
        codes: the class of each row, by its number in `RowReader.names`; -1 where there is none.
        texts: their texts, an Arrow array.
        blank: which of the texts are missing, or nothing but spaces.
    """

    part: int
    first: int
    codes: NDArray[np.int64]
    texts: Any
    blank: NDArray[np.bool_]


class RowReader:
    """Reads two columns of a dataset, or a few more, never the whole of it.

    Args:
        parts: the splits of the dataset.
        text: the columns of the text, joined by a space.
        label: the column of the class.
        limit: characters that are kept of each text.

    Attributes:
        names: the number of each class that has been met, by its name.

    Raises:
        DataError: a part lacks a column.
    """

    def __init__(self, parts: Sequence[Part], text: Sequence[str], label: str, limit: int) -> None:
        self.parts, self.text, self.label, self.limit = parts, tuple(text), label, limit
        self.names: dict[str, int] = {}
        self._kind: str | None = None
        self._arrow = require("pyarrow", extra="hub", purpose="from_hf")
        self._compute = require("pyarrow.compute", extra="hub", purpose="from_hf")
        for part in parts:
            columns = first_columns(part.data)
            if not columns:
                raise DataError(f"from_hf: {self.where(part)} must have rows, got none; give some")
            check_columns((*text, label), columns, self.where(part))

    def __iter__(self) -> Iterator[Rows]:
        """Yield all rows, in the order of the dataset: shuffled, selected or filtered as it is.

        Raises:
            DataError: the rows cannot be read, or hold something else than texts and classes.
        """
        for index, part in enumerate(self.parts):
            first = 0
            for table in self._tables(part):
                where = f"{self.where(part)}, rows {first} to {first + len(table) - 1}"
                texts = self._texts(table, part, first)
                trimmed = self._compute.utf8_trim_whitespace(texts)
                blank = self._compute.equal(self._compute.utf8_length(trimmed), 0)
                feature = (part.data.features or {}).get(self.label)
                codes = self._codes(table.column(self.label), feature, where, part, first)
                yield Rows(index, first, codes, texts, blank.to_numpy(zero_copy_only=False))
                first += len(table)

    def where(self, part: Part) -> str:
        """Return how a message names a part."""
        whole = len(self.parts) == 1
        return ", ".join(part.files) or ("the dataset" if whole else f"the split {part.name!r}")

    def _tables(self, part: Part) -> Iterator[Any]:
        columns = list(dict.fromkeys((*self.text, self.label)))
        rows = 0
        try:
            # The numbers of shuffled rows are looked up by `iter`, as they are not by `data`.
            for table in part.data.select_columns(columns).with_format("arrow").iter(ROWS):
                yield table
                rows += len(table)
        except (self._arrow.ArrowException, LookupError, OSError, TypeError, ValueError) as error:
            raise say_why_unreadable(error, part.files, f"after {rows} rows") from error

    def _texts(self, table: Any, part: Part, first: int) -> Any:
        arrow, compute = self._arrow, self._compute
        columns = []
        for name in self.text:
            column = table.column(name).combine_chunks()
            if arrow.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            listed = arrow.types.is_list(column.type) or arrow.types.is_large_list(column.type)
            if listed and _is_text(arrow, column.type.value_type):
                column = compute.binary_join(column, " ")
            if arrow.types.is_null(column.type):
                column = column.cast(arrow.large_string())
            if not _is_text(arrow, column.type):
                raise DataError(
                    f"from_hf: the column {name!r} must hold texts or lists of words, got "
                    f"{column.type} in {self.where(part)}; choose another text_column, or cast it"
                )
            columns.append(self._cut(column, name, part, first))
        if len(columns) == 1:
            return columns[0]
        nothing = arrow.scalar(None, arrow.large_string())
        columns = [compute.if_else(compute.equal(part, ""), nothing, part) for part in columns]
        space = arrow.scalar(" ", arrow.large_string())
        return compute.binary_join_element_wise(*columns, space, null_handling="skip")

    def _cut(self, column: Any, name: str, part: Part, first: int) -> Any:
        self._check_utf8(column, name, part, first)
        column = column.cast(self._arrow.large_string()).fill_null("")
        return self._compute.utf8_slice_codeunits(column, 0, self.limit)

    def _check_utf8(self, column: Any, name: str, part: Part, first: int) -> None:
        try:
            column.validate(full=True)
        except self._arrow.ArrowInvalid as error:
            raw = column.cast(self._arrow.large_binary())
            for row, value in enumerate(raw, start=first):
                try:
                    (value.as_py() or b"").decode()
                except UnicodeDecodeError as bad:
                    raise DataError(
                        f"from_hf: the column {name!r} must hold UTF-8, got byte "
                        f"0x{bad.object[bad.start]:02x} at position {bad.start} of row {row} of "
                        f"{self.where(part)}; write the data anew as UTF-8"
                    ) from error
            raise

    def _codes(
        self, column: Any, feature: Any, where: str, part: Part, first: int
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
                f"from_hf: the column {self.label!r} must hold names or whole numbers, all of one "
                f"type, got {column.type} in {where}; cast it, or choose another label_column"
            )
        if self._kind not in (None, kind):
            raise DataError(
                f"from_hf: the column {self.label!r} must hold labels of one type, got {kind} in "
                f"{where} after {self._kind}; cast them to one"
            )
        self._kind = kind
        if _is_text(arrow, column.type):
            self._check_utf8(column, self.label, part, first)
        encoded = column.dictionary_encode()
        table = [self._code(value, names, where) for value in encoded.dictionary.to_pylist()] + [-1]
        places = encoded.indices.fill_null(len(table) - 1).to_numpy(zero_copy_only=False)
        return np.array(table)[places]

    def _code(self, value: Any, names: Sequence[str] | None, where: str) -> int:
        if names:
            if value == -1:  # how the hub marks a test split without labels
                return -1
            if not 0 <= value < len(names):
                raise DataError(
                    f"from_hf: labels must lie in 0 .. {len(names) - 1}, got {value} in {where}; "
                    "filter such rows out"
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
