"""Time to draw a batch of tasks, compared with learn2learn's Taskset and with a meta-step.

`python -m benchmarks.speed.loading` draws 16 tasks of `languages`, interleaved in one process:

- Taskset: learn2learn's `Taskset` with FusedNWaysKShots, LoadData, RemapLabels and
  ConsecutiveLabels over the same tensors, one task at a time;
- Taskset and partition_task: the same, followed by learn2learn's `partition_task` into support and
  query;
- one by one: `TaskLoader` over that Taskset, which stacks the support and query sets of all tasks;
- at once: `TaskLoader` over the task set of this package, which draws the whole batch at once;
- meta-step: a second-order MAML step on such a batch, forward and backward.

It prints a table of medians and saves them as JSON.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import l2l_rnn  # noqa: F401 - imported first to silence gym's notice

# isort: split
import learn2learn
import torch
from learn2learn.data.transforms import ConsecutiveLabels, FusedNWaysKShots, LoadData, RemapLabels

from benchmarks.speed import timing
from l2l_rnn.algorithms import MAML
from l2l_rnn.data import TaskLoader
from l2l_rnn.functional import cross_entropy
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import get_tasksets

TASKS, WAYS, SHOTS, QUERIES, HIDDEN, LR = 16, 5, 5, 10, 64, 0.1
PARTITIONED = "Taskset and partition_task"


def contestants(tasks: int = TASKS, hidden: int = HIDDEN) -> dict[str, Callable[[], Any]]:
    """Return the functions to time, by name."""
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

    def partitioned() -> list[Any]:
        return [learn2learn.data.partition_task(*task, shots=SHOTS) for task in sampled()]

    def meta_step() -> None:
        model.zero_grad()
        learner = maml.clone(tasks=tasks)
        learner.adapt(cross_entropy(learner(batch.support_x), batch.support_y))
        cross_entropy(learner(batch.query_x), batch.query_y).mean().backward()

    return {
        "Taskset": sampled,
        PARTITIONED: partitioned,
        "one by one": lambda: next(one_by_one),
        "at once": lambda: next(at_once),
        "meta-step": meta_step,
    }


def table(result: dict[str, Any]) -> str:
    """Format the medians as a Markdown table."""
    seconds = result["seconds"]
    lines = ["| a batch of tasks | ms | share of a meta-step |", "|---|---:|---:|"]
    for name, value in seconds.items():
        share = value / seconds["meta-step"]
        lines.append(f"| {name} | {1000 * value:.2f} | {100 * share:.1f}% |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    options = timing.parse(timing.make_parser("loading", __doc__, repeats=40), arguments)
    tasks, hidden = (2, 4) if options.quick else (TASKS, HIDDEN)
    seconds = timing.median_seconds(contestants(tasks, hidden), options.repeats, warmup=2)
    sizes = {"tasks": tasks, "ways": WAYS, "shots": SHOTS, "queries": QUERIES, "hidden": hidden}
    result = {
        **timing.environment(),
        "work": sizes,
        "repeats": options.repeats,
        "seconds": seconds,
        "times_faster": seconds["Taskset"] / seconds["at once"],
        "times_faster_than_partitioned": seconds[PARTITIONED] / seconds["at once"],
        "share_of_meta_step": seconds["at once"] / seconds["meta-step"],
    }
    print(table(result))
    print(
        f"Drawing at once is {result['times_faster_than_partitioned']:.1f} times as fast as "
        f"learn2learn's Taskset with partition_task, which also returns support and query sets, "
        f"and {result['times_faster']:.1f} times as fast as the Taskset alone."
    )
    timing.write("loading", options, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
