"""Calls timed side by side, in turns, by a command of their own."""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.few_shot.runner import device_name, versions


def measure(timed: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Median seconds of each, taken in turns after a warm-up of two."""
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for turn in range(turns + 2):
        for name, call in timed.items():
            start = time.perf_counter()
            call()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def parse(name: str, about: str | None, turns: int, arguments: list[str] | None) -> Any:
    """Parse `quick`, `turns`, one in a quick run, and `out`, which can be written to.

    Args:
        name: the benchmark's module.
        about: what it says of itself.
        turns: how many there are unless told.
        arguments: of the command line.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.speed.{name}", description=about)
    parser.add_argument("--quick", action="store_true", help="a smoke run, no numbers to quote")
    text = f"timed turns ({turns})"
    parser.add_argument("--turns", type=int, default=turns, metavar="T", help=text)
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args(arguments)
    if options.turns < 1:
        parser.error(f"--turns must be 1 or more, got {options.turns}")
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror})")
    if options.quick:
        options.turns = 1
    return options


def write(name: str, options: Any, work: dict[str, int], measured: dict[str, Any]) -> None:
    """Write what was measured, and of what work, as JSON."""
    result = {
        "date": datetime.date.today().isoformat(),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "work": work,
        "turns": options.turns,
        **measured,
    }
    path = options.out / f"{name}-{'quick' if options.quick else 'full'}.json"
    text = json.dumps(result, indent=2) + "\n"
    report.replace(path, lambda beside: beside.write_text(text, "utf-8"))
