"""Saving of the learner that a method trained, with its inputs and its results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.few_shot.columns import Pairs
from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem
from benchmarks.few_shot.spec import ClassificationSpec, Entry, TranslationSpec
from l2l_rnn.data import SourceTaskset
from l2l_rnn.errors import ArgumentError
from l2l_rnn.estimators import calibrate_unknown
from l2l_rnn.tasksets import list_tasksets
from l2l_rnn.training import Evaluation, Pretrained


def check_can_save(entries: tuple[Entry, ...]) -> None:
    """Check that one method is chosen, and that its learner can be saved.

    Raises:
        ArgumentError: several methods are chosen, or the method has no learner.
    """
    if len(entries) != 1:
        labels = "; ".join(entry.label for entry in entries)
        raise ArgumentError(f"--save needs one method, got {labels}; choose it with --only")
    (entry,) = entries
    if not entry.method.saves(entry.options):
        raise ArgumentError(
            f"--save needs a method that trains a learner, got {entry.label}; choose another one"
        )


def save_learner(
    method: Method, entry: Entry, row: dict[str, Any], form: str, folder: Path
) -> None:
    """Save a trained learner, with a model card.

    A method with its own model makes it by a method `pretrained`.

    Args:
        method: the trained method.
        entry: its entry in the spec.
        row: its row of the result.
        form: `"quick"`, `"default"` or `"full"`.
        folder: the folder of the model, see `Pretrained.save_pretrained`.
    """
    own: Any = getattr(method, "pretrained", None)
    found = pretrained(method, entry, row, form) if own is None else own(entry, row, form)
    found.save_pretrained(folder, dtype=method.saved_dtype)


def pretrained(
    method: Method, entry: Entry, row: dict[str, Any], form: str, note: str = ""
) -> Pretrained:
    """Return the model of a method that classifies or translates.

    Args:
        method, entry, row, form: as in `save_learner`.
        note: added to the description.
    """
    problem = method.problem
    spec: ClassificationSpec | TranslationSpec = problem.spec
    taskset = problem.taskset
    run = f"{form} form of the benchmark `{spec.name}`, seed {problem.seed}"
    evaluations = [
        Evaluation(
            {spec.score: tuple(round(score, 6) for score in row["task_scores"][column.name])},
            row["seconds_per_task"],
            f"{run}, {column.name}",
            {
                "taskset": taskset,
                **_sizes(spec, column),
                "tasks": row["scores"][column.name]["tasks"],
            },
        )
        for column in problem.columns
    ]
    card = list_tasksets()[taskset]
    model = Pretrained(
        method.learner,
        problem.inputs,
        classes=problem.trained_on,
        steps=getattr(method, "adaptation_steps", None),
        settings={"form": form, "seed": problem.seed, "options": row["options"]},
        evaluation=evaluations,
        description=(
            f"{card.task}\n\nMethod: {entry.name}. Training data: {card.source} "
            f"({card.license}); the splits are {card.splits}. Trained and evaluated by the {run}."
            f"{problem.note}{note}"
        ),
        license="mit",
        tags=[taskset],
    )
    if isinstance(problem, ClassificationProblem):
        _calibrate(model, problem)
    return model


def _calibrate(model: Pretrained, problem: ClassificationProblem) -> None:
    """Calibrate the unknown score on validation tasks."""
    spec = problem.spec
    shots = max(spec.shots)
    unseen = SourceTaskset(problem.calibration_source, spec.ways, shots + spec.queries)
    calibrate_unknown(model, unseen, shots, seed=problem.seed)


def _sizes(spec: Any, column: Any) -> dict[str, Any]:
    """Return the ways and shots of a column, for the model card."""
    if isinstance(column, Pairs):
        return {"shots": column.pairs}
    return {"ways": column.ways or spec.ways, "shots": column.shots}
