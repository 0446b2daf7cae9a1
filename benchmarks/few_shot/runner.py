"""Runner of experiments: trains each method and evaluates it on the same unseen tasks."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import platform
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks import report
from benchmarks.few_shot.problems.problem import Problem, seed_everything
from benchmarks.few_shot.spec import Entry, Spec

PACKAGES = ("torch", "learn2learn", "numpy", "babel", "scikit-learn")


def run(spec: Spec, form: str, seed: int, device: torch.device, out: Path) -> dict[str, Any]:
    """Run a spec, print its table, save its JSON and figure, and return the result.

    After Ctrl-C, the finished methods are printed and saved, and the result is marked as
    interrupted.

    Args:
        spec: the experiment.
        form: `"quick"`, `"default"` or `"full"`.
        seed: random seed.
        device: device of the networks.
        out: folder of the results.
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
    scores: dict[str, dict[str, Tensor]] = {}
    failure: Exception | None = None
    try:
        problem: Problem = spec.problem(spec, seed, device, spec.test_tasks[form])
        columns = [column.to_json() for column in problem.columns]
        result |= {"columns": columns, "chance": problem.chance, "data": problem.description()}
        for entry in spec.entries[form]:
            method, scores[entry.label] = _measure(problem, entry)
            result["methods"].append(method)
    except KeyboardInterrupt:
        result["interrupted"] = True
    except Exception as error:  # save the finished methods first; raised again below
        result["interrupted"], failure = True, error
    report.add_differences(result["methods"], scores, lower_is_better=spec.lower_is_better)
    result["seconds"] = time.perf_counter() - start
    print(f"\n{report.table(result)}\n\n{report.notes(result)}")
    if result["interrupted"]:
        print("Interrupted: the table contains the finished methods only.")
    if result["methods"]:
        data, picture = report.write_result(result, out, spec.picture)
        print(f"\nFinished in {result['seconds'] / 60:.1f} minutes; saved {data} and {picture}")
    if failure is not None:
        raise failure
    return result


def _measure(problem: Problem, entry: Entry) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Train and evaluate one method; return its entry in the result and its score on each task."""
    seed_everything(problem.seed)
    method = entry.method(problem, entry.label, **entry.options)
    history = method.train()
    scores = {}
    seconds = 0.0
    for column in problem.columns:
        seed_everything(problem.seed)
        start = time.perf_counter()
        scores[column.name] = method.evaluate(column)
        seconds += time.perf_counter() - start
    intervals = {column: report.interval(values) for column, values in scores.items()}
    shown = ", ".join(
        f"{column} {report.score_text(problem.spec.percent, interval)}"
        for column, interval in intervals.items()
    )
    print(f"{entry.label}: {shown}", flush=True)
    result = {
        "label": entry.label,
        "name": entry.name,
        "variant": entry.variant,
        "group": entry.group,
        "options": _plain(entry.options),
        "scores": intervals,
        "seconds_per_task": seconds / (problem.test_tasks * len(problem.columns)),
        "training_seconds": history.seconds + history.pretraining_seconds if history else 0.0,
        "training": history.to_json() if history else None,
        **method.details(),
    }
    return result, scores


def _spec_json(spec: Spec) -> dict[str, Any]:
    """Return the plain values of a spec, without methods and columns."""
    elsewhere = ("entries", "test_tasks", "columns")
    fields = [field.name for field in dataclasses.fields(spec) if field.name not in elsewhere]
    return {
        name: _plain(value)
        for name, value in ((name, getattr(spec, name)) for name in fields)
        if isinstance(value, (str, int, float, tuple)) or name.endswith("options")
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found


def device_name(device: torch.device) -> str:
    """Return the name of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU {platform.machine()}"


def _plain(value: Any) -> Any:
    """Convert options to JSON serializable values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: _plain(v) for k, v in dataclasses.asdict(value).items()}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value
