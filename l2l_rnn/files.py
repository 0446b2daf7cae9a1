"""Atomic writes of files, and checked reads of JSON."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from l2l_rnn.errors import DataError


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


def read_json(who: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a JSON object that `write_json` wrote.

    Args:
        who: begins the error message.
        path: the file to read.

    Returns:
        The object, or an empty one if the file holds another JSON value.

    Raises:
        DataError: the file does not hold JSON.
    """
    try:
        content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{who}: {path} must be JSON written by save(), got an unreadable file ({error}); save "
            "it again"
        ) from error
    return content if isinstance(content, dict) else {}
