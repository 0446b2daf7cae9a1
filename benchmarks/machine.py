"""What a result depends on besides the settings: the device, and the versions of packages."""

from __future__ import annotations

import importlib.metadata
import platform

import torch

import l2l_rnn
from l2l_rnn.errors import ArgumentError

# Several of them contain the data: names are from babel, characters from Hershey-Fonts.
PACKAGES = ("torch", "learn2learn", "numpy", "babel", "Hershey-Fonts", "scikit-learn")


def device_of(name: str) -> torch.device:
    """Return the device with this name, after a check that torch can use it.

    Args:
        name: a device of torch, such as `"cpu"`, `"cuda:1"` or `"mps"`; or `"gpu"`, which is CUDA
            if there is a device, and Apple's MPS otherwise.

    Raises:
        ArgumentError: torch has no such device, or cannot use it.
    """
    chosen = _gpu() if name == "gpu" else name
    try:
        device = torch.device(chosen)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first_line = str(error).splitlines()[0]
        raise ArgumentError(f"torch cannot use it ({first_line}); choose cpu or gpu") from error
    return device


def _gpu() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    reason = "finds no GPU; check the driver with nvidia-smi"
    if torch.version.cuda is None and torch.version.hip is None:
        reason = "is built without CUDA; install a build for your GPU from https://pytorch.org"
    raise ArgumentError(f"torch {torch.__version__} {reason}, or use --device cpu")


def device_name(device: torch.device) -> str:
    """Return the name of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU {platform.machine()}"
    return f"CPU {platform.machine()}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    found = {"python": platform.python_version(), "l2l_rnn": l2l_rnn.__version__}
    for package in PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found
