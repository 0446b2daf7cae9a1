"""Several processes: shares of tasks by rank, exact sums, and a check of their number."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from l2l_rnn.errors import ArgumentError

# Launchers, and the variables in which they give their number of processes.
_LAUNCHERS = {
    "torchrun": "WORLD_SIZE",
    "mpirun": "OMPI_COMM_WORLD_SIZE",
    "srun": "SLURM_NTASKS",
}


def share(tasks: int, rank: int, world_size: int) -> tuple[int, int]:
    """Return the range of the tasks of one process, as `TaskLoader` shares them out.

    Example:
        >>> [share(7, rank, 3) for rank in range(3)]
        [(0, 2), (2, 4), (4, 7)]
    """
    return rank * tasks // world_size, (rank + 1) * tasks // world_size


def sum_over_ranks(values: list[float], device: torch.device) -> list[float]:
    """Return sums over all processes; the values themselves if there is only one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return values
    total = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    sums: list[float] = total.tolist()
    return sums


def launched_processes(environment: Mapping[str, str] | None = None) -> tuple[int, str] | None:
    """Return the number of processes that a launcher started, and the launcher's name.

    None if no launcher did. An interactive job of SLURM does not count: it has one process.

    Example:
        >>> launched_processes({"WORLD_SIZE": "2", "RANK": "0"})
        (2, 'torchrun')
    """
    found = os.environ if environment is None else environment
    interactive = found.get("SLURM_JOB_NAME") in ("bash", "interactive")
    for launcher, name in _LAUNCHERS.items():
        if launcher == "torchrun" and "RANK" not in found:
            continue  # set by hand, or by a cluster for something else
        if launcher == "srun" and (interactive or "SLURM_PROCID" not in found):
            continue
        if found.get(name, "").isdecimal():
            return int(found[name]), launcher
    return None


def check_world_size(trainer: Any, expected: int | None = None) -> None:
    """Check that training runs in as many processes as were started or asked for.

    A trainer with one device under `torchrun --nproc-per-node=2` would train twice, independently.

    Args:
        trainer: a Lightning Trainer.
        expected: the number of processes that must run; None checks the launcher's number alone.

    Raises:
        ArgumentError: there are more or fewer processes.
    """
    size = int(trainer.world_size)
    if expected is not None and size != expected:
        raise ArgumentError(
            f"MetaLearning: training must run in {expected} processes, got {size}; start the "
            f"script with torchrun --nproc-per-node={expected}, and set Trainer(devices=...) and "
            "num_nodes to the same number"
        )
    launched = launched_processes()
    if launched is not None and launched[0] != size:
        number, launcher = launched
        raise ArgumentError(
            f"MetaLearning: training must run in the {number} processes that {launcher} started, "
            f"got {size}; set Trainer(devices=...) times num_nodes to {number} and "
            "strategy='ddp', or start one process"
        )


def join_restarted_group(backend: str, timeout: timedelta | None) -> None:
    """Start the process group of a restarted `torchrun` job under keys of its own.

    The store of `torchrun` outlives the processes. Without a prefix for each restart, which torch
    dropped in later versions, a process can read the address of one that was killed, and then
    waits for it or fails. Does nothing in the first attempt.

    Args:
        backend: backend of the process group, such as "gloo".
        timeout: longest time of one collective operation.
    """
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    has_store = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if attempt == "0" or not has_store or distributed.is_initialized():
        return
    size = int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = distributed.TCPStore(address, port, size, is_master=False)
    distributed.init_process_group(
        backend,
        store=distributed.PrefixStore(f"restart-{attempt}", store),
        rank=int(os.environ["RANK"]),
        world_size=size,
        timeout=timeout,
    )
