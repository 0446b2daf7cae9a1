"""What every text pipeline checks alike: that a text is a str, and that ids are its own."""

from __future__ import annotations

from collections.abc import Iterable

from l2l_rnn.errors import ArgumentError, ArgumentTypeError


def checked_text(who: str, text: object) -> str:
    """Return `text`, or raise an ArgumentTypeError unless it is a str."""
    if not isinstance(text, str):
        raise ArgumentTypeError(
            f"{who}: a text must be a str, got {type(text).__name__}; decode bytes first"
        )
    return text


def checked_ids(who: str, ids: Iterable[int], size: int) -> list[int]:
    """Return `ids` as a list, or raise an ArgumentError unless each lies in 0 .. `size` - 1."""
    ids = [int(i) for i in ids]
    for i in ids:
        if not 0 <= i < size:
            raise ArgumentError(
                f"{who}: ids must lie in 0 .. {size - 1}, got {i}; "
                "decode with the pipeline that encoded"
            )
    return ids
