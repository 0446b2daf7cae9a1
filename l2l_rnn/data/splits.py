"""The names of the three splits of a task set."""

from __future__ import annotations

from typing import Literal

from l2l_rnn.checks import check_choice

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def check_split(who: str, split: object) -> Split:
    """Return `split` if it is the name of a split.

    Raises:
        UnknownNameError: it is not; the message suggests similar names.

    Example:
        >>> check_split("Languages", "test")
        'test'
    """
    check_choice(who, "split", split, SPLITS)
    return split  # type: ignore[return-value]
