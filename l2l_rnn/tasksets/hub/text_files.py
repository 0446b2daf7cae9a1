"""Checks of csv, tsv and JSON files before their rows are read."""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from l2l_rnn.errors import DataError

_QUOTED = re.compile(r'"(?:[^"]|"")*"')


def header(file: str, separator: str, quoted: bool = True) -> list[str]:
    """Return the column names in the first line of a csv or tsv file.

    Raises:
        DataError: a quote in the line is not closed.
    """
    try:
        with _opened(file) as lines:
            return next(_rows(lines, separator, quoted, strict=True), [])
    except csv.Error as error:
        raise DataError(
            f"from_hf: {file} must start with a line of column names, got an unreadable line "
            f"({error}); close its quotes"
        ) from error


def is_quoted(file: str) -> bool:
    """Return whether the quotes in a tsv file enclose fields, or are part of the texts.

    If every line has as many fields as the header, quotes enclose fields if each field that starts
    with a quote also ends with one. Otherwise, fields may contain tabs or line breaks; quotes
    enclose fields if every row then has as many fields as the header.
    """
    with _opened(file) as lines, _long_fields():
        rows = _rows(lines, "\t", quoted=False)
        names = next(rows, [])
        closed = all(map(_is_closed, names))
        even = True
        for row in rows:
            even = even and len(row) in (0, len(names))
            closed = closed and all(map(_is_closed, row))
    if even:
        return closed
    try:
        with _opened(file) as lines, _long_fields():
            rows = _rows(lines, "\t", quoted=True, strict=True)
            width = len(next(rows, []))
            return all(len(row) in (0, width) for row in rows)
    except csv.Error:
        return False


def check_fields(file: str, separator: str, quoted: bool = True) -> None:
    """Raise a DataError if a row has more fields than the header.

    The csv reader of `datasets` may silently shift or truncate such a row.
    """
    with _opened(file) as lines, _long_fields():
        rows = _rows(lines, separator, quoted)
        width = len(next(rows, []))
        for number, row in enumerate(filter(None, rows)):
            if len(row) > width:
                raise DataError(
                    f"from_hf: {file} must have {width} fields in every row, as in its header, got "
                    f"{len(row)} in row {number}; quote texts that contain {separator!r}"
                )


def check_utf8(path: Path) -> None:
    """Raise a DataError with the position of the first invalid byte if a file is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    place = 0
    with open(path, "rb") as opened:
        while True:
            block = opened.read(2**20)
            kept = len(decoder.getstate()[0])  # bytes of a character that started in the last block
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                raise DataError(
                    f"from_hf: {path} must be UTF-8, got byte 0x{error.object[error.start]:02x} at "
                    f"position {place - kept + error.start}; save the file as UTF-8"
                ) from error
            if not block:
                return
            place += len(block)


def _opened(file: str) -> TextIO:
    return open(file, encoding="utf-8-sig", newline="")


def _rows(lines: TextIO, separator: str, quoted: bool, strict: bool = False) -> Iterator[list[str]]:
    if quoted:
        return csv.reader(lines, delimiter=separator, strict=strict)
    return csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE, strict=strict)


@contextlib.contextmanager
def _long_fields() -> Iterator[None]:
    """Remove the limit on field lengths, a global setting of the module `csv`, temporarily."""
    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(limit)


def _is_closed(field: str) -> bool:
    return not field.startswith('"') or _QUOTED.fullmatch(field) is not None
