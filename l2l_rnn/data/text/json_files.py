"""JSON files of text pipelines: written whole or not at all, read with a check of what they are."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from l2l_rnn.errors import DataError


def write_json(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write `content` as JSON, beside `path` first and then moved into place.

    Raises:
        TypeError: it holds what JSON does not; `path` stays as it was.
    """
    path = Path(path).expanduser()
    text = json.dumps(content)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with beside.open("x", encoding="utf-8") as file:
            file.write(text)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_json(who: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `write_json` wrote; `who` begins the error's message.

    Raises:
        DataError: the file does not hold a JSON object.
    """
    try:
        content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{who}: {path} must be JSON that save() wrote, cannot be read ({error}); save it again"
        ) from error
    return content if isinstance(content, dict) else {}


def check_saved(who: str, path: str | os.PathLike[str], holds: bool, expected: str) -> None:
    """Raise a DataError unless the file `holds` what was `expected` of it."""
    if not holds:
        raise DataError(f"{who}: {path} must hold {expected}, holds something else; save it again")
