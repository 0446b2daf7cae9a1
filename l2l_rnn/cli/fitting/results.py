"""The end of a training run: evaluation on test tasks, and the saved model."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

from torch import nn

from l2l_rnn.cli.fitting.settings import TrainingSettings
from l2l_rnn.cli.fitting.tasks import SPLIT_CLASSES, Tasks
from l2l_rnn.cli.output import log
from l2l_rnn.files import read_json, write_json
from l2l_rnn.training import Pretrained, SeriesInputs, TextInputs, evaluate

RESULT = "result.json"
_FILES = ("model.safetensors", "README.md", "config.json")  # the last one makes it whole
_BESIDE = ".model"


def is_finished(folder: Path) -> bool:
    """Return whether a run has saved its model and its evaluation."""
    return all((folder / name).is_file() for name in (*_FILES, RESULT))


def save_run(
    folder: Path,
    learner: nn.Module,
    tasks: Tasks,
    training: TrainingSettings,
    steps: int | None,
    taken: int,
) -> None:
    """Evaluate a trained learner on test tasks, and save it with a model card.

    Args:
        folder: the folder of the run.
        learner: the learner with its best weights.
        tasks: the tasks.
        training: the settings of the training.
        steps: steps or writes of adaptation.
        taken: training steps that were taken.
    """
    log(f"evaluating on {training.test_tasks} test tasks")
    learner.to(training.device)
    evaluation = evaluate(
        learner,
        tasks.tasksets.test,
        training.shots,
        training.test_tasks,
        queries=training.queries,
        steps=steps,
        seed=training.seed,
    )
    learner.cpu()
    if tasks.rows is not None:
        settings = {**evaluation.settings, "taskset": tasks.name}
        evaluation = dataclasses.replace(evaluation, settings=settings)
    classes = tasks.tasksets.train.source.classes
    rows = None if tasks.rows is None else tasks.rows._asdict()
    model = Pretrained(
        learner,
        _inputs(tasks),
        classes=() if classes is None or isinstance(classes, int) else classes,
        steps=steps,
        settings={
            "tasks": tasks.name,
            "training_steps": taken,
            "training": dataclasses.asdict(training),
            SPLIT_CLASSES: tasks.split_classes,
            "rows": rows,
        },
        evaluation=[evaluation],
        description=f"Trained on {tasks.name} with `l2l-rnn fit`."
        + ("" if tasks.rows is None else f" {tasks.rows.described()}."),
    )
    shutil.rmtree(folder / _BESIDE, ignore_errors=True)
    beside = folder / _BESIDE / folder.absolute().name  # the model card has the name of its folder
    model.save_pretrained(beside)
    for name in _FILES:
        (beside / name).replace(folder / name)
    shutil.rmtree(folder / _BESIDE)
    result = {
        "text": str(evaluation),
        "tasks": tasks.name,
        "learner": type(learner).__name__,
        "training_steps": taken,
        "rows": rows,
        "evaluation": evaluation.to_json(),
    }
    write_json(folder / RESULT, result, indent=1)


def result_of(folder: Path) -> dict[str, Any]:
    """Return the result of a finished run, without the scores of each task."""
    result = read_json("fit", folder / RESULT)
    evaluation = {k: v for k, v in result["evaluation"].items() if k != "per_task"}
    return {"folder": str(folder), **result, "evaluation": evaluation}


def _inputs(tasks: Tasks) -> TextInputs | SeriesInputs:
    vocabulary = tasks.tasksets.train.source.vocabulary
    if vocabulary is None:  # series as the task set has them
        return SeriesInputs(tasks.tasksets.input_size or 1, mean=0.0, std=1.0)
    return TextInputs(vocabulary, tasks.max_length or 64)
