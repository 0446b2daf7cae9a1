"""JAX in a process of its own, as an optional peer of the speed benchmarks.

The number of threads of XLA's CPU client is fixed when it starts, so it cannot follow
`torch.set_num_threads` in one process. XLA takes it from the variable `NPROC`. (The flag
`--xla_cpu_multi_thread_eigen=false` alone leaves a thread per core, as does
`intra_op_parallelism_threads=1` in `XLA_FLAGS`.) The process does nothing between two steps, so
the contestants still run one at a time, and it measures the time of a step itself, without the
transfer between the processes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import multiprocessing
import os
import subprocess
import sys
from typing import Any

import numpy

from benchmarks.speed.timing import Seconds


def jax_version() -> str | None:
    """Return the version of jax, or None if it is not installed."""
    if importlib.util.find_spec("jax") is None:
        return None
    return importlib.metadata.version("jax")


class JaxProcess:
    """A process with a meta-step in JAX; call `close` at the end.

    Args:
        threads: number of threads of the computation.
    """

    def __init__(self, threads: int) -> None:
        self._connection, theirs = multiprocessing.Pipe()
        variables = {
            "NPROC": str(threads),
            "PJRT_NPROC": str(threads),  # the same, with priority in newer versions
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.jax_server", str(theirs.fileno())],
            env=os.environ | variables,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C does not reach it
        )
        theirs.close()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.wait()

    def load(
        self,
        parameters: dict[str, numpy.ndarray],
        batch: list[numpy.ndarray],
        **options: Any,
    ) -> None:
        """Compile a meta-step; the arguments of `jax_step.meta_gradients` are the options."""
        self._ask("load", parameters, batch, options)

    def step(self) -> Seconds:
        """Compute the meta-gradients, and return the time that it took."""
        return Seconds(self._ask("step"))

    def gradients(self) -> dict[str, numpy.ndarray]:
        """Return the meta-gradients of the last step."""
        return self._ask("gradients")

    def busy_threads(self) -> int:
        """Return the number of threads that have taken more than a tenth of the CPU time.

        Counted since `load`; 0 without `/proc`.
        """
        return self._ask("busy_threads")

    def _ask(self, *request: Any) -> Any:
        try:
            self._connection.send(request)
            result, error = self._connection.recv()
        except (EOFError, OSError) as ended:
            raise RuntimeError("the process of jax ended; its output says why") from ended
        if error is not None:
            raise RuntimeError(f"jax: {error}")
        return result
