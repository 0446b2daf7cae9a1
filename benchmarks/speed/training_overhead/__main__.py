"""Command line of the benchmark."""

from __future__ import annotations

import logging
import statistics
import sys
import warnings
from typing import Any

import torch

from benchmarks.speed import timing, training_overhead
from benchmarks.speed.training_overhead import memory, steps
from benchmarks.speed.training_overhead.steps import Sizes

FULL = (Sizes("maml", 16, 64, 2), Sizes("maml", 4, 16, 1), Sizes("memory", 16, 64, 3))
QUICK = (Sizes("maml", 2, 4, 1), Sizes("memory", 2, 4, 1))
MEMORY_STEPS = (200, 2000)
# Largest overhead: milliseconds of any step, and a fraction of one of at least 100 ms; largest
# growth of the memory.
TARGETS = {"milliseconds": 2.0, "relative": 0.05, "growth": 0.03}


def overhead(row: dict[str, Any], kind: str = "seconds") -> tuple[float, float]:
    """Return the median overhead in milliseconds, and relative to the median bare step."""
    pairs = zip(row[kind]["trainer"], row[kind]["bare"], strict=True)
    difference = statistics.median(trainer - bare for trainer, bare in pairs)
    return 1000 * difference, difference / statistics.median(row[kind]["bare"])


def growth(row: dict[str, Any]) -> float:
    """Return how much the memory has grown, relative to the first value."""
    return row["bytes"][-1] / row["bytes"][0] - 1


def table(result: dict[str, Any]) -> str:
    """Format the medians."""
    head = ["learner; tasks, hidden units", "bare step, ms", "overhead, ms", "overhead"]
    lines = ["| " + " | ".join([*head, "CPU time, ms"]) + " |", "|---|" + "---:|" * 4]
    for row in result["rows"]:
        work, (absolute, relative) = row["work"], overhead(row)
        bare = 1000 * statistics.median(row["seconds"]["bare"])
        name = f"{work['learner']}; {work['tasks']}, {work['hidden']}"
        cpu = overhead(row, "cpu_seconds")[0]
        lines.append(
            f"| {name} | {bare:.1f} | {absolute:.2f} | {100 * relative:.1f} % | {cpu:.2f} |"
        )
    lines.append("")
    for row in result["memory"]:
        sizes = " and ".join(f"{value / 2**20:.0f} MiB" for value in row["bytes"])
        at = " and ".join(map(str, row["steps"]))
        lines.append(f"- {row['learner']}: {sizes} after {at} steps, {100 * growth(row):+.1f} %")
    return "\n".join(lines)


def missed_targets(result: dict[str, Any]) -> list[str]:
    """Return a line for each value above its target in `TARGETS`."""
    lines = []
    for row in result["rows"]:
        absolute, relative = overhead(row)
        name = f"{row['work']['learner']}, {row['work']['tasks']} tasks"
        if absolute > TARGETS["milliseconds"]:
            lines.append(f"{name}: {absolute:.2f} ms, above {TARGETS['milliseconds']:g} ms")
        long = statistics.median(row["seconds"]["bare"]) >= 0.1
        if long and relative > TARGETS["relative"]:
            lines.append(f"{name}: {100 * relative:.1f} %, above {100 * TARGETS['relative']:g} %")
    for row in result["memory"]:
        if growth(row) > TARGETS["growth"]:
            limit = f"above {100 * TARGETS['growth']:g} %"
            lines.append(f"memory of {row['learner']}: {100 * growth(row):+.1f} %, {limit}")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = timing.make_parser("training_overhead", training_overhead.__doc__, repeats=101)
    options = timing.parse(parser, arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tasksets, every = steps.make_tasksets(), QUICK if options.quick else FULL
            rows = [steps.measure(sizes, tasksets, options.repeats) for sizes in every]
    finally:
        torch.set_num_threads(before)
    at, learners = ((2, 4), ["maml"]) if options.quick else (MEMORY_STEPS, ["maml", "memory"])
    grown = [memory.measure(name, at) for name in learners]
    result = {**timing.environment(), "rows": rows, "memory": grown}
    timing.write("training-overhead", options, result)
    print(table(result))
    for line in missed_targets(result):
        print(f"missed: {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
