"""Whether a network with memory learns a task of bits, how far it reaches, and if it lasts.

`python -m benchmarks.algorithmic.run copy --memory ntm` trains one network on random bit sequences
(the tasks of Graves et al. 2014), counts what a sequence costs in bits and how many of its bits are
wrong, at the lengths trained on and beyond. The networks are of like size; `lstm` is one without a
memory. It prints a line every so often, writes all of them as JSON, and draws where the memory
wrote and read in one sequence.

Options that are not given are as the task has them in `bit_tasks.py`. A training that diverges, is
interrupted or runs out of time is judged as it is then; the JSON says so, and where.
`python -m benchmarks.algorithmic.table` trains many, and makes the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import math
import signal
import sys
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - first, so that gym's notice stays unprinted

# isort: split
import torch
from torch import nn

from benchmarks import report
from benchmarks.algorithmic.learners import LEARNERS, hidden_size
from benchmarks.algorithmic.settings import Settings, add_options
from benchmarks.algorithmic.tasks import ALIASES, TASKS, Task
from benchmarks.algorithmic.training import train
from benchmarks.few_shot.runner import device_name, versions
from l2l_rnn.analysis import trace_memory
from l2l_rnn.memory import RecurrentMemory

STATUS = {"done": 0, "out of time": 0, "diverged": 1, "interrupted": 130}


def settings_of(task: str, **given: Any) -> Settings:
    """The settings of a task, with those that are given instead.

    Raises:
        ValueError: they cannot be used.
    """
    settings = Settings(**(TASKS[task].training | given))
    hidden_size(settings, TASKS[task].family)  # makes the network, of nothing
    return settings


def stem_of(task: str, settings: Settings) -> str:
    """The name of a run's files."""
    return f"memory-{task}-{settings.memory}-seed{settings.seed}"


def run(name: str, settings: Settings, every: int, out: Path) -> dict[str, Any]:
    """Train once, print how it goes, write its JSON and picture, and return what the JSON holds.

    The JSON is written at each line, so that what was measured is kept whatever happens.

    Args:
        name: one of the `TASKS`.
        settings: how to train.
        every: sequences between two lines.
        out: directory of the files.
    """
    task, stem = TASKS[name], stem_of(name, settings)
    result: dict[str, Any] = {
        "task": name,
        "settings": dataclasses.asdict(settings),
        "hidden": hidden_size(settings, task.family),
        "date": datetime.date.today().isoformat(),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }

    def tell(point: dict[str, Any]) -> None:
        print(line(point), flush=True)
        write_json(out / f"{stem}.json", result)

    model = train(task, settings, every, result, tell)
    write_json(out / f"{stem}.json", result)
    if result["ended"] != "done":
        print(result.get("diverged", f"Judged as it is now: {result['ended']}."))
    for measure in ("cost", "wrong_bits"):
        if measure in result:
            print(f"{measure.replace('_', ' ')} of a sequence: {numbers(result[measure])}")
    if isinstance(model, RecurrentMemory) and result["ended"] != "diverged":
        picture(model, task, out / f"{stem}.png")
    return plain(result)


def picture(model: nn.Module, task: Task, path: Path) -> None:
    """Draw what a memory does in one of the longest sequences of the training."""
    drawn = task.shown.sequences(1, torch.Generator().manual_seed(3))
    trace = trace_memory(model, drawn.inputs[0])
    shares = torch.from_numpy(trace.outputs).sigmoid()
    outputs = shares.masked_fill(~drawn.mask[0].unsqueeze(-1), 0).numpy()
    dataclasses.replace(trace, outputs=outputs).draw(path)  # what is asked for, as shares of 1


def line(point: dict[str, Any]) -> str:
    """Format how a training goes."""
    parts = [
        f"{point['sequences']:6d} sequences {point['seconds']:6.0f} s loss {point['loss']:.5f}",
        f"cost {numbers(point['cost'])}",
    ]
    if "wrong_bits" in point:
        parts.append(f"wrong bits {numbers(point['wrong_bits'])}")
    if point["greatest_climb"] is not None:
        parts.append(f"climbed {point['greatest_climb']:.1f} times")
    return ", ".join([*parts, f"most {point['most']}", f"clipped {point['clipped']:.0%}"])


def numbers(measured: dict[str, float | None]) -> str:
    """Format a measure at each length; one that is not finite is a dash."""
    found = []
    for name, value in measured.items():
        told = "-" if value is None or not math.isfinite(value) else f"{value:.2f}"
        found.append(f"{name}: {told}")
    return ", ".join(found)


def plain(value: Any) -> Any:
    """Turn what is not finite into None, as JSON has no such numbers."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, result: dict[str, Any]) -> Path:
    """Write a result, whole or not at all."""
    text = json.dumps(plain(result), indent=1, allow_nan=False) + "\n"
    return report.replace(path, lambda beside: beside.write_text(text, "utf-8"))


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that a run and a table of runs share."""
    parser.add_argument("--every", type=int, default=1000, metavar="S", help="sequences a line")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")


def check_common(parser: argparse.ArgumentParser, out: Path, every: int) -> None:
    """Leave with an error if the results cannot be written, or there is no line."""
    if every < 1:
        parser.error(f"--every must be 1 or more, got {every}")
    try:
        report.check_writable(out)
    except OSError as error:
        parser.error(f"--out {out}: cannot write there ({error.strerror})")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, train, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.algorithmic.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=[*TASKS, *ALIASES])
    parser.add_argument("--memory", choices=LEARNERS, default="ntm")
    add_options(parser, "memory")
    add_common(parser)
    options = vars(parser.parse_args(arguments))
    task, out, every = options.pop("task"), options.pop("out"), options.pop("every")
    check_common(parser, out, every)
    name = ALIASES.get(task, task)
    try:
        settings = settings_of(name, **options)
    except ValueError as error:
        parser.error(str(error))
    return STATUS[run(name, settings, every, out)["ended"]]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a run as Ctrl-C does
    sys.exit(main())
