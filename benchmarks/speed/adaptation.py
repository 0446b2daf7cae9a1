"""Time to adapt to a task in learn2learn's loop, by writing to a memory and by gradient steps.

`python -m benchmarks.speed.adaptation` times `learner = base.clone()` and K adaptation steps on a
task of `languages`, interleaved in one process:

- MAML with K second-order steps;
- `MemoryLearner` with each memory of the experiments: the support set is encoded once with
  `encode(x)`, and `adapt` is called K times;
- the same with `write(x, y, times=K)`;
- `R2D2` and `LRD2`: `adapt` or `write` is called once, and the linear head is solved;
- writes under `torch.no_grad()`, as in use after training. MAML needs gradients there too;
- the encoder alone, called once on the support set, which all of them do at least.

All encoders are bidirectional LSTMs of the same size. Other times include building the graph for
the meta-gradient, but not computing the meta-gradient.
"""

from __future__ import annotations

import functools
import random
import sys
from collections.abc import Callable
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice

# isort: split
import learn2learn
import torch
from torch import nn

from benchmarks.few_shot.methods.memory import MEMORIES
from benchmarks.speed import timing
from l2l_rnn.algorithms import LRD2, MAML, R2D2, MemoryLearner
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.tasksets import get_tasksets

WAYS, SHOTS, HIDDEN, STEPS, LR = 5, 5, 64, 5, 0.5
TIMES = (1, 3, 5)
WRITES = (5, 15)  # the languages experiment writes each support set 15 times
OPTIONS: dict[str, dict[str, Any]] = {
    "hebbian": {"decay": 1.0, "lr": 1.0},
    "delta": {"features": "unit"},
    "key-value": {"similarity": "cosine", "slots": WAYS * SHOTS * max(WRITES)},
}
SERVED = ("hebbian, write 15 times", "delta, write 5 times", "R2D2, write", "LRD2, write")
ENCODED = "the encoder alone, once"
BASELINE = f"MAML, {STEPS} second-order steps"


def contestants(hidden: int = HIDDEN, tasks: int = 20) -> dict[str, functools.partial[Any]]:
    """Return the functions to time, by name; all cycle through the same tasks."""
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
        if isinstance(learner, (R2D2, LRD2)):
            return learner.head  # solved here
        return learner

    def written(base: MemoryLearner, times: int, tasks: list[Any]) -> MemoryLearner:
        tasks.append(tasks.pop(0))
        learner = base.clone()
        learner.write(*tasks[-1], times)
        return learner

    def solved(base: R2D2 | LRD2, tasks: list[Any]) -> Any:
        tasks.append(tasks.pop(0))
        learner = base.clone()
        learner.write(*tasks[-1])
        return learner.head

    def without_gradients(adapt: Callable[[], Any]) -> Any:
        with torch.no_grad():
            return adapt()

    def encoded(base: R2D2 | LRD2, tasks: list[Any]) -> Any:
        tasks.append(tasks.pop(0))
        return base.module(tasks[-1][0])

    found: dict[str, functools.partial[Any]] = {}
    maml = MAML(SequenceClassifier(WAYS, hidden_size=hidden, **model), lr=LR)
    found[BASELINE] = functools.partial(adapted, maml, STEPS, [*supports])
    for name, options in OPTIONS.items():
        encoder = SequenceEncoder(hidden_size=hidden, **model)
        sizes = {"key_size": encoder.output_size, "value_size": WAYS}
        memory = MEMORIES[name](**sizes, **options)
        learner = MemoryLearner(MemoryModel(encoder, memory, unit_keys=True))
        for times in TIMES:
            label = f"{name}, adapt {times} time{'s' * (times > 1)}"
            found[label] = functools.partial(adapted, learner, times, [*supports])
        for times in WRITES:
            label = f"{name}, write {times} times"
            found[label] = functools.partial(written, learner, times, [*supports])
    for kind in (R2D2, LRD2):
        head = kind(SequenceEncoder(hidden_size=hidden, **model), WAYS)
        found[f"{kind.__name__}, adapt once"] = functools.partial(adapted, head, 1, [*supports])
        found[f"{kind.__name__}, write"] = functools.partial(solved, head, [*supports])
        if kind is R2D2:
            found[ENCODED] = functools.partial(encoded, head, [*supports])
    for label in SERVED:
        served = functools.partial(found[label].func, *found[label].args[:-1], [*supports])
        found[f"{label}, no gradients"] = functools.partial(without_gradients, served)
    return found


def table(result: dict[str, Any]) -> str:
    """Format the medians as a Markdown table."""
    lines = ["| adaptation | ms | speed-up over MAML |", "|---|---:|---:|"]
    for name, seconds in result["seconds"].items():
        times = result["times_faster"][name]
        lines.append(f"| {name} | {1000 * seconds:.1f} | {times:.1f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    options = timing.parse(timing.make_parser("adaptation", __doc__, repeats=60), arguments)
    hidden = 4 if options.quick else HIDDEN
    seconds = timing.median_seconds(contestants(hidden), options.repeats, warmup=2)
    result = {
        **timing.environment(),
        "work": {"ways": WAYS, "shots": SHOTS, "hidden": hidden, "inner_steps": STEPS},
        "repeats": options.repeats,
        "seconds": seconds,
        "times_faster": {name: seconds[BASELINE] / value for name, value in seconds.items()},
    }
    print(table(result))
    timing.write("adaptation", options, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
