"""Few-shot text tasks from one's own texts: a dataset of the package `datasets`, or local files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.text.pipelines import Pipeline, as_pipeline
from l2l_rnn.data.text.vocabulary import CharacterVocabulary
from l2l_rnn.data.token_store import TokenStore, id_dtype
from l2l_rnn.errors import ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.registry import hint
from l2l_rnn.tasksets.hub.class_splits import Classes, Survey, part_classes, survey
from l2l_rnn.tasksets.hub.encoding import encode, size_of
from l2l_rnn.tasksets.hub.files import Part, open_parts, open_preset
from l2l_rnn.tasksets.hub.presets import PRESETS
from l2l_rnn.tasksets.hub.rows import RowReader
from l2l_rnn.tasksets.text.encoding import checked_count


class Texts(SequenceDataset):
    """Holds texts as token ids, with the pipeline that made them.

    Args:
        sequences, labels, classes: as `SequenceDataset`.
        vocabulary: the pipeline from a text to its ids; None if it does not say how many there are.
        repeats: rows that were left out, since an earlier one of their class has the same text.
        ambiguous: rows that were left out, since another class has the same text.

    Attributes:
        vocabulary: as given; `len(vocabulary)` is the `vocab_size` of a model.
        repeats, ambiguous: as given.
    """

    def __init__(
        self,
        sequences: Tensor,
        labels: Tensor,
        classes: Sequence[str],
        vocabulary: Pipeline | None = None,
        repeats: int = 0,
        ambiguous: int = 0,
    ) -> None:
        super().__init__(sequences, labels, classes)
        self.vocabulary = vocabulary
        self.repeats = repeats
        self.ambiguous = ambiguous


class TextSources(NamedTuple):
    """The three splits of a text dataset, which share no class.

    Attributes:
        train, validation, test: a `SequenceDataset` each.
    """

    train: Texts
    validation: Texts
    test: Texts


def from_hf(
    dataset: Any = None,
    text_column: str | Sequence[str] | None = None,
    label_column: str | None = None,
    tokenizer: Callable[[str], Sequence[int]] | Any = None,
    *,
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
    """Return train, validation and test sources of few-shot tasks over labelled texts of your own.

    Each class stands in one split, so that meta-test classes are unseen. A dataset's own splits
    mostly show the same classes, for they were made for ordinary training: then they are put
    together and parted anew, by class. Where its splits are a train, a validation and a test split
    that share no class already, they stay as they are. The files of a folder are such splits where
    their names, or those of the folders they are in, begin with train, val, dev or test.

    The rows are read some thousands at a time, only the columns that are wanted, in two passes
    (three where the vocabulary is made here). A shuffled, selected or filtered dataset is read as
    it shows itself.

    A text stands once, so that support and query share none: of those of a class that are alike,
    case and spaces aside, the first is kept, and a text that two classes have is left out of both.
    The sources count those rows as `repeats` and `ambiguous`. Texts are compared up to
    `max_characters`; of two that differ later than their first `max_length` ids both are kept.

    Args:
        dataset: a `datasets.Dataset`, `IterableDataset` or `DatasetDict`; a path, or a list of
            paths, of local csv, tsv, json, jsonl, parquet or arrow files; a folder of such files,
            or one that `save_to_disk` wrote; or a dict from split to one of these.
        text_column: the column of the texts, or of lists of words; several are joined by a space.
        label_column: the column of the classes: names, whole numbers, or a `ClassLabel`.
        tokenizer: a text pipeline, from a string to ids of 1 and more; a `tokenizers.Tokenizer` or
            a torchtext transform, which is shifted for that; None makes a `CharacterVocabulary`
            of the train texts.
        preset: a name in `PRESETS`, which stands for the columns of a well-known dataset, and for
            the dataset: the one given, or the folder `root/NAME`, or else what
            `datasets.load_dataset` gets.
        splits: which classes stand where: a dict of class names for `"train"`, `"validation"` and
            `"test"` (classes in none of them are left out), or three shares of the classes; these
            are then shuffled by `seed`, and every split gets one or more. None keeps the
            dataset's own splits where that is possible, and otherwise is (0.6, 0.2, 0.2).
        seed: of that shuffling, which does not depend on the order of the rows.
        max_length: ids that are kept of each text, its first; S is at most that.
        max_characters: characters that are kept of each text before it is tokenised, so that one
            huge text takes no longer than another; None keeps 16 for each id.
        min_items: how many texts a class must have that are neither repeats nor ambiguous.
        drop_empty: whether rows without text or label are left out; otherwise they are an error.
        drop_small: whether classes of fewer than `min_items` are left out; otherwise an error.
        memory: bytes that ids may take in memory; more are put in a file under `root` without a
            name, which is gone with the datasets, and read as they are looked up.
        root: a folder, for that and for the presets.

    Returns:
        A `SequenceDataset` each for train, validation and test, with the attribute `vocabulary`;
        `tasksets_of` makes them task sets.

    Raises:
        DataError: a column, a file or the preset's data is not there; the data cannot be read; rows
            have no text or label; labels are of several types; a class is too small; there are too
            few classes; or the tokenizer gives no ids.
        ArgumentTypeError: an argument is of a type that is not named above.
        ArgumentError: `splits` or a count cannot be used.
        UnknownNameError: the preset, or a class in `splits`, is not known.
        MissingExtraError: the package datasets is not installed.

    Example:
        >>> import datasets
        >>> from l2l_rnn.tasksets import tasksets_of
        >>> rows = [{"text": f"{word} {i}", "kind": word} for word in "abcdef" for i in range(4)]
        >>> sources = from_hf(datasets.Dataset.from_list(rows), "text", "kind", splits=(1, 1, 1))
        >>> [len(source.classes) for source in sources]
        [2, 2, 2]
        >>> tasksets_of(sources, 2, 4, 2, 4).test.sample()[0].shape
        torch.Size([8, 3])
    """
    max_length, min_items, memory, limit = (
        checked_count("from_hf", what, count)
        for what, count in (
            ("max_length", max_length),
            ("min_items", min_items),
            ("memory", memory),
            ("max_characters", 2**31 - 1 if max_characters is None else max_characters),
        )
    )
    limit = 16 * max_length if max_characters is None else limit
    seed = checked_count("from_hf", "seed", seed, least=0)
    pipeline = None if tokenizer is None else as_pipeline(tokenizer)
    parts, text, label = _opened(dataset, text_column, label_column, preset, root)
    left_out = () if preset is None else PRESETS[preset].left_out
    reader = RowReader(parts, text, label, limit)
    found = survey(reader, drop_empty)
    names = [part.name for part in parts]
    classes = part_classes(found, names, splits, seed, min_items, drop_small, left_out)
    chosen = _Chosen(reader, found, classes)
    if pipeline is None:
        train = (text for _, _, texts, _ in chosen.texts(only=0) for text in texts)
        pipeline = CharacterVocabulary(train)
    return chosen.stored(pipeline, max_length, memory, Path(root).expanduser() / "l2l_rnn")


class _Chosen:
    """The rows of the classes that stand in a split."""

    def __init__(self, reader: RowReader, found: Survey, classes: Classes) -> None:
        self.reader, self.found, self.classes = reader, found, classes
        # The last place is that of rows without a class, whose code is -1.
        self.split_of = np.full(len(reader.names) + 1, -1)
        self.label_of = np.full(len(reader.names) + 1, -1)
        for split, names in enumerate(classes):
            for label, name in enumerate(names):
                self.split_of[reader.names[name]] = split
                self.label_of[reader.names[name]] = label

    def texts(
        self, only: int | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], list[str], str]]:
        """Yield class codes, row numbers and texts, and the part's name; of all splits or one."""
        batches = zip(self.found.codes, self.found.kept, strict=True)
        where = "the dataset"
        for rows in self.reader:
            where = self.reader.where(self.reader.parts[rows.part])
            batch = next(batches, None)
            if batch is None or not np.array_equal(batch[0], rows.codes):
                raise _changed(where)
            split = self.split_of[rows.codes]
            keep = batch[1] & ~rows.blank & ((split >= 0) if only is None else (split == only))
            if keep.any():
                (numbers,) = keep.nonzero()
                texts = rows.texts.take(numbers).to_pylist()
                yield rows.codes[keep], numbers + rows.first, texts, where
        if next(batches, None) is not None:
            raise _changed(where)

    def stored(self, pipeline: Pipeline, width: int, memory: int, folder: Path) -> TextSources:
        size = size_of(pipeline)
        counts = [sum(self.found.counts[name] for name in names) for names in self.classes]
        large = sum(counts) * width * id_dtype(size).itemsize > memory
        stores: list[TokenStore] = []
        labels: list[list[NDArray[np.int64]]] = [[], [], []]
        longest = 1
        try:
            for count in counts:
                stores.append(TokenStore(count, width, size, folder if large else None))
            for codes, numbers, texts, where in self.texts():
                ids, length = encode(pipeline, texts, width, size, numbers, where)
                longest = max(longest, length)
                for split, store in enumerate(stores):
                    here = self.split_of[codes] == split
                    store.append(ids[here])
                    labels[split].append(self.label_of[codes[here]])
            train, validation, test = (
                Texts(
                    store.tensor(longest),
                    torch.from_numpy(np.concatenate(given)),
                    names,
                    None if size is None else pipeline,
                    sum(self.found.repeats.get(name, 0) for name in names),
                    sum(self.found.ambiguous.get(name, 0) for name in names),
                )
                for store, given, names in zip(stores, labels, self.classes, strict=True)
            )
        finally:
            for store in stores:
                store.discard()
        return TextSources(train, validation, test)


