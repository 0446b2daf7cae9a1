"""All tasks of bits, all networks with memory and an LSTM, several seeds: one result, one table.

`python -m benchmarks.algorithmic.table --jobs 2` trains every network on every task, as
`benchmarks.algorithmic.run` does, two at once. A run whose JSON is there already, whole and of the
same settings, is not done again; so it can be stopped and gone on with, and `--collect` makes the
table of what is there. The result is `memory-tasks-full.json`.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.algorithmic import run as one_run
from benchmarks.algorithmic.learners import LEARNERS
from benchmarks.algorithmic.settings import Settings, add_options, as_arguments
from benchmarks.algorithmic.tasks import ALIASES, TASKS
from benchmarks.few_shot.runner import versions

QUICK = {
    "sequences": 4,
    "batch": 2,
    "judged": 1,
    "hidden": 4,
    "slots": 8,
    "width": 4,
    "read_heads": 1,
    "write_heads": 1,
}
Run = tuple[str, Settings]


def runs_of(
    tasks: list[str], memories: list[str], seeds: list[int], given: dict[str, Any]
) -> list[Run]:
    """List the runs, all of a seed before the next, so that a part of them is a table too."""
    settings = {
        (task, memory): one_run.settings_of(task, memory=memory, **given)
        for task, memory in itertools.product(tasks, memories)
    }
    return [
        (task, dataclasses.replace(settings[task, memory], seed=seed))
        for seed, task, memory in itertools.product(seeds, tasks, memories)
    ]


def is_done(run: Run, out: Path) -> bool:
    """Tell whether a run is there, of the same settings, and need not be done again."""
    found = read(run, out)
    return found is not None and found["ended"] != "interrupted" and is_as_asked(run, found)


def is_as_asked(run: Run, found: dict[str, Any]) -> bool:
    """Tell whether what was found is of the settings of a run, and of the lengths of its task."""
    asked = one_run.plain(dataclasses.asdict(run[1]))
    return found["settings"] == asked and set(found["points"][-1]["cost"]) == set(
        TASKS[run[0]].points
    )


def read(run: Run, out: Path) -> dict[str, Any] | None:
    """Read what a run has written, or None if there is nothing."""
    path = out / f"{one_run.stem_of(*run)}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def run_all(runs: list[Run], jobs: int, every: int, out: Path) -> bool:
    """Do what is not done yet, several at once if asked; returns False if Ctrl-C ended it."""
    todo = [run for run in runs if not is_done(run, out)]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} of them done before", flush=True)
    if jobs == 1:
        try:
            for task, settings in todo:
                print(f"\n{one_run.stem_of(task, settings)}", flush=True)
                if one_run.run(task, settings, every, out)["ended"] == "interrupted":
                    return False
        except KeyboardInterrupt:  # between two trainings
            return False
        return True
    return _run_beside(iter(todo), jobs, every, out)


def _run_beside(todo: Iterator[Run], jobs: int, every: int, out: Path) -> bool:
    going: dict[subprocess.Popen[bytes], str] = {}
    try:
        while True:
            for task, settings in itertools.islice(todo, jobs - len(going)):
                process = _start(task, settings, jobs, every, out)
                going[process] = one_run.stem_of(task, settings)
            if not going:
                return True
            time.sleep(0.2)
            for process in [one for one in going if one.poll() is not None]:
                print(f"{going.pop(process)}: exit status {process.returncode}", flush=True)
    except KeyboardInterrupt:
        for process in going:
            process.send_signal(signal.SIGINT)
        print("\nInterrupted: each run is judged as it is now.", flush=True)
        for process in going:
            process.wait()
        return False


def _start(task: str, settings: Settings, jobs: int, every: int, out: Path) -> Any:
    """Start a run in a process of its own, which Ctrl-C does not reach; its lines go to a log."""
    command = [sys.executable, "-m", "benchmarks.algorithmic.run", task, *as_arguments(settings)]
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    with (out / f"{one_run.stem_of(task, settings)}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, f"--every={every}", f"--out={out.resolve()}"],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": threads},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def collect(runs: list[Run], out: Path, form: str, interrupted: bool) -> dict[str, Any]:
    """Put what the runs have written into one result, their courses shortened to the loss."""
    result: dict[str, Any] = {
        "form": form,
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "interrupted": interrupted,
        "tasks": {},
        "networks": {},
        "missing": [],
        "of_other_settings": [],
        "runs": [],
    }
    for run in runs:
        task, settings = run
        points = TASKS[task].points
        result["tasks"][task] = {
            "inside": [name for name, point in points.items() if point.inside],
            "beyond": [name for name, point in points.items() if not point.inside],
            "converged_below": TASKS[task].converged,
        }
        result["networks"][settings.memory] = LEARNERS[settings.memory].network
        found = read(run, out)
        if found is None:
            result["missing"].append(one_run.stem_of(*run))
            continue
        if not is_as_asked(run, found):
            result["of_other_settings"].append(one_run.stem_of(*run))
        points_seen = found.pop("points")
        found["course"] = [[point["sequences"], point["loss"]] for point in points_seen]
        for measure in ("cost", "wrong_bits"):
            if measure not in found and measure in points_seen[-1]:
                found[measure] = points_seen[-1][measure]  # of a run that was killed
        for known in ("network", "converged_below"):
            found.pop(known, None)
        if found.get("versions") == result["versions"]:
            del found["versions"]
        result["runs"].append(found)
    return result


def table(result: dict[str, Any], each: bool = False) -> str:
    """Format a result as a Markdown table, a line for each task and network.

    Numbers are medians of the runs of several seeds, the climb is the greatest of them. Under a
    task whose bits are left to chance stands what the best predictor pays.

    Args:
        result: what `collect` made.
        each: whether each run has a line of its own.
    """
    header = ["task", "memory", *["seed"] * each, "parameters"]
    for measure in ("bits a sequence costs", "wrong bits"):
        header += [f"{measure}, trained lengths", "longer"]
    header += ["sequences to converge", "greatest climb", "ended"]
    lines = [header, ["---"] * len(header)]
    for name, task in result["tasks"].items():
        of_task = [run for run in result["runs"] if run["task"] == name]
        groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for run in of_task:
            seed = [str(run["settings"]["seed"])] * each
            groups.setdefault((run["settings"]["memory"], *seed), []).append(run)
        for key, runs in groups.items():
            cells = [name, *key, f"{runs[0]['parameters']:,}"]
            for measure in ("cost", "wrong_bits"):
                cells += [_measured(runs, measure, task[side]) for side in ("inside", "beyond")]
            lines.append([*cells, _converged(runs), _climb(runs), _ended(runs)])
        bound = [run for run in of_task if any((run.get("optimum") or {}).values())]
        if bound:
            cells = [_measured(bound, "optimum", task[side]) for side in ("inside", "beyond")]
            lines.append([name, "the best predictor", *["-"] * each, "-", *cells, *["-"] * 5])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _measured(runs: list[dict[str, Any]], measure: str, names: list[str]) -> str:
    """The median of a measure at each length; what is not finite counts as infinite."""
    found = []
    for name in names:
        values = [run[measure][name] for run in runs if name in run.get(measure, ())]
        if not values:
            continue
        median = statistics.median(math.inf if value is None else value for value in values)
        found.append(f"{name}: {median:.{1 if median >= 9.95 else 2}f}")
    return ", ".join(found) or "-"


def _converged(runs: list[dict[str, Any]]) -> str:
    found = [run["converged_at"] for run in runs if run["converged_at"] is not None]
    if not found:
        return "never"
    share = "" if len(found) == len(runs) else f" ({len(found)} of {len(runs)})"
    return f"{statistics.median(found):,.0f}{share}"


def _climb(runs: list[dict[str, Any]]) -> str:
    found = [run["greatest_climb"] for run in runs if run["greatest_climb"] is not None]
    return f"{max(found):.1f}" if found else "-"


def _ended(runs: list[dict[str, Any]]) -> str:
    """How the runs ended, those that did not come to their end with where that was."""
    told = [
        run["ended"] if run["ended"] == "done" else f"{run['ended']} at {run['sequences']:,}"
        for run in runs
    ]
    if len(runs) == 1:
        return told[0]
    early = [one for one in told if one != "done"]
    return "; ".join([f"{len(runs) - len(early)} of {len(runs)} done", *early])


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run what is to be run, print and write; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.algorithmic.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a smoke run, no numbers to quote")
    parser.add_argument("--tasks", nargs="+", choices=[*TASKS, *ALIASES], default=list(TASKS))
    parser.add_argument("--memories", nargs="+", choices=LEARNERS, default=list(LEARNERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=None, metavar="S", help="(0 1 2)")
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="runs at once (1)")
    parser.add_argument("--collect", action="store_true", help="run nothing")
    add_options(parser, "memory", "seed")
    one_run.add_common(parser)
    given = vars(parser.parse_args(arguments))
    quick, jobs, only_collect = (given.pop(name) for name in ("quick", "jobs", "collect"))
    tasks = [ALIASES.get(name, name) for name in given.pop("tasks")]
    memories, seeds = given.pop("memories"), given.pop("seeds")
    out, every = given.pop("out"), given.pop("every")
    one_run.check_common(parser, out, every)
    if jobs < 1:
        parser.error(f"--jobs must be 1 or more, got {jobs}")
    seeds = seeds if seeds is not None else [0] if quick else [0, 1, 2]
    try:
        runs = runs_of(tasks, memories, seeds, (QUICK if quick else {}) | given)
    except ValueError as error:
        parser.error(str(error))
    form = "quick" if quick else "full"
    of_runs = out / "memory-tasks-quick" if quick else out
    of_runs.mkdir(exist_ok=True)
    finished = only_collect or run_all(runs, jobs, every, of_runs)
    result = collect(runs, of_runs, form, not finished)
    path = out / f"memory-tasks-{form}{'' if finished else '-partial'}.json"
    one_run.write_json(path, result)
    print(f"\n{table(result, each=True)}\n\n{table(result)}")
    for list_of, told in (("missing", "Missing"), ("of_other_settings", "Of other settings")):
        if result[list_of]:
            print(f"\n{told}: {', '.join(result[list_of])}.")
    print(f"\nWrote {path}")
    return 0 if finished else 130


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a run as Ctrl-C does
    sys.exit(main())
