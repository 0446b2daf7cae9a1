"""The process of `jax_process.JaxProcess`, in which torch is not imported."""

from __future__ import annotations

import os
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import jax
import numpy

from benchmarks.speed import jax_step


class Server:
    """The methods of `JaxProcess`, in the process."""

    def load(self, parameters: Any, batch: Any, options: dict[str, Any]) -> None:
        function = jax_step.meta_gradients(**options)
        self._arguments = jax_step.on_device((parameters, *batch))
        self._step = function.lower(*self._arguments).compile()
        self._start = _thread_seconds()

    def step(self) -> float:
        start = time.perf_counter()
        self._found = jax.block_until_ready(self._step(*self._arguments))
        return time.perf_counter() - start

    def gradients(self) -> dict[str, numpy.ndarray]:
        return {name: numpy.asarray(value) for name, value in self._found.items()}

    def busy_threads(self) -> int:
        spent = [s - self._start.get(t, 0.0) for t, s in _thread_seconds().items()]
        return sum(seconds > 0.1 * sum(spent) for seconds in spent)


def _thread_seconds() -> dict[str, float]:
    """Return the CPU time of each thread of this process; empty without `/proc`."""
    folder, found = "/proc/self/task", {}
    for thread in os.listdir(folder) if os.path.isdir(folder) else ():
        with open(f"{folder}/{thread}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        found[thread] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return found


def serve(connection: Connection) -> None:
    """Answer requests until the connection is closed."""
    server = Server()
    while True:
        try:
            name, *arguments = connection.recv()
        except (EOFError, OSError):
            return
        try:
            connection.send((getattr(server, name)(*arguments), None))
        except Exception as error:
            connection.send((None, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
