"""Texts to rows of token ids, some thousands at a time, with a check of what a tokeniser gives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.data.text.pipelines import Pipeline
from l2l_rnn.errors import DataError


def size_of(pipeline: Pipeline) -> int | None:
    """Return how many ids a pipeline has, where it says so."""
    try:
        return len(pipeline)  # type: ignore[arg-type] # a function has no length
    except TypeError:
        return None


def encode(
    pipeline: Pipeline,
    texts: Sequence[str],
    width: int,
    size: int | None,
    numbers: NDArray[np.int64],
    where: str,
) -> tuple[NDArray[np.int64], int]:
    """Return the ids of texts, each cut to `width` and padded with 0, and the longest's length.

    Args:
        pipeline: from a string to ids.
        texts: what is encoded, one text or more.
        width: ids that are kept of each text.
        size: how many ids there are; None if unknown.
        numbers: the rows that the texts stand in, and
        where: the dataset they are rows of, for messages.

    Raises:
        DataError: the pipeline gives something else than a list of ids, 1 or more and below `size`.
    """
    batch = getattr(pipeline, "encode_batch", None)
    given = [pipeline(text) for text in texts] if batch is None else batch(texts)
    lists = [_list(ids, row, where)[:width] for row, ids in zip(numbers, given, strict=True)]
    lengths = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = _flat(lists)
    if flat is None or not lengths.all() or flat.min() < 1 or (size and flat.max() >= size):
        _complain(lists, size, numbers, where)
    rows = np.zeros((len(lists), width), np.int64)
    rows[np.arange(width) < lengths[:, None]] = flat
    return rows, int(lengths.max())


def _list(ids: Any, row: np.int64, where: str) -> Any:
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
    """Return all ids as one array, or None if some are no ids."""
    try:
        if all(isinstance(ids, np.ndarray) for ids in lists):
            flat = np.concatenate(lists)
        else:
            flat = np.array(list(itertools.chain.from_iterable(lists)))
    except (ValueError, OverflowError):
        return None
    whole = flat.dtype.kind in "iu" and flat.ndim == 1 and flat.size > 0
    return flat if whole and flat.max() < 2**31 else None


def _complain(
    lists: Sequence[Any], size: int | None, numbers: NDArray[np.int64], where: str
) -> None:
    above = 2**31 if size is None else size
    for row, ids in zip(numbers, lists, strict=True):
        for i in ids:
            whole = isinstance(i, int | np.integer) and not isinstance(i, bool)
            if not whole or not 0 < i < above:
                raise DataError(
                    f"from_hf: tokenizer must return ids from 1 to {above - 1}, for 0 is padding, "
                    f"got {i!r} for row {row} of {where}; shift or convert them"
                )
        if len(ids) == 0:
            raise DataError(
                f"from_hf: tokenizer must return at least one id, got none for row {row} of "
                f"{where}; return [1], unknown, for such a text"
            )
