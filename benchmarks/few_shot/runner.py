"""Runner of experiments: trains each method and evaluates it on the same unseen tasks."""

from __future__ import annotations

import dataclasses
import datetime
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks import report
from benchmarks.few_shot.methods.baselines.published import PublishedScores
from benchmarks.few_shot.methods.method import CannotRun
from benchmarks.few_shot.problems.problem import Problem, seed_everything
from benchmarks.few_shot.progress import Progress
from benchmarks.few_shot.saving import check_can_save, save_learner
from benchmarks.few_shot.selection import selected
from benchmarks.few_shot.shared_trainings import SharedTrainings
from benchmarks.few_shot.spec import ClassificationSpec, Entry, Spec
from benchmarks.few_shot.time_left import TimeLeft, duration_text, time_limits
from benchmarks.few_shot.unfinished import UnfinishedResult
from benchmarks.interruption import interruption
from benchmarks.machine import device_name, versions
from l2l_rnn.errors import MissingExtraError


def run(
    spec: Spec,
    form: str,
    seed: int,
    device: torch.device,
    out: Path,
    *,
    only: str = "*",
    resume: bool = False,
    restart: bool = False,
    save: Path | None = None,
    keep_task_scores: bool = False,
) -> dict[str, Any]:
    """Run a spec, print its table, save its JSON and figure, and return the result.

    The result is saved after each method. It is marked as unfinished until all methods of the spec
    are in it, and a later call with `resume` adds those that are not.

    Args:
        spec: the experiment.
        form: `"quick"`, `"default"` or `"full"`.
        seed: random seed.
        device: device of the networks.
        out: folder of the results.
        only: the methods to run, see `selected`.
        resume: whether to keep the methods that an earlier run has finished.
        restart: whether to discard them.
        save: folder for the learner of the only chosen method; None does not save it.
        keep_task_scores: whether a finished result keeps the score on each task.

    Raises:
        ArgumentError: another run is writing to the folder; an earlier run had other settings; or
            there is an earlier run, and neither `resume` nor `restart` is set.
        UnknownNameError: `only` has an unknown method.
        ArgumentError: the chosen methods do not have one learner to save.
        OSError: the folder is not writable.
    """
    chosen = selected(spec.entries[form], only)
    if save is not None:
        check_can_save(chosen)
    out.mkdir(parents=True, exist_ok=True)
    with report.only_writer(out / f"{spec.name}-{form}.json"):
        files = UnfinishedResult(out, spec.name, form)
        earlier = files.earlier(resume=resume, restart=restart)
        experiment = ExperimentRun(spec, form, seed, device, files)
        if earlier is not None:
            experiment.continue_from(earlier)
        experiment.run(chosen, save)
        return experiment.report(out, keep_task_scores)


