"""Runs an experiment: every method in turn, trained, then judged on the same unseen tasks."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.few_shot.problems.problem import seed_everything
from benchmarks.few_shot.spec import Entry, Spec

PACKAGES = ("torch", "learn2learn", "numpy", "babel", "scikit-learn")


def run(spec: Spec, form: str, seed: int, device: torch.device, out: Path) -> dict[str, Any]:
    """Run a spec, print its table, write its JSON and its picture, and return the result.

    Ctrl-C ends it: what was measured until then is printed and written, marked as interrupted.

    Args:
        spec: the experiment.
        form: `"quick"`, `"default"` or `"full"`.
        seed: of everything that is drawn.
        device: where the networks live.
        out: directory of the results.
    """
    report.check_writable(out)
    start = time.perf_counter()
    seed_everything(seed)
    result: dict[str, Any] = {
        "spec": _spec_json(spec),
        "form": form,
        "seed": seed,
        "date": datetime.date.today().isoformat(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "interrupted": False,
        "columns": [],
        "methods": [],
    }
    failure: Exception | None = None
    try:
        problem = spec.problem(spec, seed, device, spec.test_tasks[form])
        result |= {"columns": list(problem.columns), "chance": problem.chance}
        result["data"] = problem.data()
        for entry in spec.entries[form]:
            result["methods"].append(_measure(problem, entry))
    except KeyboardInterrupt:
        result["interrupted"] = True
    except Exception as error:  # what was measured is kept, then the error goes on
        result["interrupted"], failure = True, error
    result["seconds"] = time.perf_counter() - start
    print("\n" + report.table(result))
    if result["interrupted"]:
        print("\nInterrupted: the table holds the methods that had finished.")
    if result["methods"]:
        data, picture = report.write(result, out, spec.picture)
        print(f"\n{result['seconds'] / 60:.1f} minutes; wrote {data} and {picture}")
    if failure is not None:
        raise failure
    return result


def _measure(problem: Any, entry: Entry) -> dict[str, Any]:
    """Train one method and judge it on the meta-test tasks of every column."""
    seed_everything(problem.seed)
    method = entry.method(problem, entry.label, **entry.options)
    history = method.fit()
    intervals = {}
    seconds = 0.0
    for column in problem.columns:
        seed_everything(problem.seed)
        began = time.perf_counter()
        scores = method.scores(column)
        seconds += time.perf_counter() - began
        intervals[column] = report.interval(scores)
    told = ", ".join(
        f"{column} {report.score_text(problem.spec.percent, interval)}"
        for column, interval in intervals.items()
    )
    print(f"{entry.label}: {told}", flush=True)
    return {
        "label": entry.label,
        "group": entry.group,
        "options": _plain(entry.options),
        "scores": intervals,
        "seconds_per_task": seconds / (problem.test_tasks * len(problem.columns)),
        "training_seconds": history.seconds + history.pretraining_seconds if history else 0.0,
        "training": history.to_json() if history else None,
        **method.details(),
    }


def _spec_json(spec: Spec) -> dict[str, Any]:
    """The plain values of a spec; its entries stand with the methods."""
    fields = [field.name for field in dataclasses.fields(spec)]
    given = {name: getattr(spec, name) for name in fields if name not in ("entries", "test_tasks")}
    return {
        name: _plain(value)
        for name, value in given.items()
        if isinstance(value, (str, int, float, tuple)) or name.endswith("options")
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found


def device_name(device: torch.device) -> str:
    """What a result says of the device it was measured on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}"


def _plain(value: Any) -> Any:
    """Turn options into what JSON holds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: _plain(v) for k, v in dataclasses.asdict(value).items()}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
