"""The names of what there is, kept in a file so that listing them takes no import of torch.

`python -m l2l_rnn.cli.catalog` writes the file; a test compares it with the registries.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from l2l_rnn.cli.fitting.learners import LEARNERS
from l2l_rnn.cli.output import show

FILE = Path(__file__).with_name("catalog.json")


@cache
def catalog() -> dict[str, dict[str, Any]]:
    """Return the members of each section: `tasksets`, `learners`, `cells` and so on.

    The members of other packages are added from their entry points.

    Returns:
        for each section, each name with its one-line summary; a card as a dict for a task set.

    Example:
        >>> catalog()["learners"]["protonet"]
        "class means of an encoder's vectors"
    """
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text("utf-8"))
    if entry_points(group="l2l_rnn.tasksets"):
        found["tasksets"] = _tasksets()
    return {"learners": {name: kind.summary for name, kind in LEARNERS.items()}, **found}


def current() -> dict[str, dict[str, Any]]:
    """Return what the file should hold, from the registries."""
    from l2l_rnn.memory import STORES
    from l2l_rnn.models.encoder import POOLINGS
    from l2l_rnn.nn import CELLS
    from l2l_rnn.tasksets import PRESETS

    return {
        "tasksets": _tasksets(),
        "cells": {name: _summary(cell) for name, cell in CELLS.items()},
        "poolings": {name: _summary(pooling) for name, pooling in POOLINGS.items()},
        "memories": {name: _summary(store) for name, store in STORES.items()},
        "presets": {
            name: f"{preset.repository or 'a local copy'}, label {preset.label}"
            for name, preset in PRESETS.items()
        },
    }


def _tasksets() -> dict[str, Any]:
    from l2l_rnn.tasksets import list_tasksets

    return {
        name: None if card is None else {**asdict(card), "text": str(card)}
        for name, card in list_tasksets().items()
    }


def _summary(cls: Any) -> str:
    return str(cls.__doc__ or "").strip().partition("\n")[0].rstrip(".")


if __name__ == "__main__":
    FILE.write_text(json.dumps(current(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    show(f"wrote {FILE}")
