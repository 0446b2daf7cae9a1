"""Lists of training runs: checking which are finished, and running several at once."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.algorithmic.run import file_stem, make_settings, plain, run_task
from benchmarks.algorithmic.settings import Settings, as_arguments
from benchmarks.algorithmic.tasks import TASKS

Run = tuple[str, Settings]


def runs_of(
    tasks: list[str], memories: list[str], seeds: list[int], given: dict[str, Any]
) -> list[Run]:
    """Return the runs, ordered by seed, so that an interrupted table is balanced."""
    settings = {
        (task, memory): make_settings(task, memory=memory, **given)
        for task, memory in itertools.product(tasks, memories)
    }
    return [
        (task, dataclasses.replace(settings[task, memory], seed=seed))
        for seed, task, memory in itertools.product(seeds, tasks, memories)
    ]


def is_done(run: Run, out: Path) -> bool:
    """Return whether a run with these settings has finished."""
    found = read(run, out)
    return found is not None and found["ended"] != "interrupted" and matches(run, found)


def matches(run: Run, found: dict[str, Any]) -> bool:
    """Return whether a result has the settings of a run and the lengths of its task."""
    asked = plain(dataclasses.asdict(run[1]))
    return found["settings"] == asked and set(found["points"][-1]["cost"]) == set(
        TASKS[run[0]].evaluations
    )


def read(run: Run, out: Path) -> dict[str, Any] | None:
    """Return the saved result of a run, or None."""
    path = out / f"{file_stem(*run)}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def run_all(runs: list[Run], jobs: int, every: int, out: Path) -> bool:
    """Do the runs that are not finished, `jobs` at a time; return False after Ctrl-C."""
    todo = [run for run in runs if not is_done(run, out)]
    print(f"{len(runs)} runs, {len(runs) - len(todo)} already finished", flush=True)
    if jobs == 1:
        try:
            for task, settings in todo:
                print(f"\n{file_stem(task, settings)}", flush=True)
                if run_task(task, settings, every, out)["ended"] == "interrupted":
                    return False
        except KeyboardInterrupt:  # between two runs
            return False
        return True
    return _run_parallel(iter(todo), jobs, every, out)


def _run_parallel(todo: Iterator[Run], jobs: int, every: int, out: Path) -> bool:
    running: dict[subprocess.Popen[bytes], str] = {}
    try:
        while True:
            for task, settings in itertools.islice(todo, jobs - len(running)):
                process = _start(task, settings, jobs, every, out)
                running[process] = file_stem(task, settings)
            if not running:
                return True
            time.sleep(0.2)
            for process in [one for one in running if one.poll() is not None]:
                print(f"{running.pop(process)}: exit status {process.returncode}", flush=True)
    except KeyboardInterrupt:
        for process in running:
            process.send_signal(signal.SIGINT)
        print("\nInterrupted: evaluating the unfinished runs.", flush=True)
        for process in running:
            process.wait()
        return False


def _start(task: str, settings: Settings, jobs: int, every: int, out: Path) -> Any:
    """Start a run in a separate process that ignores Ctrl-C; its output goes to a log file."""
    command = [sys.executable, "-m", "benchmarks.algorithmic.run", task, *as_arguments(settings)]
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    with (out / f"{file_stem(task, settings)}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, f"--every={every}", f"--out={out.resolve()}"],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"OMP_NUM_THREADS": threads},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
