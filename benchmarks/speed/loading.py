"""How long it takes to draw a batch of tasks, beside learn2learn's Taskset and beside a meta-step.

`python -m benchmarks.speed.loading` times, in one process and in turns, on names of `languages`:

- Taskset: learn2learn's own, with its FusedNWaysKShots, LoadData, RemapLabels and ConsecutiveLabels
  over the tensors that the others draw from, one task after the other;
- Taskset, parted: the same, and learn2learn's `partition_task` of each into support and query;
- one by one: `TaskLoader` over that Taskset, which stacks the tasks, parted, in one batch;
- at once: `TaskLoader` over the task set of this package, which draws the whole batch at once;
- meta-step: a second-order step of MAML on such a batch, forward and backward.

It prints a table of medians and writes them as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import l2l_rnn  # noqa: F401 - first, so that gym's notice stays unprinted

# isort: split
import learn2learn
import torch
from learn2learn.data.transforms import ConsecutiveLabels, FusedNWaysKShots, LoadData, RemapLabels

from benchmarks.speed import turns
from l2l_rnn.algorithms import MAML
from l2l_rnn.data import TaskLoader
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import get_tasksets

TASKS, WAYS, SHOTS, QUERIES, HIDDEN, LR = 16, 5, 5, 10, 64, 0.1


def contestants(tasks: int = TASKS, hidden: int = HIDDEN) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    tasksets = get_tasksets("languages", train_ways=WAYS, train_samples=SHOTS + QUERIES)
    dataset = tasksets.train.source.meta()
    transforms = [
        FusedNWaysKShots(dataset, n=WAYS, k=SHOTS + QUERIES),
        LoadData(dataset),
        RemapLabels(dataset),
        ConsecutiveLabels(dataset),
    ]
    taskset = learn2learn.data.Taskset(dataset, transforms)
    one_by_one = TaskLoader(taskset, tasks, SHOTS, seed=0)
    at_once = TaskLoader(tasksets.train, tasks, SHOTS, seed=0)
    torch.manual_seed(0)
    model = SequenceClassifier(
        WAYS, vocab_size=tasksets.vocab_size, hidden_size=hidden, bidirectional=True
    )
    maml = MAML(model, lr=LR)
    batch = next(at_once)

    def sampled() -> list[Any]:
        return [taskset.sample() for _ in range(tasks)]

    def parted() -> list[Any]:
        return [learn2learn.data.partition_task(*task, shots=SHOTS) for task in sampled()]

    def meta_step() -> None:
        model.zero_grad()
        learner = maml.clone(tasks=tasks)
        learner.adapt(cross_entropy(learner(batch.support_x), batch.support_y))
        cross_entropy(learner(batch.query_x), batch.query_y).mean().backward()

    return {
        "Taskset": sampled,
        "Taskset, parted": parted,
        "one by one": lambda: next(one_by_one),
        "at once": lambda: next(at_once),
        "meta-step": meta_step,
    }


def table(result: dict[str, Any]) -> str:
    """The medians as a Markdown table."""
    seconds = result["seconds"]
    lines = ["| a batch of tasks | ms | of a meta-step |", "|---|---:|---:|"]
    for name, value in seconds.items():
        share = value / seconds["meta-step"]
        lines.append(f"| {name} | {1000 * value:.2f} | {100 * share:.1f}% |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure, print and write; returns the exit status."""
    options = turns.parse("loading", __doc__, 40, arguments)
    tasks, hidden = (2, 4) if options.quick else (TASKS, HIDDEN)
    seconds = turns.measure(contestants(tasks, hidden), options.turns)
    measured = {
        "seconds": seconds,
        "times_faster": seconds["Taskset"] / seconds["at once"],
        "times_faster_than_parted": seconds["Taskset, parted"] / seconds["at once"],
        "share_of_meta_step": seconds["at once"] / seconds["meta-step"],
    }
    print(table(measured))
    print(
        f"At once is {measured['times_faster']:.1f} times as fast as learn2learn's Taskset, and "
        f"{measured['times_faster_than_parted']:.1f} times with its partition_task, which gives "
        "the same: support and query."
    )
    work = {"tasks": tasks, "ways": WAYS, "shots": SHOTS, "queries": QUERIES, "hidden": hidden}
    turns.write("loading", options, work, measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
