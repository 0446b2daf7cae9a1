"""Rows of JSON files, with every text unchanged."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from l2l_rnn.optional import require


class JsonRows:
    """JSON files with the interface of a `datasets.IterableDataset` in Arrow format.

    The JSON reader of `datasets` parses texts such as "2020-01-01" as times and reformats them.
    This reader keeps them unchanged. A missing value is None.

    Args:
        files: files with one object per line, a list of objects, or one object of columns.
        columns: names of the columns to read.
    """

    features = None

    def __init__(self, files: Sequence[str], columns: Sequence[str]) -> None:
        self.files, self.column_names = files, list(dict.fromkeys(columns))

    def select_columns(self, columns: Sequence[str]) -> JsonRows:
        return JsonRows(self.files, columns)

    def with_format(self, kind: str) -> JsonRows:
        return self

    def iter(self, batch_size: int) -> Iterator[Any]:
        """Yield Arrow tables of up to `batch_size` rows.

        Raises:
            ValueError: a file contains something other than rows, or a column has several types.
        """
        arrow = require("pyarrow", extra="hub", purpose="from_hf")
        rows = itertools.chain.from_iterable(map(_objects, self.files))
        while batch := list(itertools.islice(rows, batch_size)):
            try:
                table = arrow.table(
                    {
                        name: arrow.array([row.get(name) for row in batch])
                        for name in self.column_names
                    }
                )
            except (OverflowError, RecursionError) as error:  # a huge or deeply nested value
                raise ValueError(f"a value is too large ({error})") from error
            yield table


def json_columns(file: str) -> list[str]:
    """Return the column names of a file's first row, or an empty list if there are no rows.

    Raises:
        ValueError: the file starts with something other than a row.
    """
    return list(next(_objects(file), {}))


def _objects(file: str) -> Iterator[dict[str, Any]]:
    try:
        yield from _parsed(file)
    except RecursionError as error:
        raise ValueError("values are nested too deeply") from error


def _parsed(file: str) -> Iterator[dict[str, Any]]:
    with open(file, encoding="utf-8-sig") as opened:
        lines = filter(str.strip, opened)
        start = list(itertools.islice(lines, 2))
        try:
            by_line = len(start) == 2 and isinstance(json.loads(start[0]), dict)
        except (RecursionError, ValueError):
            by_line = False
        rows: Iterator[Any]
        if by_line or not start:
            rows = map(json.loads, itertools.chain(start, lines))
        else:
            rows = iter(_whole(json.loads("".join([*start, *lines]))))
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise ValueError(f"row {number} is not an object")
            yield row


def _whole(content: Any) -> Sequence[Any]:
    """Return the rows of one JSON value: a list of rows, an object of columns, or a row."""
    if not isinstance(content, dict):
        return content if isinstance(content, list) else [content]
    columns = [list(v.values()) if isinstance(v, dict) else v for v in content.values()]
    if not columns or not all(isinstance(column, list) for column in columns):
        return [content]
    return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]
