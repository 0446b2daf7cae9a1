"""Encoding of batches of texts as rows of token ids, with checks of the tokenizer's output."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import shown
from l2l_rnn.data.text.pipelines import Pipeline
from l2l_rnn.errors import DataError


def size_of(pipeline: Pipeline) -> int | None:
    """Return the number of distinct ids of a pipeline, or None if it has no length."""
    try:
        return len(pipeline)  # type: ignore[arg-type] # a function has no length
    except TypeError:
        return None


def encode(
    pipeline: Pipeline,
    texts: Sequence[str],
    max_length: int,
    size: int | None,
    numbers: NDArray[np.int64],
    where: str,
) -> tuple[NDArray[np.int64], int]:
    """Return the ids of texts, truncated to `max_length` and padded with 0, and the maximum length.

    Args:
        pipeline: maps a string to ids.
        texts: the texts to encode, at least one.
        max_length: maximum number of ids per text.
        size: number of distinct ids of the pipeline; None if unknown.
        numbers: row number of each text, for error messages.
        where: description of the dataset, for error messages.

    Shapes:
        returns (texts, max_length) int64.

    Raises:
        DataError: the pipeline returns something other than a list of ids from 1 to `size` - 1.
    """
    batch = getattr(pipeline, "encode_batch", None)
    given = [pipeline(text) for text in texts] if batch is None else batch(texts)
    lists = [
        _id_list(ids, row, where)[:max_length] for row, ids in zip(numbers, given, strict=True)
    ]
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = _flat(lists)
    if flat is None or not lengths.all() or flat.min() < 1 or (size and flat.max() >= size):
        _raise_for_ids(lists, size, numbers, where)
    rows = np.zeros((len(lists), max_length), np.int64)
    rows[np.arange(max_length) < lengths[:, None]] = flat
    return rows, int(lengths.max())


def _id_list(ids: Any, row: np.int64, where: str) -> Any:
    if isinstance(ids, np.ndarray) and ids.ndim == 1 and ids.dtype.kind in "iu":
        return ids
    if hasattr(ids, "tolist"):
        ids = ids.tolist()
    if not isinstance(ids, list | tuple):
        raise DataError(
            f"from_hf: tokenizer must return a list of ids, got {type(ids).__name__} for row "
            f"{row} of {where}; wrap it in a function that returns the list"
        )
    return ids


def _flat(lists: Sequence[Any]) -> NDArray[np.int64] | None:
    """Return all ids as one array, or None unless all are integers below 2**31."""
    try:
        if all(isinstance(ids, np.ndarray) for ids in lists):
            flat = np.concatenate(lists)
        else:
            flat = np.array(list(itertools.chain.from_iterable(lists)))
    except (ValueError, OverflowError):
        return None
    whole = flat.dtype.kind in "iu" and flat.ndim == 1 and flat.size > 0
    return flat if whole and flat.max() < 2**31 else None


def _raise_for_ids(
    lists: Sequence[Any], size: int | None, numbers: NDArray[np.int64], where: str
) -> None:
    """Raise a DataError that names the first bad id or empty list."""
    above = 2**31 if size is None else size
    for row, ids in zip(numbers, lists, strict=True):
        for i in ids:
            whole = isinstance(i, int | np.integer) and not isinstance(i, bool)
            if not whole or not 0 < i < above:
                raise DataError(
                    f"from_hf: tokenizer must return ids from 1 to {above - 1} (0 is padding), "
                    f"got {shown(i)} for row {row} of {where}; shift or convert them"
                )
        if len(ids) == 0:
            raise DataError(
                f"from_hf: tokenizer must return at least one id, got none for row {row} of "
                f"{where}; return [1], the unknown id, for a text without tokens"
            )
