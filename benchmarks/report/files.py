"""Reading and atomic writing of result files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from l2l_rnn.errors import ArgumentError
from l2l_rnn.files import read_json, write_json


def check_writable(directory: Path) -> None:
    """Create the folder if needed, and check that it is writable.

    Raises:
        OSError: the folder is not writable.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        pass


@contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep other runs away from a result while the block runs.

    Args:
        path: the result file. A hidden file next to it serves as the lock.

    Raises:
        ArgumentError: another run is writing to it.
    """
    lock = FileLock(path.with_name(f".{path.stem}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ArgumentError(
            f"another run is writing to {path}; wait until it ends, or choose another folder with "
            "--out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def write_result(
    result: dict[str, Any], directory: Path, picture: Callable[[dict[str, Any], Path], None]
) -> tuple[Path, Path]:
    """Write `NAME-FORM.json` and `NAME-FORM.png`, and return their paths.

    Args:
        result: the result of a finished run.
        directory: folder of the files.
        picture: draws the result to a file.
    """
    stem = f"{result['spec']['name']}-{result['form']}"
    data, image = directory / f"{stem}.json", directory / f"{stem}.png"
    write_json(data, result, indent=1)
    picture(result, image)
    return data, image


def read_result(path: Path) -> dict[str, Any]:
    """Read a result that `write_result` wrote.

    Raises:
        OSError: the file does not exist.
        DataError: the file is not JSON.
    """
    return read_json("benchmarks", path)
