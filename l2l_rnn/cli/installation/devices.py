"""The device of a command."""

from __future__ import annotations

import torch

from l2l_rnn.errors import ArgumentError


def usable_device(name: str) -> str:
    """Return the name of a device of torch that works on this machine; `gpu` is the first one.

    Raises:
        ArgumentError: the device does not exist.

    Example:
        >>> usable_device("cpu")
        'cpu'
    """
    if name == "gpu":
        name = "cuda" if torch.cuda.is_available() or not _has_mps() else "mps"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        known = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
        raise ArgumentError(
            f"--device must be a device of this machine, got {name!r} "
            f"({' '.join(str(error).split())[:60]} …); "
            f"use {' or '.join(known + ['mps'] * _has_mps())}"
        ) from error
    return name


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())
