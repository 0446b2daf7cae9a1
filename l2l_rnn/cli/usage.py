"""Exit codes, and the errors of a wrong command line."""

from __future__ import annotations

from collections.abc import Sequence

from l2l_rnn.errors import ArgumentError

ERROR, USAGE, INTERRUPTED, CLOSED_PIPE, TERMINATED = 1, 2, 130, 141, 143

EXIT_CODES = """exit codes:
  0    success
  1    error, such as an unreadable file; the message is on stderr
  2    wrong usage: an unknown flag or name, or settings that contradict each other
  130  interrupted (SIGINT, Ctrl+C)
  141  the reader of stdout closed it, such as head
  143  terminated (SIGTERM)"""


class UsageError(ArgumentError):
    """The command line is wrong."""


class Terminated(BaseException):
    """The process received SIGTERM."""


def refuse(problems: Sequence[str]) -> None:
    """Raise one UsageError that names all problems, if there are any.

    Raises:
        UsageError: `problems` is not empty.

    Example:
        >>> refuse([])
        >>> refuse(["--a needs --b", "--c is unknown"])
        Traceback (most recent call last):
        ...
        l2l_rnn.cli.usage.UsageError: 2 problems:
          --a needs --b
          --c is unknown
    """
    if len(problems) == 1:
        raise UsageError(problems[0])
    if problems:
        raise UsageError("\n  ".join([f"{len(problems)} problems:", *problems]))