def _changed(where: str) -> DataError:
    return DataError(
        f"from_hf: {where} must give the same rows each time it is read, got others the second "
        "time; make a datasets.Dataset of it"
    )


def _opened(
    dataset: Any,
    text_column: str | Sequence[str] | None,
    label_column: str | None,
    preset: str | None,
    root: str | os.PathLike[str],
) -> tuple[list[Part], tuple[str, ...], str]:
    """Return the parts of the dataset, the columns of its text, and that of its label."""
    known = None
    if preset is not None:
        if preset not in PRESETS:
            raise UnknownNameError(
                f"from_hf: unknown preset {preset!r}{hint(str(preset), PRESETS)} "
                f"Known: {', '.join(PRESETS)}"
            )
        known = PRESETS[preset]
        text_column = known.text if text_column is None else text_column
        label_column = known.label if label_column is None else label_column
    text = (text_column,) if isinstance(text_column, str) else tuple(text_column or ())
    if not text or not all(isinstance(column, str) for column in (*text, label_column)):
        raise ArgumentTypeError(
            "from_hf: text_column and label_column must name columns, got "
            f"{text_column!r} and {label_column!r}; give both, or a preset"
        )
    label = str(label_column)
    if known is not None and preset is not None:
        known = known._replace(text=text, label=label)
        return open_preset(preset, known, dataset, root), text, label
    if dataset is None:
        raise ArgumentTypeError("from_hf: dataset or preset must be given, got neither; give one")
    return open_parts(dataset, (*text, label)), text, label
