"""Interleaved timing, and the command line and JSON that the speed benchmarks share."""

from __future__ import annotations

import argparse
import datetime
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.few_shot.runner import device_name, versions
from l2l_rnn.files import write_json

RESULTS = Path(__file__).parents[1] / "results"


def median_seconds(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    warmup: int = 1,
    device: torch.device | None = None,
) -> dict[str, float]:
    """Return the median time of each call in seconds.

    The calls are interleaved: every round runs each of them once, so that a change in the
    machine's load affects all of them.

    Args:
        calls: what to time, by name.
        repeats: rounds that count.
        warmup: rounds before, which do not count.
        device: synchronized before and after each call if it is a CUDA device.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + warmup):
        for name, call in calls.items():
            _synchronize(device)
            start = time.perf_counter()
            call()
            _synchronize(device)
            if round_ >= warmup:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _synchronize(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def make_parser(name: str, description: str | None, repeats: int) -> argparse.ArgumentParser:
    """Return a parser with the options `--quick`, `--repeats` and `--out`.

    Args:
        name: the benchmark's module in `benchmarks.speed`.
        description: printed by `--help`.
        repeats: the default of `--repeats`.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.speed.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="smoke run; its numbers mean nothing")
    text = f"timed rounds (default: {repeats})"
    parser.add_argument("--repeats", type=int, default=repeats, metavar="R", help=text)
    text = "folder of the results (default: benchmarks/results)"
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help=text)
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Parse the command line, check it, and set one round for a quick run."""
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror})")
    if options.quick:
        options.repeats = 1
    return options


def environment(device: torch.device | None = None) -> dict[str, Any]:
    """Return what every result says of where it was measured."""
    return {
        "date": datetime.date.today().isoformat(),
        "device": device_name(device or torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def write(stem: str, options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Write a result as `STEM-full.json`, or `STEM-quick.json` of a quick run."""
    form = "quick" if options.quick else "full"
    write_json(options.out / f"{stem}-{form}.json", result, indent=2)
