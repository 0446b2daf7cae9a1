"""Task sets for `l2l-rnn fit` and `l2l-rnn evaluate`, from a name or from files."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from l2l_rnn.cli.fitting.settings import DataSettings
from l2l_rnn.cli.usage import UsageError
from l2l_rnn.data import UserRatings
from l2l_rnn.errors import DataError, UnknownNameError
from l2l_rnn.tasksets import BenchmarkTasksets, TaskFamily, from_hf, get_tasksets, tasksets_of
from l2l_rnn.tasksets.hub.survey import RowCounts

SPLIT_CLASSES = "split_classes"  # in the settings of a saved model


class Tasks(NamedTuple):
    """Task sets, and what a learner must know about them.

    Attributes:
        tasksets: for training, validation and test.
        name: name of the task set, or the files.
        outputs: classes of a task, or values of a target.
        regression: whether targets are values.
        max_length: the largest number of steps; None if it varies.
        rows: what became of the rows of own files; None for a task set.
    """

    tasksets: BenchmarkTasksets
    name: str
    outputs: int
    regression: bool
    max_length: int | None
    rows: RowCounts | None = None

    @property
    def family(self) -> TaskFamily | None:
        """The family that generates the tasks, or None."""
        source = self.tasksets.train.source
        return source if isinstance(source, TaskFamily) else None

    @property
    def split_classes(self) -> dict[str, list[str]] | None:
        """The names of the classes of each split; None if the classes have no names."""
        found = {}
        for split, taskset in self.tasksets._asdict().items():
            classes = taskset.source.classes
            if classes is None or isinstance(classes, int):
                return None
            found[split] = list(map(str, classes))
        return found


def open_tasks(
    data: DataSettings,
    *,
    ways: int,
    train_ways: int,
    shots: int,
    queries: int,
    seed: int = 0,
    pipeline: Any = None,
) -> Tasks:
    """Return the tasks that the settings describe.

    Args:
        data: the settings.
        ways, train_ways: classes of a task.
        shots, queries: examples of each class.
        seed: seed of the division of own data.
        pipeline: the text pipeline of a saved model; None makes one of the training texts.

    Raises:
        DataError: the data cannot be read, or has too few classes or texts.
        UsageError: the task set has inputs or targets that no learner of `fit` takes.
    """
    counts: dict[str, Any] = {
        "train_ways": train_ways,
        "train_samples": shots + queries,
        "test_ways": ways,
        "test_samples": shots + queries,
    }
    if data.taskset is not None:
        options = data.taskset_options or {}
        try:
            tasksets = _named(data.taskset, counts, data.root, options, pipeline)
        except DataError as error:
            raise _with_flags(error) from error
        return _described(tasksets, data.taskset, max(ways, train_ways))
    files = files_of(data.data)
    text = [data.text] if isinstance(data.text, str) else data.text
    try:
        sources = from_hf(
            files[0] if len(files) == 1 else files,
            text,
            data.label,
            data.tokenizer if pipeline is None else pipeline,
            groups=data.groups,
            splits=data.splits,
            seed=seed,
            max_length=data.max_length or 64,
            min_items=shots + queries,
            drop_empty=data.drop_empty,
            drop_small=data.drop_small,
            root=data.root,
        )
        tasksets = tasksets_of(sources, **counts)
    except DataError as error:
        raise _with_flags(error) from error
    found = _described(tasksets, data_name(data), max(ways, train_ways))
    return found._replace(max_length=data.max_length or 64, rows=sources.train.rows)


def _named(
    name: str, counts: dict[str, Any], root: str, options: dict[str, Any], pipeline: Any
) -> BenchmarkTasksets:
    if pipeline is not None and "vocabulary" not in options:
        with contextlib.suppress(UnknownNameError):  # a task set without texts
            return get_tasksets(name, **counts, root=root, vocabulary=pipeline, **options)
    return get_tasksets(name, **counts, root=root, **options)


def files_of(data: Sequence[str] | str | None) -> list[str]:
    """Return the files that `--data` names."""
    return [data] if isinstance(data, str) else list(data or ())


def data_name(data: DataSettings) -> str:
    """Return the names of the files of `--data`, without their folders.

    Example:
        >>> data_name(DataSettings(data=["a/posts.csv", "more/"]))
        'posts.csv, more'
    """
    return ", ".join(Path(file).name or file for file in files_of(data.data))


def _with_flags(error: DataError) -> DataError:
    """Return an error of the Python interface in the words of the command line."""
    text = re.sub("^(from_hf|tasksets_of|get_tasksets): ", "", str(error))
    for argument, flag in (
        ("the argument splits= of from_hf or from_arrays", "--splits"),
        ("drop_small=True", "--drop_small"),
        ("drop_empty=True", "--drop_empty"),
        ("text_column", "--text"),
        ("label_column", "--label"),
        ("min_items", "--shots plus --queries"),
        ("train_ways", "--train_ways"),
        ("test_ways", "--ways"),
        ("train_samples", "--shots plus --queries"),
        ("test_samples", "--shots plus --queries"),
    ):
        text = text.replace(argument, flag)
    return DataError(text)


def _described(tasksets: BenchmarkTasksets, name: str, ways: int) -> Tasks:
    x, y = tasksets.train.sample()
    family = tasksets.train.source
    if isinstance(family, UserRatings):
        raise UsageError(
            f"the task set {name!r} has items, and fit trains models of texts and series; train a "
            "models.Recommender, as docs/recommendation.md shows"
        )
    text = not x.is_floating_point()
    if x.dim() != (2 if text else 3):
        raise UsageError(
            f"the inputs of the task set {name!r} have no steps, and fit trains recurrent "
            "encoders; train a model of your own with training.MetaLearning"
        )
    regression = y.is_floating_point()
    if y.dim() != (2 if regression else 1):
        raise UsageError(
            f"the task set {name!r} has a target for each step, and fit trains models with one "
            "output for a sequence; train a model of your own with training.MetaLearning"
        )
    outputs = ways
    if isinstance(family, TaskFamily):
        outputs = family.output_size
    elif regression:
        outputs = int(y.shape[-1])
    return Tasks(tasksets, name, outputs, regression, _length(family, x))


def _length(source: Any, x: Tensor) -> int | None:
    sequences = getattr(source, "sequences", None)
    return None if x.is_floating_point() else int((x if sequences is None else sequences).shape[-1])
