"""Atomic writes of files, and reads that no file can block or mislead."""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

from l2l_rnn.errors import ArgumentTypeError, DataError

_MOST_JSON = 2**28  # bytes; the largest tokenizers take a tenth of this


@contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` when the block ends without an error.

    The content goes to a temporary file in the same folder, which is then moved to `path`. After an
    error or a crash, `path` is unchanged.

    Args:
        path: the file to write; its folder must exist.
        mode: `"w"` for text in UTF-8, or `"wb"`.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "note.txt") as file:
        ...         _ = file.write("done")
        ...     (Path(folder) / "note.txt").read_text()
        'done'
    """
    path = Path(path).expanduser()
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open(mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json(
    path: str | os.PathLike[str], content: Mapping[str, Any], *, indent: int | None = None
) -> None:
    """Write `content` as JSON, atomically.

    Args:
        path: the file to write; its folder must exist.
        content: strings, finite numbers, bools, None, lists and dicts.
        indent: spaces of indentation; None for one line.

    Raises:
        TypeError, ValueError: JSON cannot represent `content`; `path` is unchanged.
    """
    text = json.dumps(content, indent=indent, allow_nan=False)
    with replacing(path) as file:
        file.write(text + ("" if indent is None else "\n"))


def open_file(who: str, path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes.

    `open` would wait forever for someone to write to a FIFO, and read from a device without end.

    Args:
        who: begins the error message.
        path: the file.

    Raises:
        ArgumentTypeError: the path is not a str or a path.
        DataError: the file does not exist, cannot be read, or is a folder, a FIFO or a device.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     open_file("me", folder)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        l2l_rnn.errors.DataError: me: path must be a readable file, got ... (not a regular file); \
check that it exists
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(Path(path).expanduser(), flags)
    except TypeError as error:
        raise ArgumentTypeError(
            f"{who}: path must be a str or a path, got {type(path).__name__}; pass one"
        ) from error
    except (OSError, RuntimeError, ValueError) as error:  # also a NUL, or the home of nobody
        raise _unreadable(who, path, str(error)) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _unreadable(who, path, "not a regular file")
    return os.fdopen(descriptor, "rb")


def read_json(who: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Args:
        who: begins the error message.
        path: the file to read, of at most 256 MiB.

    Returns:
        The object, or an empty one if the file holds another JSON value.

    Raises:
        DataError: the file cannot be read or does not hold JSON; a key is there twice, or a number
            is not finite or an integer beyond 64 bits.
    """
    with open_file(who, path) as file:
        content = file.read(_MOST_JSON + 1)
    try:
        if len(content) > _MOST_JSON:
            raise ValueError(f"more than {_MOST_JSON} bytes")
        found = parse_json(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{who}: {path} must be JSON written by save(), got an unreadable file ({error}); save "
            "it again"
        ) from error
    return found if isinstance(found, dict) else {}


def parse_json(text: str) -> Any:
    """Parse JSON strictly.

    Raises:
        ValueError: the text is not JSON, a key is there twice, or a number is not finite or an
            integer beyond 64 bits.
        RecursionError: the values are nested too deeply.

    Example:
        >>> parse_json('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ...
        ValueError: the key 'a' is there twice
    """
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_object,
        )
    except RecursionError as error:  # its own message depends on the version of Python
        raise RecursionError("the values are nested too deeply") from error


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"the integer {text[:25]} is beyond 64 bits")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(f"the number {text[:25]} is not finite")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:25]!r} is there twice")
        found[key] = value
    return found


def _unreadable(who: str, path: object, why: str) -> DataError:
    shown = str(path) if str(path).isprintable() else repr(str(path))
    return DataError(
        f"{who}: path must be a readable file, got {shown} ({why}); check that it exists"
    )
