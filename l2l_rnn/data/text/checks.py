"""Checks of texts, token ids and saved files, shared by all text pipelines."""

from __future__ import annotations

import os
from collections.abc import Iterable

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError


def check_text(who: str, text: object) -> str:
    """Return `text` if it is a str.

    Raises:
        ArgumentTypeError: it is not.
    """
    if not isinstance(text, str):
        raise ArgumentTypeError(
            f"{who}: a text must be a str, got {type(text).__name__}; decode bytes first"
        )
    return text


def check_ids(who: str, ids: Iterable[int], size: int) -> list[int]:
    """Return `ids` as a list if each lies in 0 .. `size` - 1.

    Raises:
        ArgumentError: one does not.
    """
    ids = [int(i) for i in ids]
    for i in ids:
        if not 0 <= i < size:
            raise ArgumentError(
                f"{who}: ids must lie in 0 .. {size - 1}, got {i}; "
                "decode with the pipeline that encoded them"
            )
    return ids


def check_saved(who: str, path: str | os.PathLike[str], valid: bool, expected: str) -> None:
    """Raise an error if the content of a saved file is not `valid`.

    Args:
        who: prefix of the error message.
        path: the file.
        valid: whether its content is valid.
        expected: description of the expected content.

    Raises:
        DataError: `valid` is False.
    """
    if not valid:
        raise DataError(f"{who}: {path} must contain {expected}, got something else; save it again")
