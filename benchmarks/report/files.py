"""Reading and atomic writing of result files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from l2l_rnn.files import read_json, write_json


def check_writable(directory: Path) -> None:
    """Create the folder if needed, and check that it is writable.

    Raises:
        OSError: the folder is not writable.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=directory):
        pass


def write_result(
    result: dict[str, Any], directory: Path, picture: Callable[[dict[str, Any], Path], None]
) -> tuple[Path, Path]:
    """Write `NAME-FORM.json` and `NAME-FORM.png`.

    The names of an interrupted run end in `-partial`, so it never replaces a complete one.

    Args:
        result: return value of `runner.run`.
        directory: folder of the files.
        picture: draws the result to a file.
    """
    stem = f"{result['spec']['name']}-{result['form']}" + "-partial" * result["interrupted"]
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
