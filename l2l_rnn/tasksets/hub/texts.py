"""Few-shot tasks over your own texts, from the package `datasets` or from local files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.text.pipelines import PIPELINES, Pipeline, as_pipeline
from l2l_rnn.errors import ArgumentTypeError
from l2l_rnn.tasksets.hub.class_rows import ClassRows
from l2l_rnn.tasksets.hub.class_splits import split_classes
from l2l_rnn.tasksets.hub.encoding import size_of
from l2l_rnn.tasksets.hub.files import DatasetSplit, open_preset, open_splits
from l2l_rnn.tasksets.hub.group_splits import SeparateGroups
from l2l_rnn.tasksets.hub.presets import PRESETS
from l2l_rnn.tasksets.hub.rows import RowReader
from l2l_rnn.tasksets.hub.survey import RowCounts, survey


class Texts(SequenceDataset):
    """Labeled texts as token ids, with the pipeline that encoded them.

    Args:
        sequences, labels, classes: as in `SequenceDataset`.
        vocabulary: pipeline that encoded the texts; None if its number of ids is unknown.
        repeats: number of rows dropped because an earlier row of their class has the same text.
        ambiguous: number of rows dropped because another class has the same text.
        groups: as in `SequenceDataset`.
        group_names: the names of the groups; None without groups.
        crossing: number of rows dropped because their group is in another split.
        rows: what became of the rows of the whole dataset, of all splits; None if unknown.

    Attributes:
        vocabulary: as given; pass `len(vocabulary)` as a model's `vocab_size`.
        repeats, ambiguous, groups, group_names, crossing, rows: as given.
    """

    def __init__(
        self,
        sequences: Tensor,
        labels: Tensor,
        classes: Sequence[str],
        vocabulary: Pipeline | None = None,
        repeats: int = 0,
        ambiguous: int = 0,
        groups: Tensor | None = None,
        group_names: Sequence[str] | None = None,
        crossing: int = 0,
        rows: RowCounts | None = None,
    ) -> None:
        super().__init__(sequences, labels, classes, groups=groups)
        self.vocabulary = vocabulary
        self.repeats = repeats
        self.ambiguous = ambiguous
        self.group_names = None if group_names is None else tuple(group_names)
        self.crossing = crossing
        self.rows = rows

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, vocabulary={self.vocabulary!r})"


class TextSources(NamedTuple):
    """The three splits of a text dataset, without common classes.

    Attributes:
        train, validation, test: one `Texts` for each split.
    """

    train: Texts
    validation: Texts
    test: Texts

    @property
    def vocabulary(self) -> Pipeline | None:
        """The pipeline that encoded the texts of all splits; its length is a `vocab_size`."""
        return self.train.vocabulary


def from_hf(
    dataset: Any = None,
    text_column: str | Sequence[str] | None = None,
    label_column: str | None = None,
    tokenizer: str | Callable[[str], Sequence[int]] | Any = None,
    *,
    groups: str | None = None,
    preset: str | None = None,
    splits: Mapping[str, Sequence[str]] | Sequence[float] | None = None,
    seed: int = 0,
    max_length: int = 64,
    max_characters: int | None = None,
    min_items: int = 2,
    drop_empty: bool = False,
    drop_small: bool = False,
    memory: int = 2**30,
    root: str | os.PathLike[str] = "~/data",
) -> TextSources:
    """Return train, validation and test sources of few-shot tasks over your own labeled texts.

    Each class is in one split, so all classes are new at meta-test. The splits of most datasets
    have the same classes, because they were made for standard training; such splits are merged and
    divided by class. If a dataset has a train, validation and test split without common classes,
    they are kept. The files in a folder are splits if their names, or the names of their folders,
    start with train, val, dev or test.

    Rows are read in batches and in two passes, or three if a vocabulary is built. Only the required
    columns are read. A shuffled, selected or filtered dataset is read in its own order.

    Each text is kept once, so that support and query sets have none in common. If texts of one
    class are equal, ignoring case and whitespace, the first is kept. A text that occurs in two
    classes is dropped from both. The attributes `repeats` and `ambiguous` of the sources count the
    dropped rows. Texts are compared up to `max_characters`: two texts that differ only after their
    first `max_length` ids are both kept.

    With `groups`, the support and query set of a task never share a group: no article, speaker or
    session is in both. No group is in two splits either. A group with rows in classes of several
    splits is assigned to one of them, and its rows in the others are dropped; the attribute
    `crossing` counts them. Few rows are lost if most groups belong to one class, and many if every
    group has rows in every class. Draw such tasks with a `TaskLoader`. Tasks drawn one by one, by a
    learn2learn `Taskset`, have the support set in the first half of each class's samples.

    Args:
        dataset: a `datasets.Dataset`, `IterableDataset` or `DatasetDict`; a pandas DataFrame,
            another table that exports Arrow data, a list of dicts, or a dict of columns; a path, or
            a list of paths, of local csv, tsv, json, jsonl, parquet or arrow files; a folder of
            such files, or one written by `save_to_disk`; or a dict from split names to these. Error
            messages count rows from 0; the index of a DataFrame is ignored.
        text_column: name of the column of texts, or of lists of words; several columns are joined
            by a space.
        label_column: name of the column of classes: names, integers, or a `ClassLabel`.
        tokenizer: `"words"` or `"characters"` to build a `WordVocabulary` or `CharacterVocabulary`
            from the train texts alone; `"bytes"` for a `ByteVocabulary`; a text pipeline, which
            maps a string to ids of at least 1; or a `tokenizers.Tokenizer` or torchtext transform
            (their ids are shifted). None is the same as `"characters"`. The sources have the
            pipeline as the attribute `vocabulary`.
        groups: name of the column of groups, such as articles, speakers or sessions: names or
            integers. None puts no constraint on the tasks.
        preset: a name in `PRESETS`, which sets the columns of a well-known dataset. If `dataset` is
            None, it also sets the dataset: the folder `root/NAME` if it exists, otherwise a
            download by `datasets.load_dataset`.
        splits: the classes of each split: a dict of class names for `"train"`, `"validation"` and
            `"test"` (other classes are left out), or three shares of the shuffled classes; every
            split gets at least one class. None keeps the dataset's own splits if possible, and
            otherwise uses (0.6, 0.2, 0.2).
        seed: random seed for shuffling the classes, and for assigning groups that are in classes of
            several splits; the order of the rows does not matter.
        max_length: maximum number of ids per text, and maximum S; longer texts are truncated.
        max_characters: maximum number of characters per text, to limit the time for tokenizing a
            huge text; None uses `16 * max_length`.
        min_items: minimum number of texts per class, without dropped rows.
        drop_empty: whether to drop rows without text, label or group instead of raising an error.
        drop_small: whether to drop classes with fewer than `min_items` texts, or with fewer than
            two groups, instead of raising an error.
        memory: maximum number of bytes of ids in memory. Larger tables are stored in an unnamed
            file under `root`, which is deleted along with the datasets, and read on access.
        root: folder of that file and of the presets.

    Returns:
        One `Texts` for each of train, validation and test; `tasksets_of` makes task sets of them.

    Raises:
        DataError: a column, a file or the preset's data does not exist; the data cannot be read;
            rows have no text, label or group; a column has values of several types; a class has
            too few texts or groups; there are too few classes; or the tokenizer does not return
            ids.
        ArgumentTypeError: an argument has a type that is not listed above.
        ArgumentError: `splits` or a count is invalid.
        ShapeError: the columns of a dict differ in length.
        UnknownNameError: the preset, the tokenizer's name, or a class in `splits`, is unknown.
        MissingExtraError: the package datasets is not installed.

    Example:
        >>> from l2l_rnn.tasksets import tasksets_of
        >>> rows = [{"text": f"{word} {i}", "kind": word} for word in "abcdef" for i in range(4)]
        >>> sources = from_hf(rows, "text", "kind", "characters", splits=(1, 1, 1))
        >>> [len(source.classes) for source in sources], len(sources.vocabulary)
        ([2, 2, 2], 9)
        >>> tasksets_of(sources, 2, 4, 2, 4).test.sample()[0].shape
        torch.Size([8, 3])
    """
    max_length = check_int("from_hf", "max_length", max_length)
    min_items = check_int("from_hf", "min_items", min_items)
    memory = check_int("from_hf", "memory", memory)
    seed = check_int("from_hf", "seed", seed, least=0)
    limit = 16 * max_length
    if max_characters is not None:
        limit = check_int("from_hf", "max_characters", max_characters)
    tokenizer = "characters" if tokenizer is None else tokenizer
    if isinstance(tokenizer, str):
        check_choice("from_hf", "tokenizer", tokenizer, PIPELINES)
    else:
        tokenizer = as_pipeline(tokenizer)
    opened, text, label = _open(dataset, text_column, label_column, groups, preset, root)
    left_out = () if preset is None else PRESETS[preset].left_out
    reader = RowReader(opened, text, label, limit, groups)
    found = before = survey(reader, drop_empty)
    own_splits = [split.name for split in opened]
    split_options = own_splits, splits, seed, min_items, drop_small, left_out
    crossing: Counter[str] = Counter()
    if groups is None:
        classes = split_classes(found, *split_options)
    else:
        separated = SeparateGroups(
            found, reader.names, reader.group_names, seed, min_items, drop_small
        )
        classes = split_classes(separated.without_lone(), *split_options)
        found, classes, crossing = separated.separate(classes)
    rows = ClassRows(reader, found, classes)
    pipeline: Pipeline = (
        PIPELINES[tokenizer](rows.train_texts()) if isinstance(tokenizer, str) else tokenizer
    )
    encoded = rows.encode(pipeline, max_length, memory, Path(root).expanduser() / "l2l_rnn")
    owners = tuple(reader.group_names)
    used = sum(len(labels) for _, labels, _ in encoded)
    row_counts = before.row_counts(used, sum(crossing[name] for names in classes for name in names))
    train, validation, test = (
        Texts(
            sequences,
            labels,
            names,
            None if size_of(pipeline) is None else pipeline,
            sum(found.repeats.get(name, 0) for name in names),
            sum(found.ambiguous.get(name, 0) for name in names),
            *_renumbered(numbers, owners),
            sum(crossing[name] for name in names),
            row_counts,
        )
        for (sequences, labels, numbers), names in zip(encoded, classes, strict=True)
    )
    return TextSources(train, validation, test)


def _renumbered(
    numbers: Tensor | None, names: Sequence[str]
) -> tuple[Tensor | None, tuple[str, ...] | None]:
    """Return the groups of a split, numbered in the order of their names, and these names."""
    if numbers is None:
        return None, None
    found, inverse = numbers.unique(return_inverse=True)
    own = [names[i] for i in found.tolist()]
    order = sorted(range(len(own)), key=own.__getitem__)
    return torch.tensor(order).argsort()[inverse], tuple(own[i] for i in order)


def _open(
    dataset: Any,
    text_column: str | Sequence[str] | None,
    label_column: str | None,
    groups: str | None,
    preset: str | None,
    root: str | os.PathLike[str],
) -> tuple[list[DatasetSplit], tuple[str, ...], str]:
    """Return the splits of the dataset, the columns of its text, and the column of its label."""
    known = None
    if preset is not None:
        known = PRESETS[check_choice("from_hf", "preset", preset, PRESETS)]
        text_column = known.text if text_column is None else text_column
        label_column = known.label if label_column is None else label_column
    text = (text_column,) if isinstance(text_column, str) else tuple(text_column or ())
    if not text or not all(isinstance(column, str) for column in (*text, label_column)):
        raise ArgumentTypeError(
            "from_hf: text_column and label_column must name columns, got "
            f"{text_column!r} and {label_column!r}; pass both, or a preset"
        )
    label = str(label_column)
    if groups is not None and (not isinstance(groups, str) or groups == label):
        raise ArgumentTypeError(
            f"from_hf: groups must be None or the name of a column other than {label!r}, got "
            f"{groups!r}; pass the column of articles, speakers or sessions"
        )
    columns = (*text, label) if groups is None else (*text, label, groups)
    if known is not None and preset is not None:
        return open_preset(preset, known, dataset, root, columns), text, label
    if dataset is None:
        raise ArgumentTypeError("from_hf: dataset or preset must be given, got neither; pass one")
    return open_splits(dataset, columns), text, label
