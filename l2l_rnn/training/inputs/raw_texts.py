"""Raw texts of many containers, as a list of str."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from l2l_rnn.checks import shown
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError

# Unicode's categories of characters without content: separators, punctuation, control characters.
_NO_CONTENT = frozenset("ZPC")


def raw_texts(who: str, raw: Any) -> list[str]:
    """Return texts as a list of str; no text may be missing.

    Args:
        who: begins the error message.
        raw: a list or another iterable of str, an array, a pandas Series, or a data frame with one
            column.

    Raises:
        ArgumentTypeError: the value is a single str, or holds something other than texts.
        ShapeError: an array has several columns.
        ArgumentError: a data frame has several columns.
        DataError: there is no text, or one is missing (None or NaN).

    Example:
        >>> raw_texts("me", np.array([["one"], ["two"]]))
        ['one', 'two']
    """
    values = _values(who, raw)
    if not values:
        raise DataError(f"{who}: expected at least one text, got none; pass some")
    for row, value in enumerate(values):
        if isinstance(value, str):
            continue
        if _is_missing(value):
            raise DataError(
                f"{who}: row {row} must hold a text, got {shown(value)}; drop the row or fill it in"
            )
        if isinstance(value, (bytes, bytearray)):
            raise ArgumentTypeError(
                f"{who}: row {row} must hold a str, got {type(value).__name__}; decode it"
            )
        raise ArgumentTypeError(
            f"{who}: row {row} must hold a str, got {type(value).__name__}; this model reads "
            "texts: convert the row with str(), or use a model for this kind of input"
        )
    return [str(value) for value in values]  # also those of a subclass, such as numpy.str_


def _values(who: str, raw: Any) -> list[Any]:
    if isinstance(raw, (str, bytes, bytearray)):
        raise ArgumentTypeError(
            f"{who}: texts must be a list of str, got one {type(raw).__name__}; pass [text]"
        )
    columns = getattr(raw, "columns", None)
    if columns is not None and getattr(raw, "ndim", 2) == 2:  # a data frame
        names = [str(name) for name in columns]
        if len(names) != 1:
            raise ArgumentError(
                f"{who}: a data frame of texts must have one column, got {len(names)} "
                f"({', '.join(names[:10])}); select one, such as frame[{(names or ['text'])[0]!r}]"
            )
        raw = raw[columns[0]]
    if isinstance(raw, Tensor) or (
        isinstance(raw, np.ndarray) and raw.dtype.kind not in "OUS" and raw.size
    ):
        raise ArgumentTypeError(
            f"{who}: texts must be str, got {type(raw).__name__} of {raw.dtype} with shape "
            f"{tuple(raw.shape)}; this model reads texts, so use a model for this kind of input"
        )
    if isinstance(raw, np.ndarray):
        if raw.ndim == 2 and raw.shape[1] == 1:
            raw = raw[:, 0]
        if raw.ndim != 1:
            raise ShapeError(
                f"{who}: an array of texts must be (B,) or (B, 1), got shape {raw.shape}; select "
                "one column"
            )
        return list(raw)
    if isinstance(raw, Mapping) or not isinstance(raw, Iterable):
        raise ArgumentTypeError(
            f"{who}: texts must be a list, array, Series or data frame of str, got "
            f"{type(raw).__name__}; pass a list"
        )
    for name in ("to_pylist", "to_list"):  # of pyarrow, pandas and polars
        if hasattr(raw, name):
            return list(getattr(raw, name)())
    return list(raw)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # of pandas
        return True
    return isinstance(value, (float, np.floating)) and bool(value != value)


def without_punctuation(text: str, replacement: str) -> str:
    """Return a text with spaces, punctuation and control characters replaced.

    A text that has nothing else is returned unchanged.

    Example:
        >>> without_punctuation("no, no!", ""), without_punctuation("?!", "")
        ('nono', '?!')
    """
    kept = [
        replacement if unicodedata.category(character)[0] in _NO_CONTENT else character
        for character in text
    ]
    return "".join(kept) if any(c != replacement for c in kept) else text
