"""Evaluation of a saved model on the tasks of a task set or of files."""

from __future__ import annotations

import dataclasses
from typing import Any

from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.cli.fitting.settings import DataSettings
from l2l_rnn.cli.fitting.tasks import SPLIT_CLASSES, Tasks, data_name, open_tasks
from l2l_rnn.cli.saved_models.texts import texts_of
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets.hub.texts import Texts
from l2l_rnn.training import Evaluation, Pretrained, SeriesInputs, TextInputs, evaluate


def evaluated(name: str, data: DataSettings, settings: Any, shots: int, device: str) -> Evaluation:
    """Return the evaluation of a saved model.

    Args:
        name: as in `Pretrained.from_pretrained`.
        data: the task set or files.
        settings: the settings of `l2l-rnn evaluate`.
        shots: labeled examples of each class.
        device: the device.

    Raises:
        ArgumentError: the model takes another kind of input than the tasks have.
        DataError: the tasks cannot be drawn.
    """
    model = Pretrained.from_pretrained(name, device=device)
    if isinstance(model.learner, SupportLearner):  # it takes any number of classes
        model.learner.ways = max(model.learner.ways, settings.ways)
    tasks: Any = None
    found: Any = None
    ways = None
    if data.data is not None:
        tasks = _texts(name, model, data, settings, shots + settings.queries)
    if tasks is not None:
        ways = settings.ways
    else:
        found = _drawn(name, model, data, settings, shots)
        tasks = getattr(found.tasksets, settings.split or "test")
        _check_kind(name, model.inputs, found.name, found.tasksets.input_size)
    evaluation = evaluate(
        model.learner,
        tasks,
        shots,
        settings.tasks,
        ways=ways,
        queries=settings.queries,
        steps=settings.adaptation_steps or model.steps,
        loss=model.loss_function,
        score=settings.scores,
        seed=settings.seed,
        device=device,
    )
    if data.data is None:
        return evaluation
    rows = found.rows if found is not None else tasks.rows
    described = {**evaluation.settings, "taskset": data_name(data), "rows": rows._asdict()}
    return dataclasses.replace(evaluation, settings=described)


def _check_kind(name: str, inputs: Any, tasks: str, input_size: int | None) -> None:
    """Check that a model reads what the tasks have: texts, or series with as many channels."""
    reads, have = "texts", "texts" if input_size is None else f"series of {input_size} channels"
    if inputs is None:
        return
    if isinstance(inputs, SeriesInputs):
        if inputs.input_size is None and input_size is not None:
            return  # any number of channels
        reads = f"series of {inputs.input_size or 'any number of'} channels"
    if reads != have:
        raise ArgumentError(
            f"evaluate: the model {name} reads {reads}, and {tasks} has {have}; choose a model or "
            "tasks of the same kind"
        )


def _texts(
    name: str, model: Pretrained, data: DataSettings, settings: Any, samples: int
) -> Texts | None:
    """Return the texts of files; None if the model does not say which split they belong to."""
    if not isinstance(model.inputs, TextInputs):
        raise ArgumentError(
            f"evaluate: --data needs a model of texts, got {name}; use --taskset for this model"
        )
    split = None if settings.split == "all" else settings.split
    if split is not None and (data.groups is not None or not model.settings.get(SPLIT_CLASSES)):
        return None
    return texts_of(name, model, data, split, settings.ways, samples)


def _drawn(name: str, model: Pretrained, data: DataSettings, settings: Any, shots: int) -> Tasks:
    """Return tasks of a task set, or of the splits of files that `fit` would draw.

    Raises:
        DataError: trained classes are in the validation or test split.
    """
    saved = model.settings.get(SPLIT_CLASSES) if data.data is not None else None
    seed = settings.seed
    if saved:  # files with groups: the same groups go to the same split
        seed = (model.settings.get("training") or {}).get("seed", seed)
        data = dataclasses.replace(data, splits=saved)
    if isinstance(model.inputs, TextInputs) and data.data is not None:
        data = dataclasses.replace(data, max_length=model.inputs.max_length)
    found = open_tasks(
        data,
        ways=settings.ways,
        train_ways=settings.ways,
        shots=shots,
        queries=settings.queries,
        seed=seed,
        pipeline=model.inputs.pipeline if isinstance(model.inputs, TextInputs) else None,
    )
    split = settings.split or "test"
    if data.data is not None and split != "train":
        classes = (found.split_classes or {}).get(split, [])
        trained = [one for one in classes if one in model.classes]
        if trained:
            raise DataError(
                f"evaluate: the {split} split of {found.name} must have classes that were not in "
                f"the training of {name}, got {', '.join(trained[:10])}; give the --seed and "
                "--splits of the training, or a file of new classes without --split"
            )
    return found
