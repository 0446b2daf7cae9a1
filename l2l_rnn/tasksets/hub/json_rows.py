"""The rows of json files of texts, with every text as it is written."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from l2l_rnn.optional import require


class JsonRows:
    """Shows json files as a `datasets.IterableDataset` shows rows in Arrow's format.

    The reader behind `datasets` takes texts such as "2020-01-01" for times, and writes them anew.
    What a row lacks is None.

    Args:
        files: with an object on each line, a list of objects, or one object of columns.
        columns: the names of those that are read.
    """

    features = None

    def __init__(self, files: Sequence[str], columns: Sequence[str]) -> None:
        self.files, self.column_names = files, list(dict.fromkeys(columns))

    def select_columns(self, columns: Sequence[str]) -> JsonRows:
        return JsonRows(self.files, columns)

    def with_format(self, kind: str) -> JsonRows:
        return self

    def iter(self, batch_size: int) -> Iterator[Any]:
        """Yield Arrow tables of so many rows.

        Raises:
            ValueError: a file holds no rows, or a column several types.
        """
        arrow = require("pyarrow", extra="hub", purpose="from_hf")
        rows = itertools.chain.from_iterable(map(_objects, self.files))
        while batch := list(itertools.islice(rows, batch_size)):
            yield arrow.table(
                {name: arrow.array([row.get(name) for row in batch]) for name in self.column_names}
            )


def json_columns(file: str) -> list[str]:
    """Return the names of the columns of a file's first row, none if it has no row.

    Raises:
        ValueError: it begins with something else than a row.
    """
    return list(next(_objects(file), {}))


def _objects(file: str) -> Iterator[dict[str, Any]]:
    with open(file, encoding="utf-8-sig") as opened:
        lines = filter(str.strip, opened)
        start = list(itertools.islice(lines, 2))
        try:
            by_line = len(start) == 2 and isinstance(json.loads(start[0]), dict)
        except ValueError:
            by_line = False
        rows: Iterator[Any]
        if by_line or not start:
            rows = map(json.loads, itertools.chain(start, lines))
        else:
            rows = iter(_whole(json.loads("".join([*start, *lines]))))
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise ValueError(f"row {number} is no object")
            yield row


def _whole(content: Any) -> Sequence[Any]:
    """Return the rows of a file that is one value: a list of them, columns, or a single one."""
    if not isinstance(content, dict):
        return content if isinstance(content, list) else [content]
    columns = [list(v.values()) if isinstance(v, dict) else v for v in content.values()]
    if not columns or not all(isinstance(column, list) for column in columns):
        return [content]
    return [dict(zip(content, row, strict=True)) for row in zip(*columns, strict=True)]
