"""Files of ratings in the three formats of MovieLens."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import zlib
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from l2l_rnn.checks import check_choice
from l2l_rnn.data.recommendation.interactions import Interactions, Scale, checked_scale
from l2l_rnn.errors import DataError
from l2l_rnn.files import open_file, replacing

_LONGEST_LINE = 10_000  # bytes; the files of MovieLens have at most 30


@dataclass(frozen=True)
class Format:
    """A format of MovieLens.

    Attributes:
        separator: what separates the fields of a line.
        named: what the separator is called in messages.
        scale: the lowest and the highest rating.
        header: the first line; None if there is none.
        title_separator: what separates the fields of its file of titles.
        titles: name of its file of titles.
    """

    separator: str
    named: str
    scale: Scale
    header: str | None
    title_separator: str
    titles: str


FORMATS = {
    "ml-100k": Format("\t", "tabs", (1.0, 5.0), None, "|", "u.item"),
    "ml-1m": Format("::", "'::'", (1.0, 5.0), None, "::", "movies.dat"),
    "csv": Format(",", "commas", (0.5, 5.0), "userId,movieId,rating,timestamp", ",", "movies.csv"),
}


def read_ratings(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    scale: Scale | None = None,
    titles: str | os.PathLike[str] | None = None,
    duplicates: str = "error",
) -> Interactions:
    r"""Read a file of ratings in one of MovieLens's formats.

    The formats are those of `ml-100k` (`u.data`: user, item, rating and timestamp, separated by
    tabs), `ml-1m` and `ml-10m` (`ratings.dat`, separated by `::`) and all newer sets (`csv`:
    `ratings.csv`, with a header). A file whose name ends in `.gz` is decompressed. The timestamps
    may be missing from all lines.

    Args:
        path: the file.
        format: `"ml-100k"`, `"ml-1m"` or `"csv"`; None finds it from the first line.
        scale: the lowest and the highest rating; None is 1 to 5, or 0.5 to 5 for csv.
        titles: a file of titles, `u.item`, `movies.dat` or `movies.csv`; None reads no titles.
        duplicates: as in `Interactions.from_arrays`.

    Raises:
        UnknownNameError: `format` or `duplicates` is unknown.
        ArgumentTypeError: a path is not a str or a path.
        ArgumentError: the scale is not two ascending numbers.
        DataError: a file cannot be read or is empty, a line is malformed, a rating is outside the
            scale (messages give the number of the line), or a user rated an item twice.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "u.data"
        ...     _ = path.write_text("196\t242\t3\t881250949\n186\t302\t3\t891717742\n")
        ...     read_ratings(path)
        Interactions(2 ratings of 2 items by 2 users)

    Source: F. Harper and J. Konstan, 2015, The MovieLens Datasets: History and Context. The data
    comes from https://grouplens.org/datasets/movielens, which asks not to redistribute it.
    """
    who = "read_ratings"
    if format is not None:
        check_choice(who, "format", format, FORMATS)
    lines = _lines(who, path)
    number, first = next(lines, (1, ""))
    if not first.strip():
        raise DataError(f"{who}: {path} must have ratings, got an empty file; check the path")
    kind = FORMATS[format or _format_of(first)]
    layout = _Layout(who, path, kind, kind.scale if scale is None else checked_scale(who, scale))
    rows, numbers = [], []
    for at, line in itertools.chain([(number, first)], lines):
        if line.strip() and not (at == number and kind.header and layout.read_header(line)):
            rows.append(layout.row(line, at))
            numbers.append(at)
    if not rows:
        raise DataError(f"{who}: {path} must have ratings, got a header alone; check the file")
    users, items, ratings, times = zip(*rows, strict=True)
    found = {} if titles is None else _titles(who, titles, kind)
    table = Interactions.from_arrays(
        _ids(users),
        _ids(items),
        ratings,
        None if times[0] is None else cast(Any, times),
        scale=layout.scale,
        titles=found,
        duplicates=duplicates if duplicates != "error" else "first",
    )
    if duplicates == "error" and len(table) < len(rows):
        seen: dict[tuple[str, str], int] = {}
        for line_number, row in zip(numbers, rows, strict=True):
            before = seen.setdefault(row[:2], line_number)
            if before != line_number:
                raise DataError(
                    f"{who}: a user must rate an item once, got two ratings of item {row[1]!r} by "
                    f"user {row[0]!r} in lines {before} and {line_number} of {path}; drop one, or "
                    "set duplicates='last'"
                )
    return table


def write_ratings(
    path: str | os.PathLike[str], interactions: Interactions, *, format: str = "csv"
) -> None:
    """Write ratings to a file in one of MovieLens's formats, atomically.

    Args:
        path: the file to write; if its name ends in `.gz`, it is compressed.
        interactions: the ratings. Times are written as whole seconds.
        format: as in `read_ratings`.

    Raises:
        UnknownNameError: `format` is unknown.
        DataError: an id contains what separates the fields, or is empty.
        OSError: the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> table = Interactions.from_arrays(["ada"], ["7"], [4.5], [60])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_ratings(Path(folder) / "ratings.csv", table)
        ...     print((Path(folder) / "ratings.csv").read_text().strip())
        userId,movieId,rating,timestamp
        ada,7,4.5,60
    """
    who = "write_ratings"
    kind = FORMATS[check_choice(who, "format", format, FORMATS)]
    for name in (*interactions.user_names, *interactions.item_names):
        if not name.strip() or kind.separator in name or not name.isprintable():
            raise DataError(
                f"{who}: ids must be text without {kind.named}, got {name!r}; rename it"
            )
    lines = [] if kind.header is None else [kind.header]
    if interactions.times is None and kind.header is not None:
        lines = ["userId,movieId,rating"]
    users, items = interactions.user_names, interactions.item_names
    for row in range(len(interactions)):
        fields = [
            users[interactions.users[row]],
            items[interactions.items[row]],
            f"{interactions.ratings[row]:g}",
        ]
        if interactions.times is not None:
            fields.append(f"{interactions.times[row]:.0f}")
        lines.append(kind.separator.join(fields))
    content = ("\n".join(lines) + "\n").encode()
    with replacing(path, "wb") as file:
        file.write(gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)


class _Layout:
    """Reads the lines of one file.

    Args:
        who: begins error messages.
        path: the file, for messages.
        kind: its format.
        scale: the lowest and the highest rating.
    """

    def __init__(self, who: str, path: str | os.PathLike[str], kind: Format, scale: Scale) -> None:
        self.who, self.path, self.kind, self.scale = who, path, kind, scale
        self.places: tuple[int, ...] = (0, 1, 2, 3)
        self.fields: int | None = None  # with the timestamp 4, without it 3

    def read_header(self, line: str) -> bool:
        """Take the order of the fields from a header; return whether the line is one."""
        names = [name.strip().strip('"').lower().replace("_", "") for name in line.split(",")]
        wanted = ({"userid", "user"}, {"movieid", "itemid", "movie", "item"}, {"rating"})
        places = [next((i for i, n in enumerate(names) if n in known), None) for known in wanted]
        if places[2] is None:
            return False
        if None in places:
            raise DataError(
                f"{self.who}: the header of {self.path} must name userId, movieId and rating, got "
                f"{line.strip()[:80]!r}; rename its columns"
            )
        time = next((i for i, n in enumerate(names) if n in {"timestamp", "time"}), None)
        self.fields = len(names)
        self.places = tuple(cast(list[int], places)) + (() if time is None else (time,))
        return True

    def row(self, line: str, number: int) -> tuple[str, str, float, float | None]:
        """Return the user, item, rating and time of a line."""
        parts = line.rstrip("\r\n").split(self.kind.separator)
        if self.fields is None and len(parts) in (3, 4):
            self.fields = len(parts)
            self.places = self.places[: self.fields]
        try:
            if len(parts) != self.fields:
                raise ValueError
            found = [parts[place].strip() for place in self.places]
            user, item = found[0], found[1]
            if not user or not item:
                raise ValueError
            rating, time = float(found[2]), float(found[3]) if len(found) > 3 else None
            if rating - rating != 0 or (time is not None and time - time != 0):
                raise ValueError
        except ValueError:
            raise DataError(
                f"{self.who}: line {number} of {self.path} must be a user, an item, a rating and "
                f"{'a timestamp' if self.fields != 3 else 'nothing else'}, separated by "
                f"{self.kind.named}, got {line.strip()[:80]!r}; correct or drop the line"
            ) from None
        if not self.scale[0] <= rating <= self.scale[1]:
            raise DataError(
                f"{self.who}: line {number} of {self.path} must have a rating in "
                f"{self.scale[0]:g} .. {self.scale[1]:g}, got {rating:g}; set scale, or correct "
                "the line"
            )
        return user, item, rating, time


def _format_of(line: str) -> str:
    return "ml-1m" if "::" in line else "ml-100k" if "\t" in line else "csv"


def _ids(texts: tuple[str, ...]) -> Any:
    """Return ids as integers if all are, so that 10 follows 9."""
    if all(text.isdecimal() and len(text) < 19 and str(int(text)) == text for text in texts):
        return [int(text) for text in texts]
    return texts


def _lines(who: str, path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file with their numbers, which start at 1."""
    zipped = Path(path).suffix == ".gz"
    with (
        open_file(who, path) as packed,
        gzip.open(packed, "rb") if zipped else nullcontext(packed) as file,
    ):
        number = 0
        try:
            while line := file.readline(_LONGEST_LINE + 1):
                number += 1
                if len(line) > _LONGEST_LINE:
                    raise DataError(
                        f"{who}: line {number} of {path} must have at most {_LONGEST_LINE} bytes, "
                        "got more; check that it is a file of ratings"
                    )
                yield number, _text(line)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(
                f"{who}: {path} must be a complete gzip file, got a damaged one ({error}); "
                "download it again"
            ) from error


def _text(line: bytes) -> str:
    """Decode a line; the titles of older sets are in Latin-1."""
    try:
        return line.decode("utf-8-sig")
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _titles(who: str, path: str | os.PathLike[str], kind: Format) -> dict[str, str]:
    """Read a file of titles: the id of an item, its title, and other fields."""
    found = {}
    for number, line in _lines(who, path):
        if kind.title_separator == ",":
            parts = next(csv.reader([line]), [])
        else:
            parts = line.rstrip("\r\n").split(kind.title_separator)
        if not parts or (number == 1 and kind.header and parts[0].strip() == "movieId"):
            continue
        if len(parts) < 2:
            raise DataError(
                f"{who}: line {number} of {path} must be an item and its title, separated by "
                f"{kind.title_separator!r}, got {line.strip()[:80]!r}; pass {kind.titles} of the "
                "same set"
            )
        found[parts[0].strip()] = parts[1].strip()
    return found
