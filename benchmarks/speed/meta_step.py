"""How long a meta-step of a recurrent network takes, beside learn2learn's loop and vmap over tasks.

`python -m benchmarks.speed.meta_step` times the same meta-step in three ways, in one process and in
turns:

- learn2learn: its `MAML` and its loop over tasks, with `torch.nn`'s recurrent layers;
- vmap: the step of one task under `torch.func.vmap`, as parallel-metalearn does it, with a
  recurrence written step by step (`stepwise.py`), since torch has no batching rule for its own;
- l2l_rnn: `MAML.clone(tasks=N)` with this package's layers.

It prints a table of medians and of ratios to learn2learn's loop, and writes them as JSON, with a
picture of how the cost grows with each size. Peak memory is measured apart, a process for each.
Then, on a processor, it goes on with `memory_speed`: how fast memories train.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import multiprocessing
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import l2l_rnn  # first, so that gym's notice stays unprinted

# isort: split
import learn2learn
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

import l2l_rnn.functional
import l2l_rnn.nn
from benchmarks import report
from benchmarks.few_shot.runner import device_name, versions
from benchmarks.speed import memory
from benchmarks.speed.stepwise import Stepwise
from l2l_rnn.algorithms import MAML

WAYS, LR = 5, 0.1


@dataclasses.dataclass(frozen=True)
class Work:
    """One meta-step: support and query of `batch` sequences each, a classifier of the last step.

    Attributes:
        cell: the layer's name in `torch.nn`.
        tasks, batch, steps, features, hidden: `N`, `B`, `S`, `F`, `H`.
        inner_steps: steps of the inner loop.
        first_order: whether the second derivative is left out.
    """

    cell: str = "LSTM"
    tasks: int = 16
    batch: int = 25
    steps: int = 32
    features: int = 16
    hidden: int = 64
    inner_steps: int = 1
    first_order: bool = False

    @property
    def label(self) -> str:
        sizes = f"{self.tasks}, {self.batch}, {self.steps}, {self.features}, {self.hidden}"
        more = f", {self.inner_steps} inner steps" if self.inner_steps > 1 else ""
        return f"{self.cell} {sizes}{more}"


ROWS = [
    Work(),
    Work(tasks=32, batch=5, hidden=32),
    Work(steps=128, hidden=128),
    Work(cell="GRU"),
    Work(cell="RNN"),
]
# Where the peers would take minutes, and where torch has no such layer: ours alone.
LONG = [Work(cell=cell, tasks=4, batch=5, steps=1024) for cell in ("LSTM", "MinGRU", "LRU")]
QUICK = [Work(tasks=4, batch=2, steps=4, features=2, hidden=4)]
SWEEPS = {
    "tasks": [1, 4, 16, 64],
    "steps": [8, 32, 128],
    "hidden": [16, 64, 128],
    "inner_steps": [1, 3, 5],
}


class Classifier(nn.Module):
    """A recurrent layer, `(…, B, S, F)` to `(…, B, S, H)`, and a linear head on its last step."""

    task_axis = True

    def __init__(self, recurrence: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.recurrence, self.head = recurrence, head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.recurrence(x)[0][..., -1, :])


def models(work: Work, device: torch.device) -> dict[str, Classifier]:
    """The model of each contestant, with the same parameters; only ours where torch has no cell."""
    torch.manual_seed(0)
    sizes = (work.features, work.hidden)

    def of(layers: Any) -> Classifier:
        recurrence = getattr(layers, work.cell)(*sizes, batch_first=True)
        return Classifier(recurrence, layers.Linear(work.hidden, WAYS)).to(device)

    found = {"l2l_rnn": of(l2l_rnn.nn)}
    if hasattr(nn, work.cell):
        found["learn2learn"] = of(nn)
        found["vmap"] = Classifier(Stepwise(work.cell, *sizes), nn.Linear(work.hidden, WAYS))
    for model in found.values():
        model.to(device).load_state_dict(found["l2l_rnn"].state_dict())
    return found


def sets(work: Work, device: torch.device) -> list[Tensor]:
    """Support and query sets: x, y, query_x, query_y."""
    lead = (work.tasks, work.batch)
    x, query_x = torch.randn(2, *lead, work.steps, work.features, device=device)
    y, query_y = torch.randint(0, WAYS, (2, *lead), device=device)
    return [x, y, query_x, query_y]


def contestants(work: Work, device: torch.device) -> dict[str, Callable[[], None]]:
    """The meta-step of each, which leaves the gradients of the initialisation in `.grad`."""
    model, batch = models(work, device), sets(work, device)

    def learn2learn_loop() -> None:
        maml = learn2learn.algorithms.MAML(model["learn2learn"], LR, first_order=work.first_order)
        # cuDNN's layers have no second derivative: for that learn2learn must do without cuDNN.
        with torch.backends.cudnn.flags(enabled=work.first_order):
            for x, y, query_x, query_y in zip(*batch, strict=True):
                learner = maml.clone()
                for _ in range(work.inner_steps):
                    learner.adapt(cross_entropy(learner(x), y))
                (cross_entropy(learner(query_x), query_y) / work.tasks).backward()

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(functional_call(model["vmap"], parameters, (x,)), y)

    def one_task(parameters: dict[str, Tensor], x: Tensor, y: Tensor, *query: Tensor) -> Tensor:
        for _ in range(work.inner_steps):
            given = parameters
            if work.first_order:
                given = {name: p.detach() for name, p in parameters.items()}
            gradients = grad(loss)(given, x, y)
            parameters = {name: p - LR * gradients[name] for name, p in parameters.items()}
        return loss(parameters, *query)

    def vmapped() -> None:
        mapped = vmap(one_task, in_dims=(None, 0, 0, 0, 0))
        mapped(dict(model["vmap"].named_parameters()), *batch).mean().backward()

    def at_once() -> None:
        x, y, query_x, query_y = batch
        learner = MAML(model["l2l_rnn"], LR, first_order=work.first_order).clone(tasks=work.tasks)
        for _ in range(work.inner_steps):
            learner.adapt(l2l_rnn.functional.cross_entropy(learner(x), y))
        l2l_rnn.functional.cross_entropy(learner(query_x), query_y).mean().backward()

    if work in LONG:
        return {"l2l_rnn": at_once}
    return {"learn2learn": learn2learn_loop, "vmap": vmapped, "l2l_rnn": at_once}


def measure(work: Work, device: torch.device, repeats: int) -> dict[str, Any]:
    """Median seconds of each contestant's meta-step, taken in turns after a warm-up."""
    steps = contestants(work, device)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            _synchronize(device)
            start = time.perf_counter()
            step()
            _synchronize(device)
            if turn:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {"work": dataclasses.asdict(work), "label": work.label, "seconds": medians}


