"""Train all networks on all algorithmic tasks with several seeds, and make a table.

`python -m benchmarks.algorithmic.table --jobs 2` runs `benchmarks.algorithmic.run` for every task,
network and seed, two at a time. Runs with a saved result for the same settings are skipped, so the
command can be stopped and restarted. `--collect` makes the table from saved results, without
training. The table is saved as `memory-tasks-full.json`.
"""

from __future__ import annotations

from benchmarks.interruption import interruption

if __name__ == "__main__":
    interruption.install()

import argparse
import datetime
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.algorithmic.networks import NETWORKS
from benchmarks.algorithmic.run import add_common, check_common, file_stem, write_result
from benchmarks.algorithmic.runs import Run, matches, read, run_all, runs_of
from benchmarks.algorithmic.settings import add_options
from benchmarks.algorithmic.tasks import ALIASES, TASKS
from benchmarks.machine import versions
from l2l_rnn.errors import ArgumentError

QUICK = {
    "sequences": 4,
    "batch": 2,
    "evaluation_sequences": 1,
    "hidden_size": 4,
    "slots": 8,
    "slot_size": 4,
    "read_heads": 1,
    "write_heads": 1,
}


def collect(runs: list[Run], out: Path, form: str, interrupted: bool) -> dict[str, Any]:
    """Combine the results of all runs, with only the loss of the training curves."""
    result: dict[str, Any] = {
        "form": form,
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "interrupted": interrupted,
        "tasks": {},
        "networks": {},
        "missing": [],
        "with_other_settings": [],
        "runs": [],
    }
    for run in runs:
        task, settings = run
        evaluations = TASKS[task].evaluations
        result["tasks"][task] = {
            "trained": [name for name, one in evaluations.items() if one.trained],
            "longer": [name for name, one in evaluations.items() if not one.trained],
            "converged_below": TASKS[task].converged_below,
        }
        result["networks"][settings.memory] = NETWORKS[settings.memory].description
        found = read(run, out)
        if found is None:
            result["missing"].append(file_stem(*run))
            continue
        if not matches(run, found):
            result["with_other_settings"].append(file_stem(*run))
        points_seen = found.pop("points")
        found["loss_curve"] = [[point["sequences"], point["loss"]] for point in points_seen]
        for measure in ("cost", "wrong_bits"):
            if measure not in found and measure in points_seen[-1]:
                found[measure] = points_seen[-1][measure]  # the run was killed before the end
        for known in ("network", "converged_below"):
            found.pop(known, None)
        if found.get("versions") == result["versions"]:
            del found["versions"]
        result["runs"].append(found)
    return result


def table(result: dict[str, Any], each: bool = False) -> str:
    """Format a result as a Markdown table.

    Each row is one task and network: medians over the seeds, and the largest climb. Tasks with
    unpredictable bits get a row for the best possible predictor.

    Args:
        result: return value of `collect`.
        each: whether to make a row for each run.
    """
    header = ["task", "memory", *["seed"] * each, "parameters"]
    for measure in ("cost, bits", "wrong bits"):
        header += [f"{measure}, trained lengths", "longer"]
    header += ["sequences to converge", "largest climb", "status"]
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
                cells += [_measured(runs, measure, task[side]) for side in ("trained", "longer")]
            lines.append([*cells, _converged(runs), _climb(runs), _ended(runs)])
        bound = [run for run in of_task if any((run.get("optimum") or {}).values())]
        if bound:
            cells = [_measured(bound, "optimum", task[side]) for side in ("trained", "longer")]
            lines.append([name, "best predictor", *["-"] * each, "-", *cells, *["-"] * 5])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _measured(runs: list[dict[str, Any]], measure: str, names: list[str]) -> str:
    """Format the median of a measure at each length; values that are not finite are infinite."""
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
    found = [run["max_climb"] for run in runs if run["max_climb"] is not None]
    return f"{max(found):.1f}" if found else "-"


def _ended(runs: list[dict[str, Any]]) -> str:
    """Format how the runs ended, with the number of sequences for early ends."""
    text = [
        run["ended"] if run["ended"] == "done" else f"{run['ended']} at {run['sequences']:,}"
        for run in runs
    ]
    if len(runs) == 1:
        return text[0]
    early = [one for one in text if one != "done"]
    return "; ".join([f"{len(runs) - len(early)} of {len(runs)} done", *early])


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.algorithmic.table",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    text = "smoke test; results are meaningless"
    parser.add_argument("--quick", action="store_true", help=text)
    parser.add_argument(
        "--tasks",
        nargs="+",
        choices=[*TASKS, *ALIASES],
        default=list(TASKS),
        metavar="TASK",
        help=f"some of {', '.join([*TASKS, *ALIASES])} (default: all)",
    )
    parser.add_argument(
        "--memories",
        nargs="+",
        choices=NETWORKS,
        default=list(NETWORKS),
        metavar="MEMORY",
        help=f"some of {', '.join(NETWORKS)} (default: all)",
    )
    parser.add_argument(
        "--seeds",
        nargs="+",
        type=int,
        default=None,
        metavar="S",
        help="random seeds (default: 0 1 2; with --quick, 0)",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="J", help="number of parallel runs (default: 1)"
    )
    text = "make the table from saved results, without training"
    parser.add_argument("--collect", action="store_true", help=text)
    add_options(parser, "memory", "seed")
    add_common(parser)
    given = vars(parser.parse_args(arguments))
    quick, jobs, only_collect = (given.pop(name) for name in ("quick", "jobs", "collect"))
    tasks = [ALIASES.get(name, name) for name in given.pop("tasks")]
    memories, seeds = given.pop("memories"), given.pop("seeds")
    out, every = given.pop("out"), given.pop("every")
    check_common(parser, out, every)
    if jobs < 1:
        parser.error(f"--jobs must be at least 1, got {jobs}")
    seeds = seeds if seeds is not None else [0] if quick else [0, 1, 2]
    try:
        runs = runs_of(tasks, memories, seeds, (QUICK if quick else {}) | given)
    except ValueError as error:
        parser.error(str(error))
    form = "quick" if quick else "full"
    of_runs = out / "memory-tasks-quick" if quick else out
    of_runs.mkdir(exist_ok=True)
    interruption.advice = "The same command does the runs that are missing."
    interruption.raises = True
    try:
        finished = only_collect or run_all(runs, jobs, every, of_runs)
    except ArgumentError as error:
        parser.error(str(error))
    result = collect(runs, of_runs, form, not finished)
    path = out / f"memory-tasks-{form}{'' if finished else '-partial'}.json"
    write_result(path, result)
    print(f"\n{table(result, each=True)}\n\n{table(result)}")
    for list_of, text in (("missing", "Missing"), ("with_other_settings", "With other settings")):
        if result[list_of]:
            print(f"\n{text}: {', '.join(result[list_of])}.")
    print(f"\nWrote {path}")
    return 0 if finished else interruption.status


if __name__ == "__main__":
    sys.exit(main())
