"""How long it takes to adapt to a task in learn2learn's loop: by writing, and by gradient steps.

`python -m benchmarks.speed.adaptation` times, in one process and in turns, on tasks of `languages`,
what `learner = base.clone()` and K times `learner.adapt(loss(learner(x), y))` take, of one task:

- second-order steps of MAML;
- a `MemoryLearner` with each of the memories that the experiments use. `encode(x)` encodes the
  support set once for all of its steps;
- the same by `write(x, y, times=K)`.

The encoders are alike: a bidirectional LSTM. It prints a table of medians and writes them as JSON.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable
from typing import Any

import l2l_rnn  # noqa: F401 - first, so that gym's notice stays unprinted

# isort: split
import learn2learn
import torch
from torch import nn

from benchmarks.few_shot.methods.memory import MEMORIES
from benchmarks.speed import turns
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
        if isinstance(learner, MemoryLearner):
            x = learner.encode(x)
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
    options = turns.parse("adaptation", __doc__, 60, arguments)
    hidden = 4 if options.quick else HIDDEN
    seconds = turns.measure(contestants(hidden), options.turns)
    faster = {name: seconds[BASELINE] / value for name, value in seconds.items()}
    measured = {"seconds": seconds, "times_faster": faster}
    print(table(measured))
    work = {"ways": WAYS, "shots": SHOTS, "hidden": hidden, "inner_steps": STEPS}
    turns.write("adaptation", options, work, measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
