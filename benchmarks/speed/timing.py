"""Interleaved timing, command line and JSON output of the speed benchmarks."""

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
from benchmarks.machine import device_name, versions
from l2l_rnn.files import write_json

RESULTS = Path(__file__).parents[1] / "results"


class Seconds(float):
    """A time that a call has measured itself, such as a call of another process."""


def median_seconds(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    warmup: int = 1,
    device: torch.device | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return the median time of each call in seconds; arguments as for `interleaved_seconds`."""
    seconds = interleaved_seconds(calls, repeats, warmup=warmup, device=device, clock=clock)
    return {name: statistics.median(values) for name, values in seconds.items()}


def interleaved_seconds(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    *,
    warmup: int = 1,
    device: torch.device | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the time of each call in each round, in seconds.

    The calls are interleaved: each round runs every call once, so that changes in the machine's
    load affect all of them.

    Args:
        calls: functions to time, by name. A call that returns `Seconds` has that time.
        repeats: number of timed rounds.
        warmup: number of untimed rounds before them.
        device: synchronized before and after each call if it is a CUDA device.
        clock: returns the time in seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeats + warmup):
        for name, call in calls.items():
            _synchronize(device)
            start = clock()
            result = call()
            _synchronize(device)
            taken = clock() - start
            if round_ >= warmup:
                seconds[name].append(float(result) if isinstance(result, Seconds) else taken)
    return seconds


def _synchronize(device: torch.device | None) -> None:
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def make_parser(
    name: str, description: str | None, repeats: int, package: str = "benchmarks.speed"
) -> argparse.ArgumentParser:
    """Return a parser with the options `--quick`, `--repeats` and `--out`.

    Args:
        name: the benchmark's module.
        description: printed by `--help`.
        repeats: the default of `--repeats`.
        package: the package of the module.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {package}.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "smoke test; results are meaningless"
    parser.add_argument("--quick", action="store_true", help=text)
    text = f"number of timed rounds (default: {repeats})"
    parser.add_argument("--repeats", type=int, default=repeats, metavar="R", help=text)
    text = "folder of the results (default: benchmarks/results)"
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="DIR", help=text)
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Parse and check the command line; a quick run has one round."""
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats must be at least 1, got {options.repeats}")
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: not writable ({error.strerror}); choose another folder")
    if options.quick:
        options.repeats = 1
    return options


def environment(device: torch.device | None = None) -> dict[str, Any]:
    """Return the date, device, threads and package versions, for a result."""
    return {
        "date": datetime.date.today().isoformat(),
        "device": device_name(device or torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def write(stem: str, options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Write a result as `STEM-full.json`, or `STEM-quick.json` for a quick run."""
    form = "quick" if options.quick else "full"
    write_json(options.out / f"{stem}-{form}.json", result, indent=2)
