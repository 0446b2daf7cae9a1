"""Training speed of the memories, compared with a plain loop over sequences, heads and steps.

`python -m benchmarks.speed.memory` times interleaved training steps (forward, backward, Adam) on
the copy task, prints sequences per second, and saves them as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import l2l_rnn  # imported first to silence gym's notice

# isort: split
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils import clip_grad_norm_

from benchmarks.speed import timing
from benchmarks.speed.plain_memories import PlainDNC, PlainNTM
from l2l_rnn.memory import DNC, NTM
from l2l_rnn.tasksets import Copy

HIDDEN, SLOT_SIZE, SLOTS = 100, 20, {"NTM": 128, "DNC": 64}
KINDS: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "NTM": (NTM, PlainNTM),
    "DNC": (DNC, PlainDNC),
}


def training_step(model: nn.Module, batch: int, length: int) -> Callable[[], None]:
    """Return a training step on a fixed batch of the copy task."""
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
    """Measure the median training speed of our memory and of the plain loop."""
    family = Copy()
    steps = {
        name: training_step(
            model(family.input_size, family.output_size, HIDDEN, SLOTS[kind], SLOT_SIZE),
            batch,
            length,
        )
        for name, model in zip(("l2l_rnn", "plain loop"), KINDS[kind], strict=True)
    }
    seconds = timing.median_seconds(steps, repeats)
    speeds = {name: batch / value for name, value in seconds.items()}
    return {
        "kind": kind,
        "batch": batch,
        "length": length,
        "sequences_per_second": speeds,
        "ratio": speeds["l2l_rnn"] / speeds["plain loop"],
    }


def table(result: dict[str, Any]) -> str:
    """Format a result as a Markdown table."""
    lines = [
        "| memory | batch size | l2l_rnn, sequences/s | plain loop, sequences/s | speed-up |",
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
    """Run the benchmark from the command line and return the exit status."""
    parser = timing.make_parser("memory", __doc__, repeats=7)
    text = "number of bit vectors to copy (default: 10)"
    parser.add_argument("--length", type=int, default=10, metavar="L", help=text)
    text = "sequences per training step (default: 1 4 16 64)"
    parser.add_argument(
        "--batch", type=int, nargs="+", default=[1, 4, 16, 64], metavar="B", help=text
    )
    options = timing.parse(parser, arguments)
    length = 2 if options.quick else options.length
    result: dict[str, Any] = {
        **timing.environment(),
        "compiled": l2l_rnn.functional.compiled(),
        "repeats": options.repeats,
        "rows": [],
    }
    for kind in KINDS:
        for batch in options.batch:
            row = measure(kind, batch, length, options.repeats)
            result["rows"].append(row)
            print(f"{kind}, batch of {batch}: {row['ratio']:.1f} times the plain loop", flush=True)
    print("\n" + table(result))
    timing.write("memory-speed", options, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
