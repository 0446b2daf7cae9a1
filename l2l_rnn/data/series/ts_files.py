"""Strict reader of .ts files, the format of the UCR and UEA archives."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.errors import DataError
from l2l_rnn.files import open_file

_MOST_DIGITS = 12  # of a count in the header
_LONGEST = 2**26  # maximum characters per line; the longest ones of the archives have 3 million


class TsFile(NamedTuple):
    """Content of a .ts file.

    Attributes:
        series: an array (channels, timepoints) for each case; missing values are NaN.
        labels: the class of each case.
    """

    series: list[NDArray[np.float64]]
    labels: list[str]


def read_ts(path: str | os.PathLike[str]) -> TsFile:
    """Read a .ts file of labeled series.

    Each line after `@data` is a case: its channels, separated by colons, and its class. The values
    of a channel are separated by commas. The classes, the number of channels, and the length (if
    it is fixed) are checked against the header.

    Args:
        path: the file.

    Raises:
        DataError: the file does not exist or is not a regular file, a line does not match the
            format or the header, a value is infinite, there are no cases or no classes, or the
            series have timestamps. The message gives the line.

    Source: the sktime and aeon projects' specification of the .ts format.
    """
    file = open_file("read_ts", path)
    # Comments may have another encoding.
    with TextIOWrapper(file, encoding="utf-8-sig", errors="replace", newline="\n") as text:
        return _parse(_Header(Path(path)), text)


def _parse(header: _Header, text: TextIO) -> TsFile:
    lines = header.lines(text)
    for number, line in lines:
        line = line.strip()
        if line.lower() == "@data":
            break
        if line and not line.startswith("#"):
            header.take(number, line)
    else:
        header.fail(header.last, "expected @data, got the end of the file")
    series, labels = [], []
    for number, line in lines:
        if line.strip() and not line.startswith("#"):
            values, label = header.case(number, line.strip())
            series.append(values)
            labels.append(label)
    if not series:
        header.fail(header.last, "expected cases after @data, got none")
    return TsFile(series, labels)


class _Header:
    """Header of a file, and parser of its cases."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: int | None = None
        self.steps: int | None = None
        self.classes: dict[str, str] = {}  # lower case -> as in the header
        self.last = 1  # number of the last line read

    def lines(self, text: TextIO) -> Iterator[tuple[int, str]]:
        """Yield the lines of a file with their numbers, from 1."""
        number = 0
        while line := text.readline(_LONGEST):
            number += 1
            if len(line) == _LONGEST:
                self.fail(number, f"a line must have fewer than {_LONGEST:,} characters, got more")
            yield number, line

    def fail(self, number: int, what: str) -> NoReturn:
        raise DataError(
            f"read_ts: line {number} of {self.path}: {what}; fix the file or download it again"
        )

    def take(self, number: int, line: str) -> None:
        self.last = number
        word, *values = line.split()
        lowered = [value.lower() for value in values]
        match word.lower():
            case "@univariate" if lowered == ["true"]:
                self.channels = 1
            case "@dimensions" | "@dimension":
                self.channels = self._count(number, word, values)
            case "@serieslength":
                self.steps = self._count(number, word, values)
            case "@classlabel" if lowered[:1] == ["true"] and len(values) > 1:
                self.classes = dict(zip(lowered[1:], values[1:], strict=True))
            case "@classlabel" | "@targetlabel":
                self.fail(number, f"expected named classes, got {line[:40]!r}")
            case "@timestamps" if lowered == ["true"]:
                self.fail(number, "expected series without timestamps, got @timeStamps true")
            case _ if not word.startswith("@"):
                self.fail(number, f"expected a line that starts with @ or #, got {line[:40]!r}")

    def _count(self, number: int, word: str, values: list[str]) -> int:
        came = " ".join(values)
        # Python refuses to convert thousands of digits.
        count = int(came) if came.isdecimal() and len(came) <= _MOST_DIGITS else 0
        if count < 1:
            self.fail(number, f"{word} must be one positive integer, got {came[:40]!r}")
        return count

    def case(self, number: int, line: str) -> tuple[NDArray[np.float64], str]:
        if not self.classes:
            self.fail(self.last, "expected @classLabel in the header, got none")
        *channels, label = line.split(":")
        if label.strip().lower() not in self.classes:
            came = label.strip()[-40:]
            self.fail(number, f"expected one of the classes at the end, got {came!r}")
        if self.channels is None:
            self.channels = len(channels)
        if len(channels) != self.channels:
            self.fail(number, f"expected {self.channels} channels, got {len(channels)}")
        values = [self._values(number, channel) for channel in channels]
        lengths = {len(channel) for channel in values}
        if len(lengths) > 1:
            came = f"{min(lengths)} to {max(lengths)} steps"
            self.fail(number, f"expected channels of one length, got {came}")
        if self.steps is not None and lengths != {self.steps}:
            self.fail(number, f"expected {self.steps} steps, got {lengths.pop()}")
        return np.array(values), self.classes[label.strip().lower()]

    def _values(self, number: int, text: str) -> NDArray[np.float64]:
        parts = text.split(",")
        try:
            values = np.array(list(map(float, parts)))
        except ValueError:  # a value is missing or is not a number
            values = np.array([self._value(number, i, value) for i, value in enumerate(parts)])
        if "_" in text or np.isinf(values).any():  # `float` ignores underscores
            for i, value in enumerate(parts):
                self._value(number, i, value)
        return values

    def _value(self, number: int, i: int, text: str) -> float:
        if text.strip() == "?":
            return np.nan
        try:
            value = np.inf if "_" in text else float(text)
        except ValueError:
            value = np.inf
        if np.isinf(value):
            self.fail(number, f"value {i} must be a number, got {text[:20]!r}")
        return value
