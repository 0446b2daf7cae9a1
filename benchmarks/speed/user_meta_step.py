"""Time of the meta-step of models that users write, without any declaration.

`python -m benchmarks.speed.user_meta_step` times a second-order meta-step of the five models of
`user_models` on 16 tasks, computed in four ways, interleaved, on one thread and on two:

- learn2learn: its `MAML` and its loop over tasks, with torch's layers;
- loop: the same loop over `clone()` of our `MAML`, with the model after `l2l_rnn.nn.convert`;
- tasks: `clone(tasks=16)` of the same model;
- declared: `clone(tasks=16)` of an axis-agnostic version that declares `task_axis = True`.

With `--keep-memory`, glibc's malloc keeps freed memory instead of returning it to the system.

It prints a table of medians and quartiles and saves the seconds of all rounds as JSON. A ratio is
the median over the rounds of the ratio within a round, so a change in the machine's load affects
both of its terms.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import l2l_rnn  # imported first to silence gym's notice

# isort: split
import learn2learn
import torch
from torch import nn

import l2l_rnn.functional
import l2l_rnn.nn
from benchmarks.speed import timing
from benchmarks.speed.user_models import Sizes
from benchmarks.speed.user_tasks import MODELS, UserModel, draw, mean_loss
from l2l_rnn.algorithms import MAML

LR = 0.1
# Otherwise glibc returns large tensors to the system, and each new one costs page faults.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**31), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
FULL = (Sizes(), Sizes(batch=5))
QUICK = (Sizes(tasks=2, batch=2, steps=4, features=2, hidden=3, vocab=5, target_steps=2),)
NAMES = ("learn2learn", "loop", "tasks", "declared")
# Smallest speed-up of `tasks` over each other contestant.
TARGETS = {"learn2learn": 3.0, "loop": 1.0, "declared": 0.9}


def make_models(entry: UserModel, sizes: Sizes) -> dict[str, nn.Module]:
    """Return the model of each contestant, all with the same parameters."""
    makers = dict.fromkeys(NAMES[:3], entry.make)
    if entry.declared is not None:
        makers["declared"] = entry.declared
    torch.manual_seed(0)
    start = entry.make(sizes).state_dict()
    models = {}
    for name, make in makers.items():
        models[name] = make(sizes)
        models[name].load_state_dict(start)
        if name != "learn2learn":
            models[name] = l2l_rnn.nn.convert(models[name])
    return models


def contestants(models: dict[str, nn.Module], entry: UserModel, data: Any) -> dict[str, Any]:
    """Return each contestant's meta-step, which stores its meta-gradients in `.grad`.

    Args:
        models: return value of `make_models`.
        entry: the entry of `MODELS`.
        data: support and query data of all tasks.
    """
    support, query = data
    tasks = len(support["labels"])

    def loop(maml: Any) -> None:
        for n in range(tasks):
            one, other = ({name: x[n] for name, x in part.items()} for part in data)
            learner = maml.clone()
            learner.adapt(mean_loss(entry, learner, one))
            (mean_loss(entry, learner, other) / tasks).backward()

    def at_once(model: nn.Module) -> None:
        loss = l2l_rnn.functional.cross_entropy
        learner = MAML(model, LR).clone(tasks=tasks)
        learner.adapt(mean_loss(entry, learner, support, loss))
        mean_loss(entry, learner, query, loss).mean().backward()

    steps: dict[str, Callable[[], None]] = {
        "learn2learn": lambda: loop(learn2learn.algorithms.MAML(models["learn2learn"], LR)),
        "loop": lambda: loop(MAML(models["loop"], LR)),
        "tasks": lambda: at_once(models["tasks"]),
        "declared": lambda: at_once(models["declared"]),
    }
    return {name: step for name, step in steps.items() if name in models}


def measure(name: str, sizes: Sizes, threads: int, repeats: int) -> dict[str, Any]:
    """Measure the seconds of all rounds for each contestant."""
    entry = MODELS[name]
    steps = contestants(make_models(entry, sizes), entry, (draw(sizes, 1), draw(sizes, 2)))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = timing.interleaved_seconds(steps, repeats)
    finally:
        torch.set_num_threads(before)
    work = {"model": name, "threads": threads, **dataclasses.asdict(sizes)}
    return {"work": work, "label": entry.label, "seconds": seconds}


def ratios(row: dict[str, Any], over: str) -> list[float]:
    """Return the speed-up of `tasks` over another contestant in each round."""
    pairs = zip(row["seconds"][over], row["seconds"]["tasks"], strict=True)
    return [theirs / ours for theirs, ours in pairs]


def missed_targets(result: dict[str, Any]) -> list[str]:
    """Return a line for each median speed-up below its target in `TARGETS`."""
    lines = []
    for row in result["rows"]:
        for over, target in TARGETS.items():
            if over not in row["seconds"]:
                continue
            found = statistics.median(ratios(row, over))
            if found < target:
                work = row["work"]
                lines.append(
                    f"{row['label']}, {work['batch']} sequences, threads: {work['threads']}: "
                    f"{found:.2f} times as fast as {over}, below {target:g}"
                )
    return lines


def table(result: dict[str, Any]) -> str:
    """Format medians and quartiles of milliseconds, and of the speed-ups of `tasks`."""
    titles = {
        "learn2learn": "learn2learn, ms",
        "loop": "loop of `clone()`, ms",
        "tasks": "`clone(tasks=N)`, ms",
        "declared": "declared, ms",
    }
    head = ["model; tasks, sequences", "threads", *titles.values()]
    head += ["speed-up over learn2learn", "over the loop", "relative to declared"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in result["rows"]:
        work, seconds = row["work"], row["seconds"]
        cells = [f"{row['label']}; {work['tasks']}, {work['batch']}", str(work["threads"])]
        for name in titles:
            milliseconds = [1000 * value for value in seconds.get(name, [])]
            cells.append(_spread(milliseconds, 0 if min(milliseconds, default=0) >= 10 else 1))
        cells += [_spread(ratios(row, n) if n in seconds else [], 2) for n in TARGETS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: list[float], digits: int) -> str:
    """Format the median and, for several values, the first and third quartile."""
    if not values:
        return "-"
    text = f"{statistics.median(values):.{digits}f}"
    if len(values) == 1:
        return text
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{text} ({low:.{digits}f}–{high:.{digits}f})"


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = timing.make_parser("user_meta_step", __doc__, repeats=7)
    text = "models to measure (default: all)"
    parser.add_argument("--models", nargs="+", choices=[*MODELS], default=[*MODELS], help=text)
    text = "numbers of threads (default: 1 2)"
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2], metavar="T", help=text)
    text = "let glibc's malloc keep freed memory, for all contestants (Linux)"
    parser.add_argument("--keep-memory", action="store_true", help=text)
    options = timing.parse(parser, arguments)
    if options.keep_memory and not KEEP_MEMORY.items() <= os.environ.items():
        command = [sys.executable, "-m", "benchmarks.speed.user_meta_step"]
        command += sys.argv[1:] if arguments is None else arguments
        return subprocess.run(command, env={**os.environ, **KEEP_MEMORY}, check=False).returncode
    if min(options.threads) < 1:
        parser.error(f"--threads must be at least 1, got {min(options.threads)}")
    warnings.simplefilter("ignore")  # learn2learn's clones of torch's layers warn in every call
    result: dict[str, Any] = {
        **timing.environment(),
        "threads": options.threads,
        "compiled": l2l_rnn.functional.compiled(),
        "repeats": options.repeats,
        "keeps_memory": options.keep_memory,
        "rows": [],
    }
    for sizes in QUICK if options.quick else FULL:
        for name in options.models:
            for threads in options.threads:
                row = measure(name, sizes, threads, options.repeats)
                result["rows"].append(row)
                medians = {k: 1000 * statistics.median(v) for k, v in row["seconds"].items()}
                times = ", ".join(f"{k} {v:.1f} ms" for k, v in medians.items())
                print(f"{row['label']}, threads: {threads}: {times}", flush=True)
    print("\n" + table(result))
    for line in [] if options.quick else missed_targets(result):
        print(f"target missed: {line}")
    timing.write(
        "user-models-keep-memory" if options.keep_memory else "user-models", options, result
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
