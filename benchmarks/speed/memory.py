"""How fast our memories train, beside the plain loop over sequences, heads and equations.

`python -m benchmarks.speed.memory` times a training step (forward, backward, Adam) on copy, in
turns, prints sequences a second, and writes them as JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import l2l_rnn  # first, so that gym's notice stays unprinted

# isort: split
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_

from benchmarks import report
from benchmarks.few_shot.runner import device_name, versions
from benchmarks.speed.plain_memories import PlainDNC, PlainNTM
from l2l_rnn.memory import DNC, NTM
from l2l_rnn.tasksets import Copy

HIDDEN, WIDTH, SLOTS = 100, 20, {"NTM": 128, "DNC": 64}
KINDS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "NTM": (NTM, PlainNTM),
    "DNC": (DNC, PlainDNC),
}


def training_step(model: nn.Module, batch: int, length: int) -> Callable[[], None]:
    """A step of training on a batch of copy that is always the same."""
    drawn = Copy().at(length).sequences(batch, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step() -> None:
        found = model(drawn.inputs)
        outputs = found[0] if isinstance(found, tuple) else found
        loss = binary_cross_entropy_with_logits(outputs[drawn.mask], drawn.targets[drawn.mask])
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 10)
        optimizer.step()

    return step


def measure(kind: str, batch: int, length: int, repeats: int) -> dict[str, Any]:
    """Median sequences a second of ours and of the plain loop, taken in turns after a warm-up."""
    family = Copy()
    steps = {
        name: training_step(
            model(family.input_size, family.output_size, HIDDEN, SLOTS[kind], WIDTH), batch, length
        )
        for name, model in zip(("l2l_rnn", "plain loop"), KINDS[kind], strict=True)
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    speeds = {name: batch / statistics.median(values) for name, values in seconds.items()}
    return {
        "kind": kind,
        "batch": batch,
        "length": length,
        "sequences_per_second": speeds,
        "ratio": speeds["l2l_rnn"] / speeds["plain loop"],
    }


def table(result: dict[str, Any]) -> str:
    """Format a result as a table in Markdown."""
    lines = [
        "| memory | sequences at once | l2l_rnn, sequences a second | plain loop | ratio |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in result["rows"]:
        ours, plain = row["sequences_per_second"].values()
        cells = [
            row["kind"],
            str(row["batch"]),
            f"{ours:.0f}",
            f"{plain:.1f}",
            f"{row['ratio']:.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed.memory", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run, no numbers to quote")
    parser.add_argument("--repeats", type=int, default=7, metavar="R", help="timed turns (7)")
    parser.add_argument("--length", type=int, default=10, metavar="L", help="vectors to copy (10)")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 16, 64], metavar="B")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args(arguments)
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror})")
    repeats, length = (1, 2) if options.quick else (options.repeats, options.length)
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "compiled": l2l_rnn.functional.compiled(),
        "versions": versions(),
        "repeats": repeats,
        "rows": [],
    }
    for kind in KINDS:
        for batch in options.batch:
            row = measure(kind, batch, length, repeats)
            result["rows"].append(row)
            print(f"{kind}, {batch} at once: {row['ratio']:.1f} times the plain loop", flush=True)
    print("\n" + table(result))
    stem = "memory-speed-quick" if options.quick else "memory-speed-full"
    text = json.dumps(result, indent=2) + "\n"
    report.replace(options.out / f"{stem}.json", lambda path: path.write_text(text, "utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
