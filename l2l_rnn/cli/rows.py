"""Columns of csv, tsv, jsonl, json and parquet files."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from l2l_rnn.errors import DataError
from l2l_rnn.files import open_file, parse_json
from l2l_rnn.optional import require
from l2l_rnn.registry import hint

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".parquet")


def read_columns(who: str, path: str, needed: Sequence[str], wanted: Sequence[str] = ()) -> Any:
    r"""Return columns of a file as lists, by name.

    Args:
        who: begins error messages.
        path: a csv or tsv file with a header, a jsonl file of objects, a json file with a list of
            objects, or a parquet file.
        needed: columns that must be there.
        wanted: columns that are returned if they are there.

    Raises:
        DataError: the file cannot be read, has no rows, or lacks a column; the message lists the
            columns and close matches.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "a.csv"
        ...     _ = file.write_text("text,label\nhello,en\n")
        ...     read_columns("me", str(file), ["text"], ["label", "author"])
        {'text': ['hello'], 'label': ['en']}
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{who}: files must end in {', '.join(SUFFIXES)}, got {path}; rename it")
    with open_file(who, path) as file:
        if suffix == ".parquet":
            table = _parquet(who, path, file)
        else:
            text = _decoded(who, path, file.read())
            rows = _csv if suffix in (".csv", ".tsv") else _json
            table = rows(who, path, text)
    if not table:
        raise DataError(f"{who}: {path} must have at least one row, got an empty file")
    for name in needed:
        if name not in table:
            raise DataError(
                f"{who}: unknown column {name!r} in {path}{hint(name, table)} "
                f"Known: {', '.join(table) or 'none'}"
            )
    chosen = [*needed, *(name for name in wanted if name in table and name not in needed)]
    if not len(next(iter(table.values()))):
        raise DataError(f"{who}: {path} must have at least one row, got none")
    return {name: list(table[name]) for name in chosen}


def check_present(who: str, path: str, column: str, values: Sequence[Any]) -> None:
    """Check that no value of a column is missing or an empty text.

    Raises:
        DataError: one is; the message names the row, counted from 0 below the header.
    """
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and value != value):
            got = "nothing"
        elif isinstance(value, str) and not value.strip():
            got = f"an empty text ({value!r:.20})"
        else:
            continue
        raise DataError(
            f"{who}: row {row} of {path} must have a value in the column {column!r}, got {got}; "
            "fill it in or drop the row (rows count from 0, without the header)"
        )


def _decoded(who: str, path: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{who}: {path} must be UTF-8, got byte 0x{content[error.start]:02x} at position "
            f"{error.start}; save the file as UTF-8"
        ) from error


def _csv(who: str, path: str, text: str) -> dict[str, list[Any]]:
    separator = "\t" if path.lower().endswith(".tsv") else ","
    with _long_fields():
        try:
            rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator) if row]
        except csv.Error as error:
            raise DataError(
                f"{who}: {path} must be csv, got an unreadable row ({error})"
            ) from error
    names = rows[0] if rows else []
    if len(set(names)) != len(names):
        raise DataError(f"{who}: the columns of {path} must differ, got {', '.join(names)}")
    for number, row in enumerate(rows[1:]):
        if len(row) != len(names):
            raise DataError(
                f"{who}: {path} must have {len(names)} fields in every row, as in its header, got "
                f"{len(row)} in row {number}; quote texts that contain {separator!r}"
            )
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(names)}


def _json(who: str, path: str, text: str) -> dict[str, list[Any]]:
    rows: list[Any] = []
    try:
        if path.lower().endswith(".json"):
            found = parse_json(text)
            rows = found if isinstance(found, list) else [found]
        else:
            for line in filter(str.strip, text.split("\n")):
                rows.append(parse_json(line))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{who}: row {len(rows)} of {path} must be a JSON object, got something else ({error})"
        ) from error
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(
                f"{who}: row {number} of {path} must be a JSON object, got {type(row).__name__}"
            )
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(who: str, path: str, file: Any) -> dict[str, list[Any]]:
    parquet = require("pyarrow.parquet", extra="hub", purpose=f"reading {path}")
    try:
        table = parquet.read_table(file)
        for column in table.columns:
            column.validate(full=True)
        return {name: table[name].to_pylist() for name in table.column_names}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{who}: {path} must be parquet, got a damaged file ({error})") from error


@contextmanager
def _long_fields() -> Iterator[None]:
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def names_of(value: Sequence[str] | str | None, default: str) -> list[str]:
    """Return the columns that a flag names.

    Example:
        >>> names_of(None, "text"), names_of(["title", "body"], "text")
        (['text'], ['title', 'body'])
    """
    return [default] if value is None else [value] if isinstance(value, str) else list(value)


def joined(columns: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the values of one column, or the texts of several, joined by a space.

    Example:
        >>> joined([["a", "b"], ["c", None]])
        ['a c', 'b']
    """
    if len(columns) == 1:
        return list(columns[0])
    rows = zip(*columns, strict=True)
    return [" ".join(str(part) for part in row if part not in (None, "")) for row in rows]


def is_folder(path: str) -> bool:
    """Return whether a path is a folder; a `~` is expanded."""
    return os.path.isdir(os.path.expanduser(path))
