"""Runs with several seeds, merged into one result."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.few_shot import runner
from benchmarks.few_shot.spec import Spec
from benchmarks.few_shot.time_left import duration_text
from benchmarks.few_shot.unfinished import differences
from l2l_rnn.errors import ArgumentError

SAME = ("spec", "form", "test_tasks", "columns", "curve", "data")  # in all seeds


def run_seeds(
    spec: Spec,
    form: str,
    seeds: Sequence[int],
    device: torch.device,
    out: Path,
    *,
    only: str = "*",
    resume: bool = False,
    restart: bool = False,
) -> dict[str, Any] | None:
    """Run a spec with each seed, and save and return the merged result.

    The result of each seed is kept in `NAME-FORM-seeds/SEED`, with the score on each task. A later
    call with `resume` takes the seeds that are finished, so seeds can also be run one by one, or
    several at once.

    Args:
        spec, form, device, out, only, resume, restart: as in `run`.
        seeds: the random seeds.

    Returns:
        The merged result, or None while a seed has unfinished methods.

    Raises:
        ArgumentError: as in `run`; also if a seed is given twice, or if seeds had other settings.
    """
    if len(set(seeds)) < len(seeds):
        raise ArgumentError(f"--seeds must differ, got {' '.join(map(str, seeds))}; drop repeats")
    results = []
    for seed in seeds:
        folder = out / f"{spec.name}-{form}-seeds" / str(seed)
        finished = folder / f"{spec.name}-{form}.json"
        if restart:
            shutil.rmtree(folder, ignore_errors=True)
        if finished.exists() and not resume:
            raise ArgumentError(
                f"{finished} is finished; add --resume to use it, or --restart to discard it"
            )
        if finished.exists():
            results.append(report.read_result(finished))
            continue
        print(f"Seed {seed}", flush=True)
        how = {"only": only, "resume": resume, "restart": restart, "keep_task_scores": True}
        results.append(runner.run(spec, form, seed, device, folder, **how))
    if any(result["unfinished"] for result in results):
        print("The seeds are merged when all methods are finished.", flush=True)
        return None
    check_settings(results, {e.label: runner.settings_of(e) for e in spec.entries[form]})
    result = merged(results, lower_is_better=spec.lower_is_better)
    print(
        f"\nSeeds {', '.join(map(str, seeds))}\n\n{report.table(result)}\n\n{report.notes(result)}"
    )
    if result["curve"]:
        print(f"\n{report.curve_table(result)}")
    with report.only_writer(out / f"{spec.name}-{form}.json"):
        data, picture = report.write_result(result, out, spec.picture)
    print(f"\nFinished in {duration_text(result['seconds'])}; saved {data} and {picture}")
    return result


def check_settings(results: list[dict[str, Any]], rows: dict[str, Any]) -> None:
    """Check that the results of all seeds have the same settings.

    Args:
        results: the results of the seeds.
        rows: the present settings of each method, by label.

    Raises:
        ArgumentError: some differ; the message lists all of them.
    """
    first, lines = results[0], []
    for result in results:
        own = {name: result[name] for name in SAME}
        found = differences(f"seed {result['seed']}", own, {name: first[name] for name in SAME})
        for row in result["methods"]:
            name, now = f"seed {result['seed']}, method {row['label']!r}", rows.get(row["label"])
            if now is None:
                found.append(f"{name}: was run, is no longer in the experiment")
            else:
                found += differences(name, {key: row.get(key) for key in now}, now)
        lines += found
    if lines:
        raise ArgumentError(
            "the seeds have other settings; run them again with --restart. Differences:\n  "
            + "\n  ".join(lines)
        )


def merged(results: list[dict[str, Any]], *, lower_is_better: bool) -> dict[str, Any]:
    """Merge the results of several seeds, whose rows still have the score on each task.

    A score is the mean over the tasks of all seeds; `seeds` in it are the means of each seed.
    Methods that were skipped with a seed are left out.

    Args:
        results: the results, with the same settings except for the seed.
        lower_is_better: whether scores are errors.
    """
    first = results[0]
    found = [{row["label"]: row for row in result["methods"]} for result in results]
    rows = [
        _merged_row([by_label[label] for by_label in found])
        for label in found[0]
        if all(label in by_label for by_label in found)
    ]
    report.add_differences(rows, lower_is_better=lower_is_better)
    for row in rows:
        del row["task_scores"]
    skipped = {label: why for result in results for label, why in result["skipped"].items()}
    return {
        **first,
        "seeds": [result["seed"] for result in results],
        "methods": rows,
        "skipped": skipped,
        "seconds": sum(result["seconds"] for result in results),
    }


def _merged_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    row = copy.deepcopy(rows[0])
    if row["group"] == "published":
        return row
    for column in row["scores"]:
        parts = [other["task_scores"][column] for other in rows]
        joined = torch.tensor([score for part in parts for score in part], dtype=torch.float64)
        means = [sum(part) / len(part) for part in parts]
        row["scores"][column] = {**report.interval(joined), "seeds": means}
        row["task_scores"][column] = parts
    for name in ("training_seconds", "seconds_per_task"):
        row[name] = sum(other[name] for other in rows) / len(rows)
    if row["training"] is not None:  # the curve is that of the first seed
        for other in rows[1:]:
            training = other["training"]
            row["training"]["others"] += [{**training, "others": []}, *training["others"]]
    return row
