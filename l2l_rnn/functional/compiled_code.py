"""Where the package's compiled code is found, and what it may run on."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter


def may_touch(tensors: Iterable[Tensor | None]) -> bool:
    """Whether compiled code may read these tensors.

    It wants single precision, memory of this process, and nobody who watches torch's operations (to
    trace or to fake them), as it is none of them.
    """
    return torch._C._len_torch_dispatch_stack() == 0 and all(
        type(t) in (Tensor, Parameter) and t.device.type == "cpu" and t.dtype == torch.float32
        for t in tensors
        if t is not None
    )


def threads() -> int:
    """How many threads a pass is to use."""
    return torch.get_num_threads() if OPENMP else 1


def load(name: str, version: int, job_size: int) -> Callable[..., int] | None:
    """Find the function `run_<name>_pass` of `_<name>`.

    None where it was not compiled, is of another version, or `L2L_RNN_COMPILED=0` in the
    environment says that it is not wanted.
    """
    if os.environ.get("L2L_RNN_COMPILED") == "0":
        return None
    try:
        module = importlib.import_module(f"l2l_rnn.functional._{name}")
        library: Any = ctypes.CDLL(module.__file__)
        made = library[f"{name}_version"](), library[f"{name}_job_size"]()
        function = library[f"run_{name}_pass"]
    except (ImportError, OSError, AttributeError):
        return None
    if made != (version, job_size):
        return None  # left from an earlier version of its file; installing anew compiles it
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    run: Callable[..., int] = function
    return run


def _find_openmp() -> int | None:
    """Find where threads of torch's own OpenMP runtime are started, if it is GNU's.

    Threads of another runtime would compete with torch's, which wait for work by spinning.
    """
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no CDLL(None)
        return None


OPENMP = _find_openmp()
