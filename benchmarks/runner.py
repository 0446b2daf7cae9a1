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
from benchmarks.problem import Problem, seed_everything
from benchmarks.spec import Entry, Spec

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
        "methods": [],
    }
    failure: Exception | None = None
    try:
        problem = Problem(spec, seed, device, spec.test_tasks[form])
        result["data"] = _data_json(problem)
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
        data, picture = report.write(result, out)
        print(f"\n{result['seconds'] / 60:.1f} minutes; wrote {data} and {picture}")
    if failure is not None:
        raise failure
    return result


def _measure(problem: Problem, entry: Entry) -> dict[str, Any]:
    """Train one method and judge it on the meta-test tasks of every number of shots."""
    seed_everything(problem.seed)
    method = entry.method(problem, entry.label, **entry.options)
    history = method.fit()
    accuracy = {}
    seconds = 0.0
    for shots in problem.spec.shots:
        episodes = problem.episodes("test", shots, problem.test_tasks)
        seed_everything(problem.seed)
        began = time.perf_counter()
        accuracies = method.accuracies(episodes)
        seconds += time.perf_counter() - began
        accuracy[str(shots)] = report.interval(accuracies)
    scores = ", ".join(
        f"{k} shot{'s' * (k != '1')} {100 * score['mean']:.1f} ± {100 * score['ci95']:.1f}"
        for k, score in accuracy.items()
    )
    print(f"{entry.label}: {scores}", flush=True)
    return {
        "label": entry.label,
        "group": entry.group,
        "options": _plain(entry.options),
        "accuracy": accuracy,
        "seconds_per_task": seconds / (problem.test_tasks * len(problem.spec.shots)),
        "training_seconds": history.seconds + history.pretraining_seconds if history else 0.0,
        "training": history.to_json() if history else None,
    }


def _spec_json(spec: Spec) -> dict[str, Any]:
    fields = ("name", "summary", "taskset", "taskset_options", "ways", "shots", "queries")
    return {name: _plain(getattr(spec, name)) for name in fields}


def _data_json(problem: Problem) -> dict[str, Any]:
    return {
        split: {"classes": len(data.classes), "items": len(data)}
        for split, data in (
            ("train", problem.train),
            ("validation", problem.validation),
            ("test", problem.test),
        )
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
