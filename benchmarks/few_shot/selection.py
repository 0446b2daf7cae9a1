"""Choice of some methods of an experiment, by label, name or pattern."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from benchmarks.few_shot.spec import Entry
from l2l_rnn.errors import UnknownNameError
from l2l_rnn.registry import hint


def selected(entries: Sequence[Entry], only: str) -> tuple[Entry, ...]:
    """Return the entries with the given labels, in the order of the experiment.

    Args:
        entries: all methods.
        only: labels, separated by commas; a label may itself have commas. The name of a method
            without its variant stands for all variants, and `*` for any text. Case is ignored.

    Raises:
        UnknownNameError: a label is unknown; the message suggests similar ones.
    """
    chosen: set[str] = set()
    parts = only.split(",")
    while parts:
        for count in range(len(parts), 0, -1):  # the longest label first
            found = _matching(entries, ",".join(parts[:count]))
            if found:
                chosen |= found
                parts = parts[count:]
                break
        else:
            raise _unknown(entries, parts[0].strip())
    return tuple(entry for entry in entries if entry.label in chosen)


def _matching(entries: Sequence[Entry], text: str) -> set[str]:
    pattern = text.strip().casefold()
    return {
        entry.label
        for entry in entries
        if any(fnmatchcase(name.casefold(), pattern) for name in (entry.label, entry.name))
    }


def _unknown(entries: Sequence[Entry], text: str) -> UnknownNameError:
    labels = [entry.label for entry in entries]
    similar = hint(text, dict.fromkeys([*labels, *(entry.name for entry in entries)]))
    return UnknownNameError(f"unknown method {text!r}{similar} Known:\n  " + "\n  ".join(labels))
