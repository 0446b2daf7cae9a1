"""Time series out of the .ts files of the UCR and UEA archives, read strictly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.errors import DataError


class TsFile(NamedTuple):
    """What a .ts file holds.

    Attributes:
        series: an array (channels, timepoints) for each case, NaN where a value is missing.
        labels: the class of each case.
    """

    series: list[NDArray[np.float64]]
    labels: list[str]


def read_ts(path: str | os.PathLike[str]) -> TsFile:
    """Read a .ts file of labelled series, or say on which line it is damaged.

    Each line after `@data` is a case: its channels, parted by colons, each of values parted by
    commas, and its class. What the header says is checked: the classes, how many channels, and the
    length where all have one.

    Args:
        path: of the file.

    Raises:
        DataError: the file is not there, a line does not fit the format or the header, there is no
            case, or the series have no classes, or time stamps.

    Source: the sktime and aeon projects' specification of the .ts format.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")  # comments are in any code
    except OSError as error:
        raise DataError(
            f"read_ts: {path} cannot be read ({error}); see that it is there"
        ) from error
    lines = iter(enumerate(text.split("\n"), start=1))
    header = _Header(path)
    for number, line in lines:
        line = line.strip()
        if line.lower() == "@data":
            break
        if line and not line.startswith("#"):
            header.take(number, line)
    else:
        header.fail(header.last, "there is no @data before the end of the file")
    series, labels = [], []
    for number, line in lines:
        if line.strip() and not line.startswith("#"):
            values, label = header.case(number, line.strip())
            series.append(values)
            labels.append(label)
    if not series:
        header.fail(header.last, "there is no case after @data")
    return TsFile(series, labels)


class _Header:
    """What the lines before @data say, and the reading of a line after it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.channels: int | None = None
        self.steps: int | None = None
        self.classes: dict[str, str] = {}  # in lower case -> as the header writes it
        self.last = 1

    def fail(self, number: int, what: str) -> NoReturn:
        raise DataError(
            f"read_ts: line {number} of {self.path}: {what}; mend it or get the file anew"
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
                self.fail(number, f"expected named classes, got {line!r}")
            case "@timestamps" if lowered == ["true"]:
                self.fail(number, "series with time stamps are not supported")
            case _ if not word.startswith("@"):
                self.fail(number, f"expected a line that starts with @ or #, got {line[:40]!r}")

    def _count(self, number: int, word: str, values: list[str]) -> int:
        if len(values) != 1 or not values[0].isdecimal() or int(values[0]) < 1:
            self.fail(number, f"{word} must be one positive integer, got {' '.join(values)!r}")
        return int(values[0])

    def case(self, number: int, line: str) -> tuple[NDArray[np.float64], str]:
        if not self.classes:
            self.fail(self.last, "the header names no classes")
        *channels, label = line.split(":")
        if label.strip().lower() not in self.classes:
            self.fail(number, f"it ends in {label.strip()[-40:]!r}, which is none of the classes")
        if self.channels is None:
            self.channels = len(channels)
        if len(channels) != self.channels:
            self.fail(number, f"expected {self.channels} channels, got {len(channels)}")
        values = [self._values(number, channel) for channel in channels]
        lengths = {len(channel) for channel in values}
        if len(lengths) > 1:
            self.fail(number, f"its channels have {min(lengths)} to {max(lengths)} steps")
        if self.steps is not None and lengths != {self.steps}:
            self.fail(number, f"expected {self.steps} steps, got {lengths.pop()}")
        return np.array(values), self.classes[label.strip().lower()]

    def _values(self, number: int, text: str) -> list[float]:
        parts = text.split(",")
        try:
            return list(map(float, parts))
        except ValueError:  # a value is missing, or is none
            pass
        values = []
        for place, value in enumerate(parts):
            try:
                values.append(np.nan if value.strip() == "?" else float(value))
            except ValueError:
                self.fail(number, f"value {place} is {value[:20]!r}, expected a number")
        return values
