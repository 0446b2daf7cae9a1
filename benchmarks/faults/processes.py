"""Processes that may be killed, and start at once, because they are forks of one that waits.

Importing torch, learn2learn and Lightning takes seconds. `Starter` does it once, in a process of
its own that runs no other thread of Python, so that forking it is safe.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


class Process:
    """A process that may be killed.

    Attributes:
        pid: its id, which no other process has before `wait` returns.
        log: the file of what it writes to stdout and stderr.
    """

    def __init__(
        self, pid: int, log: Path, ended: Callable[[float], bool], reap: Callable[[], int]
    ) -> None:
        self.pid, self.log = pid, log
        self._ended, self._reap = ended, reap

    def ended(self, seconds: float = 0.0) -> bool:
        """Return whether it ends within some seconds."""
        return self._ended(seconds)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def wait(self, seconds: float = 120.0) -> int:
        """Return its exit status, or minus the signal that ended it.

        Raises:
            TimeoutError: it does not end in time.
        """
        if not self.ended(seconds):
            raise TimeoutError(f"process {self.pid} still runs; see {self.log}")
        return self._reap()


class Starter:
    """Starts one process after the other, as forks of a process that has imported everything.

    Args:
        function: the function that each process calls, as `"module:name"`. It is called with
            strings or other JSON.
        prepare: a function without arguments to call once, before any fork; likewise.
        path: a further folder to import from.
    """

    def __init__(self, function: str, prepare: str | None = None, path: Path | None = None) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", __name__, function, *([prepare] if prepare else [])],
            env=environment(*([path] if path else [])),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read()  # it is ready
        self._process: Process | None = None

    def __enter__(self) -> Starter:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._server.stdin.close()  # type: ignore[union-attr]
        self._server.stdout.close()  # type: ignore[union-attr]
        self._server.kill()  # forks of this process may keep its input open
        self._server.wait()

    def start(self, log: Path, *arguments: Any) -> Process:
        """Start a process; the one before is killed if `wait` was not called."""
        self._end()
        self._write({"arguments": arguments, "log": str(log)})
        self._process = Process(self._read(), log, self._can_read, self._status)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _status(self) -> int:
        self._read()
        self._write("reap")
        self._process = None
        return self._read()

    def _can_read(self, seconds: float) -> bool:
        return bool(select.select([self._server.stdout], [], [], seconds)[0])

    def _write(self, message: Any) -> None:
        self._server.stdin.write(json.dumps(message).encode() + b"\n")  # type: ignore[union-attr]
        self._server.stdin.flush()  # type: ignore[union-attr]

    def _read(self) -> Any:
        # Unbuffered, so that `select` sees what is not read yet.
        line, descriptor = b"", self._server.stdout.fileno()  # type: ignore[union-attr]
        while not line.endswith(b"\n"):
            if not (part := os.read(descriptor, 1)):
                raise RuntimeError("the process that starts others has ended")
            line += part
        return json.loads(line)


def new_interpreter(log: Path, *command: str) -> Process:
    """Start Python in a process of its own, as a user does.

    Args:
        log: the file of its output.
        command: arguments of Python, such as `"-m", "benchmarks.faults.problem"`.
    """
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )

    def ended(seconds: float) -> bool:
        end = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        return process.poll() is not None

    return Process(process.pid, log, ended, process.wait)


def environment(*folders: Path) -> dict[str, str]:
    """Return the environment of a process that imports this repository, with one thread.

    Args:
        folders: further folders to import from.
    """
    path = [*map(str, (_ROOT, *folders)), os.environ.get("PYTHONPATH", "")]
    variables = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, path))}
    return {**os.environ, **variables}


def _named(name: str) -> Callable[..., Any]:
    module, _, attribute = name.partition(":")
    return functools.reduce(getattr, attribute.split("."), importlib.import_module(module))


def _serve(function: str, prepare: str | None = None) -> None:
    """Fork a child for each line of stdin."""
    call = _named(function)
    if prepare is not None:
        _named(prepare)()
    out = os.dup(1)

    def say(what: int | str) -> None:
        os.write(out, json.dumps(what).encode() + b"\n")

    say("ready")
    for line in sys.stdin.buffer:
        message = json.loads(line)
        child = os.fork()
        if not child:
            _run(call, message, out)
        say(child)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        say("ended")
        sys.stdin.buffer.readline()  # until then nobody else can have the child's id
        say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _run(call: Callable[..., Any], message: dict[str, Any], out: int) -> None:
    """Call a function and exit, in a child."""
    status = 1
    try:
        os.close(out)
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(message["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for old, new in ((null, 0), (log, 1), (log, 2)):
            os.dup2(old, new)
        call(*message["arguments"])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    _serve(*sys.argv[1:])
