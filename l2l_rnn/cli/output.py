"""Printing of results: tables for people, JSON for programs, logs on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def show(text: str = "") -> None:
    """Write a line of the result to stdout."""
    sys.stdout.write(f"{text}\n")


def log(text: str) -> None:
    """Write a line about the progress to stderr."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def show_json(content: Any) -> None:
    """Print a result as JSON on stdout; numbers that are not finite become null.

    Example:
        >>> show_json({"a": float("nan")})
        {
          "a": null
        }
    """
    show(json.dumps(finite(content), indent=2, ensure_ascii=False))


def finite(value: Any) -> Any:
    """Return a value that JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return finite(value.tolist()) if hasattr(value, "tolist") else str(value)


def show_table(rows: Sequence[Sequence[Any]], names: Sequence[str] = ()) -> None:
    """Print rows in columns.

    Example:
        >>> show_table([("a", 1), ("bcd", 22)], ("name", "count"))
        name  count
        a     1
        bcd   22
    """
    lines = [[str(cell) for cell in row] for row in ([names] if names else []) + list(rows)]
    if not lines:
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)]
        show("  ".join(cells).rstrip())
