"""Time of a recurrent network's meta-step, compared with learn2learn's loop, vmap and JAX.

`python -m benchmarks.speed.meta_step` times a meta-step computed in four ways, interleaved:

- learn2learn: its `MAML` and its loop over tasks, with torch's recurrent layers;
- vmap: the step of one task under `torch.func.vmap`, as in parallel-metalearn. Torch has no
  batching rule for its recurrent layers, so the recurrence is written step by step;
- jax: the same in JAX (`jit`, `vmap`, `scan`), compiled before, on a CPU, if jax is installed. It
  runs in a process of its own, with as many threads;
- l2l_rnn: `MAML.clone(tasks=N)` with the layers of this package.

It prints a table of medians, saves them as JSON, and plots the time against each size. Peak memory
is measured in separate processes. On a CPU, the benchmark of the memories
(`benchmarks.speed.memory`) runs afterwards.
"""

from __future__ import annotations

import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import l2l_rnn.functional
from benchmarks.speed import memory, timing
from benchmarks.speed.contestants import LR, Work, contestants, make_batch, make_models
from benchmarks.speed.jax_process import JaxProcess, jax_version
from benchmarks.speed.peak_memory import peak_memory
from l2l_rnn.files import replacing, write_json

ROWS = [
    Work(),
    Work(tasks=32, batch=5, hidden=32),
    Work(steps=128, hidden=128),
    Work(cell="GRU"),
    Work(cell="RNN"),
]
# For this package only: the peers would take minutes, or torch does not have the layer.
LONG = [Work(cell=cell, tasks=4, batch=5, steps=1024) for cell in ("LSTM", "MinGRU", "LRU")]
QUICK = [Work(tasks=4, batch=2, steps=4, features=2, hidden=4)]
COLORS = {"learn2learn": "#888888", "vmap": "#e09f3e", "jax": "#9b5de5", "l2l_rnn": "#1f6f8b"}
SWEEPS = {
    "tasks": [1, 4, 16, 64],
    "steps": [8, 32, 128],
    "hidden": [16, 64, 128],
    "inner_steps": [1, 3, 5],
}


def measure(
    work: Work, device: torch.device, repeats: int, jax: JaxProcess | None = None
) -> dict[str, Any]:
    """Measure the median seconds of each contestant's meta-step."""
    steps: dict[str, Callable[[], Any]] = dict(contestants(work, device))
    if jax is not None and work.has_peers:
        load(jax, work)
        steps = {"learn2learn": steps.pop("learn2learn"), "vmap": steps.pop("vmap")} | {
            "jax": jax.step,
            **steps,
        }
    seconds = timing.median_seconds(steps, repeats, device=device)
    return {"work": dataclasses.asdict(work), "label": work.label, "seconds": seconds}


def load(jax: JaxProcess, work: Work) -> None:
    """Compile the meta-step in JAX, with the parameters and the batch of the other contestants."""
    cpu = torch.device("cpu")
    model, batch = make_models(work, cpu)["l2l_rnn"], make_batch(work, cpu)
    jax.load(
        {name: p.detach().numpy() for name, p in model.named_parameters()},
        [part.numpy() for part in batch],
        cell=work.cell,
        inner_steps=work.inner_steps,
        lr=LR,
        first_order=work.first_order,
    )


def table_rows(quick: bool) -> Iterator[Work]:
    """Yield the work for each row of the table."""
    for work in QUICK if quick else ROWS:
        yield work
        yield dataclasses.replace(work, first_order=True)
    if not quick:
        yield from LONG


