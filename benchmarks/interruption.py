"""Clean end of a command after SIGINT (Ctrl-C) or SIGTERM: a message and an exit status.

A command saves each part of its work as soon as it is done, so nothing is left to do when a signal
arrives. The handler prints what was saved and ends the process at once. It raises no exception,
which C code, destructors and callbacks could swallow, or print as a traceback.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """What happens when a signal arrives.

    Attributes:
        saved: sentence that says what has been saved so far.
        advice: sentence that says how to continue.
        received: number of the signal that arrived, or None.
        raises: whether the next signal raises `KeyboardInterrupt`, for code that still has to
            evaluate what it trained. A second signal then ends the process.
    """

    def __init__(self) -> None:
        self.saved = "Nothing was computed yet."
        self.advice = ""
        self.received: int | None = None
        self.raises = False
        self._held = self._pending = False
        self._process = os.getpid()

    def install(self) -> None:
        """Handle the signals from now on, except those that the parent process ignores."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let the block finish before a signal takes effect."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending:
            self._take_effect()

    @property
    def message(self) -> str:
        """What was saved, and how to continue."""
        return f"{self.saved}\n{self.advice}".strip()

    @property
    def status(self) -> int:
        """The exit status after the signal that arrived: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + (self.received or signal.SIGINT)

    def end(self) -> None:
        """Print the message and end the process; a forked process ends without the message."""
        if os.getpid() != self._process:
            os._exit(self.status)
        name = signal.Signals(self.received or signal.SIGINT).name
        with contextlib.suppress(Exception):  # a signal may arrive while the stream is in use
            sys.stdout.flush()
        with contextlib.suppress(OSError):  # nobody may read the message
            os.write(2, f"\nInterrupted by {name}. {self.message}\n".encode())
        os._exit(self.status)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if self._held:
            self._pending = True
        else:
            self._take_effect()

    def _take_effect(self) -> None:
        self._pending = False
        if not self.raises:
            self.end()
        self.raises = False
        raise KeyboardInterrupt


interruption = Interruption()
