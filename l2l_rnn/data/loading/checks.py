"""Checks of the arguments of a TaskLoader."""

from __future__ import annotations

from typing import Any

import torch
from learn2learn.data import Taskset

from l2l_rnn.checks import check_int
from l2l_rnn.data.loading.sizes import Count, Sizes, check_count, most
from l2l_rnn.data.task_source import SourceTaskset
from l2l_rnn.errors import ArgumentError, DataError


def check_sizes(shots: object, queries: object, ways: object, imbalanced: object) -> Sizes:
    """Return the sizes of the tasks.

    Raises:
        ArgumentError: a size is neither a positive integer nor a pair of them, or `imbalanced` is
            not a bool.
    """
    if not isinstance(imbalanced, bool):
        raise ArgumentError(
            f"TaskLoader: imbalanced must be True or False, got {imbalanced!r}; pass True to allow "
            "classes with few items"
        )
    counts = {
        name: None if value is None else check_count("TaskLoader", name, value)
        for name, value in (("queries", queries), ("ways", ways))
    }
    return Sizes(check_count("TaskLoader", "shots", shots), **counts, imbalanced=imbalanced)


def check_queries(taskset: Taskset, sizes: Sizes) -> Count | None:
    """Return the number of query examples, or all remaining samples if it is None.

    The result is None if the task set's number of samples is unknown too.

    Raises:
        DataError: the task set has too few samples.
    """
    given = sizes.queries
    if not isinstance(taskset, SourceTaskset) or sizes.imbalanced:
        return given
    shots = most(sizes.shots)
    left = taskset.samples - shots
    if left < most(given or 1):
        raise DataError(
            f"TaskLoader: shots={shots} must leave at least {most(given or 1)} of the task set's "
            f"{taskset.samples} samples for queries, got {max(left, 0)}; raise train_samples or "
            "test_samples"
        )
    return given or left


def check_rank(rank: object, world_size: int, tasks: int) -> int:
    """Return `rank` as an int.

    Raises:
        ArgumentError: `rank` is not in 0 .. `world_size` - 1, or there are fewer tasks than ranks.
    """
    if world_size > tasks:
        raise ArgumentError(
            f"TaskLoader: tasks must be at least world_size={world_size}, so that every rank has "
            f"one, got {tasks}; raise tasks"
        )
    return check_int("TaskLoader", "rank", rank, least=0, most=world_size - 1)


def check_seed(seed: object, world_size: int) -> int:
    """Return `seed` as an int; None draws one from torch's global generator.

    Raises:
        ArgumentError: `seed` is not in 0 .. 2**63 - 1, or is None with several ranks.
    """
    if seed is not None:
        return check_int("TaskLoader", "seed", seed, least=0, most=2**63 - 1)
    if world_size > 1:
        raise ArgumentError(
            f"TaskLoader: seed must be the same integer on all {world_size} ranks, so that they "
            "share one stream of tasks, got None; set seed"
        )
    return int(torch.randint(2**63 - 1, ()))


def check_device(device: Any) -> torch.device:
    """Return `device` as a `torch.device`.

    Raises:
        ArgumentError: torch does not know the device, or it is a CUDA device without CUDA.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ArgumentError(
            f"TaskLoader: device must be known to torch, got {device!r}; pass 'cuda' or 'cpu'"
        ) from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ArgumentError(
            f"TaskLoader: device={device!r} requires CUDA, which is not available; pass 'cpu'"
        )
    return found


def check_pin_memory(pin_memory: bool | None, device: torch.device | None) -> bool:
    """Return whether to pin memory; None pins it if `device` is a CUDA device.

    Raises:
        ArgumentError: `pin_memory` is not a bool or None, or is True and CUDA is not available.
    """
    if pin_memory not in (None, True, False):
        raise ArgumentError(
            f"TaskLoader: pin_memory must be True, False or None, got {pin_memory!r}; None pins "
            "memory if device is a CUDA device"
        )
    if pin_memory and not torch.cuda.is_available():
        raise ArgumentError(
            "TaskLoader: pin_memory=True requires CUDA, which is not available; leave it out"
        )
    return device is not None and device.type == "cuda" if pin_memory is None else pin_memory
