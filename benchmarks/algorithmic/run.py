"""Train one network on one algorithmic task of Graves et al. 2014.

`python -m benchmarks.algorithmic.run copy --memory ntm` trains a network on random bits and
evaluates it on sequences of trained and longer lengths, by cost in bits and number of wrong bits.
All networks have similar numbers of parameters; `lstm` has no memory. The command prints a line at
each evaluation, saves the results as JSON, and plots where the memory wrote and read.

A task (`tasks.py`) overrides some of the defaults below; `settings.py` explains the options. If
training diverges, is interrupted or reaches its time limit, the network is still evaluated, and
`ended` in the JSON gives the reason. `python -m benchmarks.algorithmic.table` trains all networks
and makes a table.
"""

from __future__ import annotations

from benchmarks.interruption import interruption

if __name__ == "__main__":
    interruption.install()

import argparse
import dataclasses
import datetime
import math
import sys
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice

# isort: split
import torch
from torch import nn

from benchmarks import report
from benchmarks.algorithmic.networks import NETWORKS, matching_hidden_size
from benchmarks.algorithmic.settings import Settings, add_options
from benchmarks.algorithmic.tasks import ALIASES, TASKS, Task
from benchmarks.algorithmic.training import train
from benchmarks.few_shot.time_left import duration_text
from benchmarks.machine import device_name, versions
from l2l_rnn.analysis import trace_memory
from l2l_rnn.errors import ArgumentError
from l2l_rnn.files import write_json
from l2l_rnn.memory import RecurrentMemory

STATUS = {"done": 0, "out of time": 0, "diverged": 1}


def make_settings(task: str, **given: Any) -> Settings:
    """Return the settings of a task, overridden by those given.

    Raises:
        ValueError: a setting is out of range.
    """
    settings = Settings(**(TASKS[task].training | given))
    matching_hidden_size(settings, TASKS[task].family)  # raises if the settings are invalid
    return settings


def file_stem(task: str, settings: Settings) -> str:
    """Return the name of a run's files, without suffix."""
    return f"memory-{task}-{settings.memory}-seed{settings.seed}"


def run_task(name: str, settings: Settings, every: int, out: Path) -> dict[str, Any]:
    """Train a network, print its progress, save JSON and figure, and return the result.

    The JSON is saved at each evaluation, so that no measurement is lost. The first signal ends the
    training, so that the network is evaluated; a second one ends the process.

    Args:
        name: one of the `TASKS`.
        settings: training settings.
        every: sequences between two evaluations.
        out: folder of the files.
    """
    task, stem = TASKS[name], file_stem(name, settings)
    result: dict[str, Any] = {
        "task": name,
        "settings": dataclasses.asdict(settings),
        "hidden_size": matching_hidden_size(settings, task.family),
        "date": datetime.date.today().isoformat(),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }

    path = out / f"{stem}.json"
    print(start_line(settings, every), flush=True)

    def on_point(point: dict[str, Any]) -> None:
        print(line(point) + left_text(point, settings), flush=True)
        with interruption.held():
            write_result(path, result)
            interruption.saved = f"The evaluations so far are saved in {path}."

    with report.only_writer(path):
        model = train(task, settings, every, result, on_point)
        write_result(path, result)
    if result["ended"] != "done":
        print(result.get("diverged", f"Training ended early: {result['ended']}."))
    for measure in ("cost", "wrong_bits"):
        if measure in result:
            print(f"{measure.replace('_', ' ')} per sequence: {numbers(result[measure])}")
    if isinstance(model, RecurrentMemory) and result["ended"] != "diverged":
        picture(model, task, out / f"{stem}.png")
    return plain(result)


def start_line(settings: Settings, every: int) -> str:
    """Describe a training before it starts."""
    text = f"{settings.sequences} sequences, with an evaluation after each {every}"
    if math.isfinite(settings.minutes):
        return f"{text}: at most {duration_text(60 * settings.minutes)} of training"
    return f"{text}; the first one tells how long the training takes"


def left_text(point: dict[str, Any], settings: Settings) -> str:
    """Format the time that a training still takes; empty after its end."""
    if not point["sequences"]:
        return ""
    left = point["seconds"] * (settings.sequences / point["sequences"] - 1)
    left = min(left, 60 * settings.minutes - point["seconds"])
    return f", about {duration_text(left)} left" if left > 0 else ""


def picture(model: nn.Module, task: Task, path: Path) -> None:
    """Plot where a memory writes and reads in one of the longest training sequences."""
    batch = task.longest_trained.sequences(1, torch.Generator().manual_seed(3))
    trace = trace_memory(model, batch.inputs[0])
    predictions = torch.from_numpy(trace.outputs).sigmoid()
    outputs = predictions.masked_fill(~batch.mask[0].unsqueeze(-1), 0).numpy()
    dataclasses.replace(trace, outputs=outputs).draw(path)


def line(point: dict[str, Any]) -> str:
    """Format an evaluation during training."""
    parts = [
        f"{point['sequences']:6d} sequences {point['seconds']:6.0f} s loss {point['loss']:.5f}",
        f"cost {numbers(point['cost'])}",
    ]
    if "wrong_bits" in point:
        parts.append(f"wrong bits {numbers(point['wrong_bits'])}")
    if point["max_climb"] is not None:
        parts.append(f"climb {point['max_climb']:.1f}")
    return ", ".join([*parts, f"level {point['level']}", f"clipped {point['clipped']:.0%}"])


def numbers(measured: dict[str, float | None]) -> str:
    """Format a measure at each length, with a dash for values that are not finite."""
    parts = []
    for name, value in measured.items():
        text = "-" if value is None or not math.isfinite(value) else f"{value:.2f}"
        parts.append(f"{name}: {text}")
    return ", ".join(parts)


def plain(value: Any) -> Any:
    """Replace numbers that are not finite by None, since JSON does not support them."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result as JSON."""
    write_json(path, plain(result), indent=1)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options that `run` and `table` share."""
    text = "sequences between two evaluations (default: 1000)"
    parser.add_argument("--every", type=int, default=1000, metavar="S", help=text)
    text = "folder of the results (default: benchmarks/results)"
    results = Path(__file__).parents[1] / "results"
    parser.add_argument("--out", type=Path, default=results, metavar="DIR", help=text)


def check_common(parser: argparse.ArgumentParser, out: Path, every: int) -> None:
    """Exit with an error if the folder is not writable or `every` is out of range."""
    if every < 1:
        parser.error(f"--every must be at least 1, got {every}")
    try:
        report.check_writable(out)
    except OSError as error:
        parser.error(f"--out {out}: not writable ({error.strerror}); choose another folder")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.algorithmic.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=[*TASKS, *ALIASES])
    parser.add_argument("--memory", choices=NETWORKS, default="ntm", help="(default: ntm)")
    add_options(parser, "memory")
    add_common(parser)
    options = vars(parser.parse_args(arguments))
    task, out, every = options.pop("task"), options.pop("out"), options.pop("every")
    check_common(parser, out, every)
    name = ALIASES.get(task, task)
    try:
        settings = make_settings(name, **options)
    except ValueError as error:
        parser.error(str(error))
    interruption.raises = True
    try:
        ended = run_task(name, settings, every, out)["ended"]
    except ArgumentError as error:
        parser.error(str(error))
    except KeyboardInterrupt:  # before or after the training
        print(f"\nInterrupted. {interruption.message}", file=sys.stderr)
        ended = "interrupted"
    return interruption.status if ended == "interrupted" else STATUS[ended]


if __name__ == "__main__":
    sys.exit(main())