class ExperimentRun:
    """A run of an experiment, with the result so far.

    Args:
        spec, form, seed, device: as in `run`.
        files: files of the unfinished result.
    """

    def __init__(
        self, spec: Spec, form: str, seed: int, device: torch.device, files: UnfinishedResult
    ) -> None:
        self.spec, self.entries, self.files = spec, spec.entries[form], files
        self.start = time.perf_counter()
        print("Preparing the data ...", file=sys.stderr, flush=True)
        seed_everything(seed)
        self.problem: Problem = spec.problem(spec, seed, device, spec.test_tasks[form])
        self.problem.shared = SharedTrainings(files.networks)
        if isinstance(spec, ClassificationSpec) and spec.curve:
            self.problem.curve_tasks = spec.curve_tasks[form]
        self.result: dict[str, Any] = {
            "spec": _spec_json(spec),
            "form": form,
            "seed": seed,
            "test_tasks": spec.test_tasks[form],
            "date": datetime.date.today().isoformat(),
            "device": device_name(device),
            "threads": torch.get_num_threads(),
            "versions": versions(),
            "unfinished": [entry.label for entry in self.entries],
            "columns": [column.to_json() for column in self.problem.columns],
            "curve": [point.to_json() for point in self.problem.curve],
            "chance": self.problem.chance,
            "data": self.problem.description(),
            "methods": [],
            "skipped": {},
        }

    def continue_from(self, earlier: dict[str, Any]) -> None:
        """Take the methods of an earlier run, after a check that it had the same settings."""
        rows = {entry.label: settings_of(entry) for entry in self.entries}
        self.files.check(earlier, self.result, rows)
        self.result["methods"] = earlier["methods"]
        self.start -= earlier["seconds"]

    def run(self, chosen: tuple[Entry, ...], save: Path | None = None) -> None:
        """Train and evaluate the chosen methods that are not in the result yet.

        Args:
            chosen: the methods.
            save: folder for the learner of the only one; None does not save it.
        """
        self._save()
        todo = [entry for entry in chosen if entry.label in self.result["unfinished"]]
        left = TimeLeft(time_limits(todo, self.problem.shared.is_saved))
        progress = Progress(left, len(chosen))
        for entry in todo:
            with progress.method(entry.label):
                try:
                    self.result["methods"].append(self._row(entry, progress, save))
                except (MissingExtraError, CannotRun) as error:
                    self.result["skipped"][entry.label] = str(error)
                    print(f"{entry.label}: skipped. {error}", flush=True)
            self._save()

    def _row(self, entry: Entry, progress: Progress, save: Path | None) -> dict[str, Any]:
        """Return the row of a method in the result."""
        if entry.method is not PublishedScores:
            return self._measure(entry, progress, save)
        published = PublishedScores(self.problem, entry.label, **entry.options)
        names = [column.name for column in (*self.problem.columns, *self.problem.curve)]
        scores = {
            name: {"mean": published.scores[name]} for name in names if name in published.scores
        }
        row = {**settings_of(entry), "scores": scores, "task_scores": {}, "training": None}
        return {**row, "seconds_per_task": None, "training_seconds": None, **published.details()}

    def _measure(self, entry: Entry, progress: Progress, save: Path | None) -> dict[str, Any]:
        """Train and evaluate one method, and return its row of the result."""
        problem = self.problem
        seed_everything(problem.seed)
        method = entry.method(problem, entry.label, **entry.options)
        method.most_tasks = entry.tasks
        history = method.train()
        method.trained, method.saved_seconds = True, 0.0
        count = problem.test_tasks if entry.tasks is None else min(entry.tasks, problem.test_tasks)
        progress.say(f"{entry.label}: evaluation on {count} tasks; {progress.left}")
        scores = {}
        seconds = 0.0
        for column in (*problem.columns, *(problem.curve if entry.curve else ())):
            seed_everything(problem.seed)
            start = time.perf_counter()
            scores[column.name] = method.evaluate(column).double()
            seconds += time.perf_counter() - start + method.saved_seconds
            method.saved_seconds = 0.0
            _check_finite(entry.label, column.name, scores[column.name])
        intervals = {column: report.interval(values) for column, values in scores.items()}
        shown = ", ".join(
            f"{column.name} {report.score_text(self.spec.percent, intervals[column.name])}"
            for column in problem.columns
        )
        print(f"{entry.label}: {shown}", flush=True)
        row = {
            **settings_of(entry),
            "scores": intervals,
            "task_scores": {column: values.tolist() for column, values in scores.items()},
            "seconds_per_task": seconds / sum(map(len, scores.values())),
            "training_seconds": history.seconds + history.pretraining_seconds if history else 0.0,
            "training": history.to_json() if history else None,
            **_plain(method.details()),
        }
        if save is not None:
            save_learner(method, entry, row, self.result["form"], save)
            print(f"Saved the learner in {save}", flush=True)
        return row

    def _save(self) -> None:
        """Save the result, with the methods in the order of the spec."""
        result, order = self.result, [entry.label for entry in self.entries]
        rows = result["methods"] = sorted(
            result["methods"], key=lambda row: order.index(row["label"])
        )
        done = [row["label"] for row in rows]
        decided = {*done, *result["skipped"]}
        result["unfinished"] = [label for label in order if label not in decided]
        report.add_differences(rows, lower_is_better=self.spec.lower_is_better)
        result["seconds"] = time.perf_counter() - self.start
        with interruption.held():
            self.files.save(result)
            interruption.saved = f"{len(done)} of {len(order)} methods are finished"
            if done:
                interruption.saved += f" and saved in {self.files.path}: {'; '.join(done)}"
            interruption.saved += "."

    def report(self, out: Path, keep_task_scores: bool = False) -> dict[str, Any]:
        """Print the table, save the result and its figure, and return the result."""
        result = self.result
        print(f"\n{report.table(result)}\n\n{report.notes(result)}")
        if result["curve"]:
            print(f"\n{report.curve_table(result)}")
        if result["unfinished"]:
            print(f"Not run yet: {'; '.join(result['unfinished'])}. Add them with --resume.")
            data, picture = self.files.path, self.files.picture
            self.spec.picture(result, picture)
        else:
            for row in result["methods"] if not keep_task_scores else ():
                del row["task_scores"]
            data, picture = report.write_result(result, out, self.spec.picture)
            with interruption.held():
                self.files.remove()
                interruption.saved = f"The run is finished and saved in {data}."
        print(f"\nFinished in {duration_text(result['seconds'])}; saved {data} and {picture}")
        return result


def settings_of(entry: Entry) -> dict[str, Any]:
    """Return what identifies a method in a result."""
    limits = {"tasks": entry.tasks, "curve": entry.curve}
    usual = {"tasks": None, "curve": True}
    return {
        "label": entry.label,
        "name": entry.name,
        "variant": entry.variant,
        "group": entry.group,
        "options": _plain(entry.options),
        **{name: value for name, value in limits.items() if value != usual[name]},
    }


def _check_finite(label: str, column: str, scores: torch.Tensor) -> None:
    wrong = int((~scores.isfinite()).sum())
    if wrong:
        raise ArithmeticError(
            f"{label}: the scores of {wrong} of {len(scores)} test tasks are not finite ({column})"
        )


def _spec_json(spec: Spec) -> dict[str, Any]:
    """Return the plain values of a spec, without methods and columns."""
    elsewhere = ("entries", "test_tasks", "columns", "curve_tasks", "root")
    fields = [field.name for field in dataclasses.fields(spec) if field.name not in elsewhere]
    return {
        name: _plain(value)
        for name, value in ((name, getattr(spec, name)) for name in fields)
        if isinstance(value, (str, int, float, tuple)) or name.endswith("options")
    }


def _plain(value: Any) -> Any:
    """Convert to JSON serializable values; numbers that are not finite become None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {k: _plain(v) for k, v in dataclasses.asdict(value).items()}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
