"""Growth of memory over many steps: nothing that training or evaluation does may accumulate.

`python -m benchmarks.memory_growth` runs each job in a process of its own, and reads the resident
memory of the process after 200 steps and after 2,000:

- maml: second-order meta-steps of MAML, with an optimizer;
- memory learner: meta-steps of a `MemoryLearner`;
- evaluation: `evaluate` of MAML, a batch of tasks a step;
- loader, varied loader, prefetching loader, one by one: batches of a `TaskLoader`.

It prints a table and saves it as JSON. A job that grows by more than 3% is named, and the exit
status is then 1.
"""

from __future__ import annotations

import gc
import multiprocessing
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.speed import timing
from l2l_rnn.algorithms import MAML, MemoryLearner
from l2l_rnn.data import SequenceDataset, SourceTaskset, TaskBatch, TaskLoader
from l2l_rnn.functional import cross_entropy
from l2l_rnn.memory import DeltaFastWeights
from l2l_rnn.models import MemoryModel, SequenceClassifier, SequenceEncoder
from l2l_rnn.training import adapted, evaluate

WAYS, SHOTS, QUERIES, TASKS, HIDDEN = 5, 5, 5, 8, 32
FIRST, LAST = 200, 2000
MOST_GROWTH = 0.03

Step = Callable[[], Any]


def source() -> SequenceDataset:
    """Return 20 classes of 30 sequences of 12 steps."""
    generator = torch.Generator().manual_seed(0)
    return SequenceDataset(torch.randn(600, 12, 4, generator=generator), torch.arange(600) % 20)


def maml() -> MAML:
    """Return a learner with second-order gradients."""
    return MAML(SequenceClassifier(WAYS, input_size=4, hidden_size=HIDDEN), lr=0.1)


def meta_steps(learner: nn.Module) -> Step:
    """Return meta-steps with an optimizer."""
    optimizer = torch.optim.Adam(learner.parameters(), lr=1e-3)
    batches = TaskLoader(source(), TASKS, SHOTS, QUERIES, ways=WAYS, seed=0)

    def step() -> float:
        batch = next(batches)
        optimizer.zero_grad()
        copy = adapted(learner, batch.support_x, batch.support_y, tasks=TASKS)
        loss = cross_entropy(copy(batch.query_x), batch.query_y).mean()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def evaluations() -> Step:
    """Return evaluations, each of a batch of tasks."""
    learner, dataset = maml(), source()
    seeds = iter(range(10**9))

    def step() -> float:
        found = evaluate(learner, dataset, SHOTS, 20, ways=WAYS, queries=QUERIES, seed=next(seeds))
        return found.mean

    return step


def draws(**options: Any) -> Step:
    """Return the draws of a loader."""
    given = {"shots": SHOTS, "queries": QUERIES, "ways": WAYS, **options}
    loader: Iterator[TaskBatch] = TaskLoader(source(), 64, seed=0, **given)
    return lambda: next(loader)


def draws_one_by_one() -> Step:
    """Return the draws of a loader over a task set with a fixed number of tasks."""
    taskset = SourceTaskset(source(), WAYS, SHOTS + QUERIES, num_tasks=100)
    loader = TaskLoader(taskset, 4, SHOTS, seed=0)
    return lambda: next(loader)


JOBS: dict[str, Callable[[], Step]] = {
    "maml": lambda: meta_steps(maml()),
    "memory learner": lambda: meta_steps(
        MemoryLearner(
            MemoryModel(
                SequenceEncoder(input_size=4, hidden_size=HIDDEN), DeltaFastWeights(HIDDEN, WAYS)
            )
        )
    ),
    "evaluation": evaluations,
    "loader": draws,
    "varied loader": lambda: draws(shots=(1, 10), ways=(2, 8), imbalanced=True),
    "prefetching loader": lambda: draws(prefetch=2),
    "one by one": draws_one_by_one,
}


def growth(name: str, first: int, last: int) -> dict[str, float]:
    """Run a job in a fresh process, and return its resident memory in bytes after some steps.

    Args:
        name: the job.
        first, last: the numbers of steps after which to read the memory.

    Returns:
        `first` and `last` in bytes, and `growth`, the increase as a share.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(_measured, name, first, last, torch.get_num_threads()).result()
    return {"first": found[0], "last": found[1], "growth": found[1] / found[0] - 1}


def _measured(name: str, first: int, last: int, threads: int) -> list[int]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    step, found = JOBS[name](), []
    for number in range(1, last + 1):
        step()
        if number in (first, last):
            gc.collect()
            found.append(resident())
    return found


def resident() -> int:
    """Return the resident memory of this process in bytes.

    Raises:
        OSError: `/proc` is not available.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no VmRSS")


def table(result: dict[str, Any]) -> str:
    """Format the memory as a Markdown table."""
    steps = result["steps"]
    head = f"| | MB after {steps['first']} | MB after {steps['last']} | growth |"
    lines = [head, "|---|---:|---:|---:|"]
    for name, one in result["jobs"].items():
        first, last = (f"{one[key] / 2**20:.1f}" for key in ("first", "last"))
        lines.append(f"| {name} | {first} | {last} | {100 * one['growth']:+.2f}% |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = timing.make_parser("memory_growth", __doc__, repeats=1)
    parser.prog = "python -m benchmarks.memory_growth"
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB")
    options = timing.parse(parser, arguments)
    first, last = (2, 4) if options.quick else (FIRST, LAST)
    jobs = {name: growth(name, first, last) for name in options.jobs}
    result = {**timing.environment(), "steps": {"first": first, "last": last}, "jobs": jobs}
    print(table(result))
    timing.write("memory-growth", options, result)
    grown = [name for name, one in jobs.items() if one["growth"] > MOST_GROWTH]
    if grown and not options.quick:
        print(f"More than {100 * MOST_GROWTH:.0f}% of growth: {', '.join(grown)}.")
    return int(bool(grown) and not options.quick)


if __name__ == "__main__":
    sys.exit(main())