def sweep(
    device: torch.device, repeats: int, jax: JaxProcess | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Measure the time for several values of each size, with other sizes as in the first row."""
    points: dict[str, list[dict[str, Any]]] = {field: [] for field in SWEEPS}
    for field, values in SWEEPS.items():
        for value in values:
            work = dataclasses.replace(ROWS[0], **{field: value})
            points[field].append({"value": value, **measure(work, device, repeats, jax)})
            seconds = points[field][-1]["seconds"]
            print(f"  {field} = {value}: {_milliseconds(seconds)}", flush=True)
    return points


def _milliseconds(seconds: dict[str, float]) -> str:
    return ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in seconds.items())


def table(result: dict[str, Any]) -> str:
    """Format the rows as a Markdown table of milliseconds and of speed-ups over the peers."""
    names = list(result["rows"][0]["seconds"])
    missing = "jax" in result and result["jax"] is None
    if missing:
        names.insert(-1, "jax")
    peers = [name for name in names if name != "l2l_rnn"]
    head = ["cell; tasks, sequences, steps, features, hidden units", "order"]
    head += [f"{name}, ms" for name in names] + [f"speed-up over {name}" for name in peers]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for row in result["rows"]:
        seconds = row["seconds"]
        cells = [row["label"], "first" if row["work"]["first_order"] else "second"]
        cells += [
            f"{1000 * seconds[name]:.0f}"
            if name in seconds
            else "not installed"
            if missing and name == "jax" and len(seconds) > 1
            else "-"
            for name in names
        ]
        cells += [
            f"{seconds[name] / seconds['l2l_rnn']:.1f}" if name in seconds else "-"
            for name in peers
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def draw(result: dict[str, Any], file: Any) -> None:
    """Plot the sweeps to an open binary file, with a panel for each size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(result["sweeps"]), 3.4), layout="constrained")
    panels = figure.subplots(1, len(result["sweeps"]), squeeze=False, sharey=True)[0]
    for axes, (field, points) in zip(panels, result["sweeps"].items(), strict=True):
        values = [point["value"] for point in points]
        for name in points[0]["seconds"]:
            ours = name == "l2l_rnn"
            axes.plot(
                values,
                [1000 * point["seconds"][name] for point in points],
                marker="o",
                label=name,
                color=COLORS[name],
                linewidth=2.5 if ours else 1.5,
            )
        axes.set(xlabel=field.replace("_", " "), xscale="log", yscale="log")
        axes.set_xticks(values, [str(value) for value in values])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("ms per meta-step (lower is better)")
    panels[0].legend()
    figure.suptitle(
        "Second-order meta-step of an LSTM: 16 tasks, 25 sequences, 32 steps, 64 hidden units, "
        "one inner step; each panel varies one of these",
        size=10,
    )
    figure.savefig(file, dpi=120, format="png")


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = timing.make_parser("meta_step", __doc__, repeats=7)
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu or cuda (default: cpu)")
    options = timing.parse(parser, arguments)
    warnings.simplefilter("ignore")  # learn2learn's clones of torch's layers warn in every call
    device = torch.device(options.device)
    result: dict[str, Any] = {
        **timing.environment(device),
        "compiled": l2l_rnn.functional.compiled(),
        "repeats": options.repeats,
        "rows": [],
    }
    if device.type == "cpu":
        result["jax"] = jax_version()
    stem = f"speed-{'quick' if options.quick else 'full'}"
    interrupted = False
    process = JaxProcess(torch.get_num_threads()) if result.get("jax") else None
    try:
        for work in table_rows(options.quick):
            result["rows"].append(measure(work, device, options.repeats, process))
            print(f"{work.label}: {_milliseconds(result['rows'][-1]['seconds'])}", flush=True)
        if not options.quick:
            result["sweeps"] = sweep(device, max(3, options.repeats // 2), process)
        result["peak_memory"] = {
            name: peak_memory((QUICK if options.quick else ROWS)[0], name, options.device)
            for name in result["rows"][0]["seconds"]
            if name != "jax"
        }
    except OSError as error:  # a system without /proc
        print(f"Peak memory is not available on this system: {error}")
    except KeyboardInterrupt:
        print("\nInterrupted: the table contains the finished measurements only.")
        stem, interrupted = f"{stem}-partial", True
    finally:
        if process is not None:
            process.close()
    if not result["rows"]:
        return 130
    print("\n" + table(result))
    for name, size in result.get("peak_memory", {}).items():
        print(f"peak memory of {name}: {size / 2**20:.0f} MiB ({result['rows'][0]['label']})")
    write_json(options.out / f"{stem}.json", result, indent=2)
    if "sweeps" in result:
        redraw(result, options.out / f"{stem}.png")
    if interrupted:
        return 130
    if device.type != "cpu":
        return 0
    print()
    more = ["--quick"] if options.quick else ["--repeats", str(options.repeats)]
    return memory.main([*more, "--out", str(options.out)])


def redraw(result: dict[str, Any], path: Path) -> None:
    """Write the figure of a result."""
    with replacing(path, "wb") as file:
        draw(result, file)


if __name__ == "__main__":
    sys.exit(main())
