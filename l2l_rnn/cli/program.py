"""Entry point of the command: it finds the subcommand, runs it, and returns the exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
    with _signals() as received, _plain_warnings(debug):
        try:
            code = _run(given)
            sys.stdout.flush()
            return code
        except UsageError as error:
            code, message = USAGE, f"{error}\nRun '{who} --help' for the flags and examples."
        except UnknownNameError as error:
            code, message = USAGE, str(error)
        except KeyboardInterrupt:
            code, message = INTERRUPTED, "interrupted"
        except Terminated:
            code, message = TERMINATED, "terminated"
        except BrokenPipeError:
            _discard_stdout()
            return CLOSED_PIPE
        except SystemExit as end:
            code, message = _code_of(end, received), ""
        except (L2LRNNError, OSError, MemoryError) as error:
            code, message = ERROR, str(error) or type(error).__name__
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            code, message = (
                ERROR,
                f"unexpected error: {text}\nRun it with --debug for the traceback.",
            )
        if debug and code not in (0, INTERRUPTED, TERMINATED):
            traceback.print_exc()
    if message:
        log(f"{who}: {message}")
    return code


def _run(given: list[str]) -> int:
    from l2l_rnn import __version__

    if not given or given[0] in ("-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        lines = [f"  {name:{width}}  {summary}" for name, (_, summary) in COMMANDS.items()]
        print(_HELP.format(commands="\n".join(lines), codes=EXIT_CODES).rstrip())
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
    groups = read(f"l2l-rnn {name}", summary, command.GROUPS, command.EXAMPLES, rest)
    return int(command.run(*groups))


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Turn SIGTERM into `Terminated`, and yield a list of the signals that came."""
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


def _code_of(end: SystemExit, received: list[int]) -> int:
    """Return the exit code of a SystemExit; Lightning raises one after a signal."""
    if received:
        return TERMINATED if received[-1] == signal.SIGTERM else INTERRUPTED
    return end.code if isinstance(end.code, int) else 0 if end.code is None else ERROR


def _discard_stdout() -> None:
    """Send what is left in the buffer of stdout nowhere, so that Python's exit stays silent."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # a stdout without a file, as in tests
        pass
