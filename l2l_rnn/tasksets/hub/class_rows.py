"""Second pass over the rows of a dataset: encoding the texts of each split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.data.class_splits import Classes
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.data.text.pipelines import Pipeline
from l2l_rnn.data.token_store import TokenStore, id_dtype
from l2l_rnn.errors import DataError
from l2l_rnn.tasksets.hub.encoding import encode, size_of
from l2l_rnn.tasksets.hub.rows import RowReader
from l2l_rnn.tasksets.hub.survey import Survey


class _Batch(NamedTuple):
    codes: NDArray[np.int64]  # of the classes
    numbers: NDArray[np.int64]  # of the rows in their split
    texts: list[str]
    groups: NDArray[np.int64] | None
    where: str  # the dataset's name, for error messages


class ClassRows:
    """Rows of the classes that are in a split.

    Args:
        reader: reader of the rows.
        found: result of the first pass.
        classes: class names of each split.
    """

    def __init__(self, reader: RowReader, found: Survey, classes: Classes) -> None:
        self.reader, self.found, self.classes = reader, found, classes
        # The last entry is for rows without a label, which have the code -1.
        self.split_of = np.full(len(reader.names) + 1, -1)
        self.label_of = np.full(len(reader.names) + 1, -1)
        for split, names in enumerate(classes):
            for label, name in enumerate(names):
                self.split_of[reader.names[name]] = split
                self.label_of[reader.names[name]] = label

    def train_texts(self) -> Iterator[str]:
        """Yield the texts of the train split."""
        for _, _, texts, _, _ in self._batches(SPLITS.index("train")):
            yield from texts

    def encode(
        self, pipeline: Pipeline, max_length: int, memory: int, folder: Path
    ) -> list[tuple[Tensor, Tensor, Tensor | None]]:
        """Return the token ids, labels and groups of each split.

        Args:
            pipeline: maps a string to ids.
            max_length: maximum number of ids per text, and maximum S.
            memory: maximum number of bytes in memory; larger tables go to a file.
            folder: folder of that file.

        Shapes:
            token ids (items, S), labels (items,) and groups (items,) of each split; the groups are
            numbers in `RowReader.group_names`, or None.
        """
        size = size_of(pipeline)
        counts = [sum(self.found.counts[name] for name in names) for names in self.classes]
        in_file = sum(counts) * max_length * id_dtype(size).itemsize > memory
        stores: list[TokenStore] = []
        labels: list[list[NDArray[np.int64]]] = [[] for _ in SPLITS]
        groups: list[list[NDArray[np.int64]]] = [[] for _ in SPLITS]
        longest = 1
        try:
            for count in counts:
                stores.append(TokenStore(count, max_length, size, folder if in_file else None))
            for codes, numbers, texts, owners, where in self._batches():
                ids, length = encode(pipeline, texts, max_length, size, numbers, where)
                longest = max(longest, length)
                for split, store in enumerate(stores):
                    own = self.split_of[codes] == split
                    store.append(ids[own])
                    labels[split].append(self.label_of[codes[own]])
                    if owners is not None:
                        groups[split].append(owners[own])
            return [
                (
                    store.tensor(longest),
                    torch.from_numpy(np.concatenate(own_labels)),
                    torch.from_numpy(np.concatenate(own_groups)) if own_groups else None,
                )
                for store, own_labels, own_groups in zip(stores, labels, groups, strict=True)
            ]
        finally:
            for store in stores:
                store.discard()

    def _batches(self, only: int | None = None) -> Iterator[_Batch]:
        """Yield batches of the rows of one or all splits.

        Raises:
            DataError: the rows differ from the first pass.
        """
        first_pass = zip(self.found.codes, self.found.kept, strict=True)
        where = "the dataset"
        for rows in self.reader:
            where = self.reader.where(self.reader.splits[rows.split])
            batch = next(first_pass, None)
            if batch is None or not np.array_equal(batch[0], rows.codes):
                raise _changed(where)
            split = self.split_of[rows.codes]
            keep = batch[1] & ~rows.blank & ((split >= 0) if only is None else (split == only))
            if keep.any():
                (numbers,) = keep.nonzero()
                texts = rows.texts.take(numbers).to_pylist()
                owners = None if rows.groups is None else rows.groups[keep]
                yield _Batch(rows.codes[keep], numbers + rows.first, texts, owners, where)
        if next(first_pass, None) is not None:
            raise _changed(where)


def _changed(where: str) -> DataError:
    return DataError(
        f"from_hf: {where} must yield the same rows in every pass, got different rows in the "
        "second one; convert it to a datasets.Dataset"
    )
