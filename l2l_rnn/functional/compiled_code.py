"""Loading of the compiled code, its threads, and where it and hand-written derivatives may run."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from l2l_rnn.axes import transforms_are_active


def may_touch(tensors: Iterable[Tensor | None]) -> bool:
    """Return whether compiled code may read these tensors.

    They must be float32 and on a CPU. Nothing may intercept torch's operations, as tracing and fake
    tensors do, because such code would not see the compiled passes.
    """
    return torch._C._len_torch_dispatch_stack() == 0 and all(
        type(t) in (Tensor, Parameter) and t.device.type == "cpu" and t.dtype == torch.float32
        for t in tensors
        if t is not None
    )


def operations_are_watched() -> bool:
    """Return whether something besides reverse-mode autograd must see every operation.

    True inside a transform of `torch.func`, a level of forward-mode differentiation, or a dispatch
    mode such as `FlopCounterMode`. Hand-written derivatives are opaque to all of these, so that the
    plain operations must run instead.
    """
    if transforms_are_active():
        return True
    if torch.compiler.is_compiling():  # a compiler cannot trace the other checks
        return False
    return forward_ad._current_level >= 0 or torch._C._len_torch_dispatch_stack() > 0


def threads() -> int:
    """Return the number of threads that a pass uses: those of torch, or 1 in a forked child."""
    return torch.get_num_threads() if OPENMP and not _is_forked_child else 1


def load(name: str, version: int, job_size: int) -> Callable[..., int] | None:
    """Load the function `run_<name>_pass` of the module `_<name>`.

    Args:
        name: `"rnn"` or `"memory"`.
        version: the version of the C code that the caller expects.
        job_size: the size, in bytes, of the struct that the caller passes.

    Returns:
        The function, or None if it was not compiled, has another version, or is turned off by
        `L2L_RNN_COMPILED=0` in the environment.
    """
    if os.environ.get("L2L_RNN_COMPILED") == "0":
        return None
    try:
        module = importlib.import_module(f"l2l_rnn.functional._{name}")
        library: Any = ctypes.CDLL(module.__file__)
        build = library[f"{name}_version"](), library[f"{name}_job_size"]()
        function = library[f"run_{name}_pass"]
    except (ImportError, OSError, AttributeError):
        return None
    if build != (version, job_size):
        return None  # an older build; reinstalling the package compiles the new one
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
    function.restype = ctypes.c_int
    run: Callable[..., int] = function
    return run


def _find_openmp() -> int | None:
    """Return the address of `GOMP_parallel` in torch's OpenMP runtime, if that is GNU's.

    Threads of another runtime would compete with torch's, which spin while they wait for work.
    """
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p).value
    except (AttributeError, OSError, TypeError):  # TypeError: Windows has no CDLL(None)
        return None


def _use_one_thread() -> None:
    """Use one thread from now on, in a child process that was just forked.

    A fork copies only the thread that calls it. GNU's OpenMP does not notice, and a child that
    starts a parallel region waits for ever for the threads of its parent. This concerns torch's
    own operations as much as the passes, so the child gets the setting that torch's DataLoader
    gives its workers. `torch.set_num_threads` can raise it again for torch's operations, which is
    safe only if the parent had not used a second thread. The passes stay on one thread.
    """
    global _is_forked_child
    _is_forked_child = True
    if torch.get_num_threads() > 1:
        torch.set_num_threads(1)


OPENMP = _find_openmp()
_is_forked_child = False
if OPENMP and hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_use_one_thread)
