"""SIGINT and SIGTERM: they end the command at once, or after the training step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from l2l_rnn.cli.usage import Terminated

received: list[int] = []
_deferred: list[Callable[[int], None]] = []


@contextmanager
def handled() -> Iterator[None]:
    """Raise `Terminated` for SIGTERM and KeyboardInterrupt for SIGINT; record both."""
    received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def deferred(first: Callable[[int], None]) -> Iterator[None]:
    """Call a function for the first signal, in place of raising; a second one raises.

    Args:
        first: takes the number of the signal; it asks the training to stop.
    """
    _deferred.append(first)
    try:
        yield
    finally:
        _deferred.clear()


def check() -> None:
    """Raise again for a signal whose exception was caught, as libraries do while imported."""
    if received:
        raise KeyboardInterrupt if received[-1] == signal.SIGINT else Terminated


def _stop(number: int, frame: object) -> None:
    received.append(number)
    if _deferred:
        _deferred.pop()(number)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise Terminated
