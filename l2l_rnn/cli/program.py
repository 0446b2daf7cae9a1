"""Entry point of the command: it finds the subcommand, runs it, and returns the exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from l2l_rnn.cli import signals
from l2l_rnn.cli.output import log, show
from l2l_rnn.cli.usage import (
    CLOSED_PIPE,
    ERROR,
    EXIT_CODES,
    INTERRUPTED,
    TERMINATED,
    USAGE,
    Terminated,
    UsageError,
)
from l2l_rnn.errors import L2LRNNError, UnknownNameError
from l2l_rnn.registry import hint

COMMANDS = {
    "list": ("listing", "list task sets, learners, cells, memories and pretrained models"),
    "fit": ("fit", "train a learner on a task set or on your own data, and save it"),
    "evaluate": ("evaluation", "evaluate a saved model on test tasks, or compare two"),
    "predict": ("prediction", "label the rows of a file, given a file of labeled examples"),
    "export": ("export", "export the encoder of a saved model: safetensors, TorchScript, ONNX"),
    "encode": ("encode", "compute and store the states of a pretrained encoder for texts"),
    "doctor": ("doctor", "check the installation: versions, devices, compiled code, derivatives"),
}

_HELP = """usage: l2l-rnn COMMAND [flags]

Train, evaluate and use few-shot learners with recurrent encoders.

commands:
{commands}

Every command has --help with examples, --json for machine-readable output on stdout, and
--debug for the traceback of an error. Logs go to stderr.

examples:
  l2l-rnn list tasksets
  l2l-rnn fit --taskset languages --out languages-model
  l2l-rnn evaluate languages-model --taskset languages --shots 1 5
  l2l-rnn predict languages-model --support labeled.csv --query new.csv

{codes}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: the arguments after the name of the program; None takes those of the process.

    Example:
        >>> main(["--version"])
        l2l-rnn 0.1.0
        0
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    name = given[0] if given and given[0] in COMMANDS else ""
    who = f"l2l-rnn {name}".rstrip()
    with signals.handled(), _plain_warnings(debug):
        try:
            code = _run(given)
            sys.stdout.flush()
            return code
        except BaseException as error:
            if isinstance(error, BrokenPipeError):
                _discard_stdout()
            code, message = _outcome(error, who)
            if debug and not signals.received and not isinstance(error, SystemExit):
                traceback.print_exc()
    if message:
        log(f"{who}: {message.removeprefix(f'{name}: ')}")
    return code


def _outcome(error: BaseException, who: str) -> tuple[int, str]:
    """Return the exit code and the message for an exception.

    After a signal, any exception counts as the signal's: a library that is being imported may have
    caught the first one.
    """
    signal_came = signals.received[-1] if signals.received else None
    if signal_came == signal.SIGTERM or isinstance(error, Terminated):
        return TERMINATED, "terminated"
    if signal_came == signal.SIGINT or isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, BrokenPipeError):
        return CLOSED_PIPE, ""
    if isinstance(error, SystemExit):
        code = 0 if error.code is None else error.code
        return (code, "") if isinstance(code, int) else (ERROR, str(code))
    if isinstance(error, UsageError):
        return USAGE, f"{error}\nRun '{who} --help' for the flags and examples."
    if isinstance(error, UnknownNameError):
        return USAGE, str(error)
    if isinstance(error, (L2LRNNError, OSError, MemoryError)):
        return ERROR, str(error) or type(error).__name__
    text = f"{type(error).__name__}: {error}"
    return ERROR, f"unexpected error: {text}\nRun it with --debug for the traceback."


def _run(given: list[str]) -> int:
    from l2l_rnn import __version__

    if not given or given[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
        show(_HELP.format(commands="\n".join(lines), codes=EXIT_CODES).rstrip())
        return 0 if given else USAGE
    if given[0] == "--version":
        show(f"l2l-rnn {__version__}")
        return 0
    name, *rest = given
    if name not in COMMANDS:
        kind = "flag" if name.startswith("-") else "command"
        raise UsageError(
            f"unknown {kind} {name!r}{hint(name, COMMANDS)} Commands: {', '.join(COMMANDS)}"
        )
    module, summary = COMMANDS[name]
    from l2l_rnn.cli.arguments import read

    command: Any = importlib.import_module(f"l2l_rnn.cli.commands.{module}")
    groups, names = read(f"l2l-rnn {name}", summary, command.GROUPS, command.EXAMPLES, rest)
    options: dict[str, Any] = {"given": names} if name == "fit" else {}
    return int(command.run(*groups, **options))


@contextmanager
def _plain_warnings(debug: bool) -> Iterator[None]:
    """Print a warning as one line, without its place in the code."""
    show = warnings.showwarning

    def plain(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
        ours = category.__module__.startswith("l2l_rnn") or category is UserWarning
        if debug:
            show(message, category, *rest, **options)
        elif ours:
            log(f"warning: {' '.join(str(message).split())}")

    warnings.showwarning = plain
    try:
        yield
    finally:
        warnings.showwarning = show


def _discard_stdout() -> None:
    """Send what is left in the buffer of stdout nowhere, so that Python's exit stays silent."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stdout without a file, as in tests
        pass