def peak_memory(work: Work, name: str, device: str) -> int:
    """Bytes that one meta-step adds to the process at its highest, in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_here, work, name, device, torch.get_num_threads()).result()


def _peak_here(work: Work, name: str, device: str, threads: int) -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    step = contestants(work, torch.device(device))[name]
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    tiny = dataclasses.replace(work, tasks=1, batch=1, steps=2)
    contestants(tiny, torch.device(device))[name]()  # what a first call loads is not the step's
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status("VmRSS")
    step()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def works(quick: bool) -> Iterator[Work]:
    """Every row of the table, second order and first."""
    for work in QUICK if quick else ROWS:
        yield work
        yield dataclasses.replace(work, first_order=True)
    if not quick:
        yield from LONG


def sweep(device: torch.device, repeats: int) -> dict[str, list[dict[str, Any]]]:
    """How the cost grows with each size, the others as in the first row."""
    grown: dict[str, list[dict[str, Any]]] = {}
    for field, values in SWEEPS.items():
        grown[field] = []
        for value in values:
            work = dataclasses.replace(ROWS[0], **{field: value})
            grown[field].append({"value": value, **measure(work, device, repeats)})
            print(f"  {field} = {value}: {_milliseconds(grown[field][-1]['seconds'])}", flush=True)
    return grown


def _milliseconds(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())


def table(result: dict[str, Any]) -> str:
    """The rows as a Markdown table: milliseconds, and how many times faster than the others."""
    names = list(result["rows"][0]["seconds"])
    head = ["cell; tasks, sequences, steps, features, hidden", "order"]
    head += [f"{name}, ms" for name in names] + ["times learn2learn's speed", "times vmap's"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in result["rows"]:
        seconds = row["seconds"]
        own = seconds["l2l_rnn"]
        cells = [row["label"], "first" if row["work"]["first_order"] else "second"]
        cells += [f"{1000 * seconds[name]:.0f}" if name in seconds else "-" for name in names]
        others = [name for name in names if name != "l2l_rnn"]
        cells += [f"{seconds[name] / own:.1f}" if name in seconds else "-" for name in others]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """Draw the sweeps, one panel for each size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(result["sweeps"]), 3), layout="constrained")
    axes = figure.subplots(1, len(result["sweeps"]), squeeze=False)[0]
    for axis, (field, points) in zip(axes, result["sweeps"].items(), strict=True):
        for name in points[0]["seconds"]:
            values = [1000 * point["seconds"][name] for point in points]
            axis.plot([point["value"] for point in points], values, marker="o", label=name)
        axis.set(xlabel=field.replace("_", " "), xscale="log", yscale="log")
        given = [point["value"] for point in points]
        axis.set_xticks(given, [str(value) for value in given])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("milliseconds a meta-step")
    axes[0].legend()
    figure.savefig(path, dpi=120, format="png")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, measure, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.meta_step", description=__doc__
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run, no numbers to quote")
    parser.add_argument("--repeats", type=int, default=7, metavar="R", help="timed turns (7)")
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu or cuda")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    options = parser.parse_args(arguments)
    try:
        report.check_writable(options.out)
    except OSError as error:
        parser.error(f"--out {options.out}: cannot write there ({error.strerror})")
    warnings.simplefilter("ignore")  # learn2learn's clones of torch's layers warn at every call
    device = torch.device(options.device)
    repeats = 1 if options.quick else options.repeats
    result: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "compiled": l2l_rnn.functional.compiled(),
        "versions": versions(),
        "repeats": repeats,
        "rows": [],
    }
    interrupted = False
    stem = options.out / ("speed-quick" if options.quick else "speed-full")
    try:
        for work in works(options.quick):
            result["rows"].append(measure(work, device, repeats))
            print(f"{work.label}: {_milliseconds(result['rows'][-1]['seconds'])}", flush=True)
        if not options.quick:
            result["sweeps"] = sweep(device, max(3, repeats // 2))
        result["peak_memory"] = {
            name: peak_memory((QUICK if options.quick else ROWS)[0], name, options.device)
            for name in result["rows"][0]["seconds"]
        }
    except OSError as error:  # a system without /proc tells no peak
        print(f"peak memory is not known here: {error}")
    except KeyboardInterrupt:
        print("\nInterrupted: the table holds what was measured.")
        stem, interrupted = stem.with_name(f"{stem.name}-partial"), True
    if not result["rows"]:
        return 130
    print("\n" + table(result))
    for contestant, size in result.get("peak_memory", {}).items():
        print(f"peak memory of {contestant}: {size / 2**20:.0f} MiB ({result['rows'][0]['label']})")
    text = json.dumps(result, indent=2) + "\n"
    report.replace(stem.with_suffix(".json"), lambda path: path.write_text(text, "utf-8"))
    if "sweeps" in result:
        report.replace(stem.with_suffix(".png"), lambda path: draw(result, path))
    if interrupted or device.type != "cpu":
        return 130 if interrupted else 0
    print()
    more = ["--quick"] if options.quick else ["--repeats", str(options.repeats)]
    return memory.main([*more, "--out", str(options.out)])


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
