"""Evaluation of a saved model on the tasks of a task set or of files."""

from __future__ import annotations

from typing import Any

import torch

from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.cli.fitting.settings import DataSettings
from l2l_rnn.cli.fitting.tasks import files_of, open_tasks
from l2l_rnn.cli.rows import check_present, joined, names_of, read_columns
from l2l_rnn.data import SequenceDataset
from l2l_rnn.errors import ArgumentError
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
    if isinstance(model.learner, ProtoNet):  # it takes any number of classes
        model.learner.ways = max(model.learner.ways, settings.ways)
    tasks: Any
    ways = None
    if data.data is not None and settings.split in (None, "all"):
        tasks, ways = _all_texts(name, model, data, shots + settings.queries), settings.ways
    else:
        pipeline = model.inputs.pipeline if isinstance(model.inputs, TextInputs) else None
        found = open_tasks(
            data,
            ways=settings.ways,
            train_ways=settings.ways,
            shots=shots,
            queries=settings.queries,
            seed=settings.seed,
            pipeline=pipeline,
        )
        tasks = getattr(found.tasksets, settings.split or "test")
        _check_kind(name, model.inputs, found.name, found.tasksets.input_size)
    return evaluate(
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


def _check_kind(name: str, inputs: Any, tasks: str, input_size: int | None) -> None:
    """Check that a model reads what the tasks have: texts, or series with as many channels."""
    reads, have = "texts", "texts" if input_size is None else f"series of {input_size} channels"
    if inputs is None:
        return
    if isinstance(inputs, SeriesInputs):
        reads = f"series of {inputs.input_size} channels"
    if reads != have:
        raise ArgumentError(
            f"evaluate: the model {name} reads {reads}, and {tasks} has {have}; choose a model or "
            "tasks of the same kind"
        )


def _all_texts(name: str, model: Pretrained, data: DataSettings, least: int) -> SequenceDataset:
    """Return all texts of the files, each once, as token ids of the model."""
    if not isinstance(model.inputs, TextInputs):
        raise ArgumentError(
            f"evaluate: --data needs a model of texts, got {name}; use --taskset for this model"
        )
    texts: list[str] = []
    labels: list[str] = []
    columns, label = names_of(data.text, "text"), str(data.label)
    for path in files_of(data.data):
        table = read_columns("evaluate", path, [*columns, label])
        found = joined([table[column] for column in columns])
        if not data.drop_empty:
            check_present("evaluate", path, ", ".join(columns), found)
            check_present("evaluate", path, label, table[label])
        pairs = zip(map(str, found), map(str, table[label]), strict=True)
        kept = dict.fromkeys((text, one) for text, one in pairs if text.strip() and one.strip())
        texts += [text for text, _ in kept]
        labels += [one for _, one in kept]
    counts = {one: labels.count(one) for one in dict.fromkeys(labels)}
    classes = sorted(one for one in counts if not data.drop_small or counts[one] >= least)
    numbers = {one: i for i, one in enumerate(classes)}
    rows = [i for i, one in enumerate(labels) if one in numbers]
    return SequenceDataset(
        model.inputs([texts[i] for i in rows]),
        torch.tensor([numbers[labels[i]] for i in rows]),
        classes,
    )
