"""How long it takes to adapt to a task in learn2learn's loop: by writing, and by gradient steps.

`python -m benchmarks.adaptation` times, in one process and in turns, on tasks of `languages`, what
`learner = base.clone()` and K times `learner.adapt(loss(learner(x), y))` take, of one task:

- second-order steps of MAML;
- a `MemoryLearner` with each of the memories that the experiments use. It encodes the support set
  once for all of its steps;
- the same by `write(x, y, times=K)`.

The encoders are alike: a bidirectional LSTM. It prints a table of medians and writes them as JSON.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import l2l_rnn  # noqa: F401 - first, so that gym's notice stays unprinted

# isort: split
import learn2learn
import torch
from torch import nn

from benchmarks import report
from benchmarks.loading import measure
from benchmarks.methods.memory import MEMORIES
from benchmarks.runner import device_name, versions
from l2l_rnn.algorithms import MAML, MemoryLearner
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.tasksets import get_tasksets

WAYS, SHOTS, HIDDEN, STEPS, LR = 5, 5, 64, 5, 0.5
TIMES = (1, 3, 5)
WRITES = (5, 15)  # 15: as often as the experiment on languages writes a test task's support set
OPTIONS: dict[str, dict[str, Any]] = {
    "hebbian": {"decay": 1.0, "rate": 1.0},
    "delta": {"features": "unit"},
    "key-value": {"similarity": "cosine", "slots": WAYS * SHOTS * max(WRITES)},
}
BASELINE = f"MAML, {STEPS} steps of second order"


def contestants(hidden: int = HIDDEN, tasks: int = 20) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; all of them go through the same tasks in turn."""
    random.seed(0)
    torch.manual_seed(0)
    tasksets = get_tasksets("languages", train_ways=WAYS, train_samples=2 * SHOTS)
    supports = [
        learn2learn.data.partition_task(*tasksets.train.sample(), shots=SHOTS)[0]
        for _ in range(tasks)
    ]
    model: dict[str, Any] = {
        "vocab_size": tasksets.vocab_size,
        "bidirectional": True,
        "pooling": "max",
    }
    loss = nn.CrossEntropyLoss()

    def adapted(base: Any, steps: int, tasks: list[Any]) -> Any:
        x, y = tasks[0]
        tasks.append(tasks.pop(0))
        learner = base.clone()
        for _ in range(steps):
            learner.adapt(loss(learner(x), y))
        return learner

    def written(base: MemoryLearner, times: int, tasks: list[Any]) -> MemoryLearner:
        tasks.append(tasks.pop(0))
        learner = base.clone()
        learner.write(*tasks[-1], times)
        return learner

    found: dict[str, Callable[[], Any]] = {}
    maml = MAML(SequenceClassifier(WAYS, hidden_size=hidden, **model), lr=LR)
    found[BASELINE] = functools.partial(adapted, maml, STEPS, [*supports])
    for name, options in OPTIONS.items():
        encoder = SequenceEncoder(hidden_size=hidden, **model)
        sizes = {"key_size": encoder.output_size, "value_size": WAYS}
        memory = MEMORIES[name](None, **sizes, **options)
        learner = MemoryLearner(MemoryModel(encoder, memory, unit_keys=True))
        for times in TIMES:
            label = f"{name}, adapt {times} time{'s' * (times > 1)}"
            found[label] = functools.partial(adapted, learner, times, [*supports])
        for times in WRITES:
            label = f"{name}, write {times} times"
            found[label] = functools.partial(written, learner, times, [*supports])
    return found


def table(result: dict[str, Any]) -> str:
    """The medians as a Markdown table."""
    lines = ["| to adapt to a task | ms | times as fast |", "|---|---:|---:|"]
    for name, seconds in result["seconds"].items():
        times = result["times_faster"][name]
        lines.append(f"| {name} | {1000 * seconds:.1f} | {times:.1f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run, no numbers to quote")
    parser.add_argument("--turns", type=int, default=60, metavar="T", help="timed turns (60)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args(arguments)
    if options.turns < 1:
        parser.error(f"--turns must be 1 or more, got {options.turns}")
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror})")
    hidden, turns = (4, 1) if options.quick else (HIDDEN, options.turns)
    seconds = measure(contestants(hidden), turns)
    result = {
        "date": datetime.date.today().isoformat(),
        "device": device_name(torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "work": {"ways": WAYS, "shots": SHOTS, "hidden": hidden, "inner_steps": STEPS},
        "turns": turns,
        "seconds": seconds,
        "times_faster": {name: seconds[BASELINE] / value for name, value in seconds.items()},
    }
    print(table(result))
    path = options.out / ("adaptation-quick.json" if options.quick else "adaptation-full.json")
    text = json.dumps(result, indent=2) + "\n"
    report.replace(path, lambda beside: beside.write_text(text, "utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
