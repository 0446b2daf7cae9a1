"""The passes over a single step in compiled code, for float32 on a CPU.

A loop that calls a layer or a cell one step at a time is dominated by the overhead of each call, so
these functions take addresses as positional arguments.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from l2l_rnn.functional.recurrence import compiled_passes

CELLS = ("tanh", "relu", "gru", "lstm")  # in the order of rnn.c
KEPT = {"tanh": 1, "relu": 1, "gru": 4, "lstm": 5}  # values per hidden unit that a step keeps
_NUMBERS = {cell: number for number, cell in enumerate(CELLS)}
_ADDRESSES = {"forward": 7, "adjoint": 9, "tangent": 15}  # in the order of rnn.c

_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor


def serves(tensors: Sequence[Tensor | None]) -> bool:
    """Return whether compiled code may read these tensors, as in `compiled_code.may_touch`."""
    for tensor in tensors:
        if tensor is not None:
            kind = type(tensor)
            if (
                (kind is not Tensor and kind is not Parameter)
                or tensor.dtype is not torch.float32
                or not tensor.is_cpu
                or _is_wrapped(tensor)
            ):
                return False
    return compiled_passes._LIBRARY is not None and torch._C._len_torch_dispatch_stack() == 0


def run(kind: str, cell: str, rows: int, size: int, *tensors: Tensor | None) -> None:
    """Run a pass in place.

    Args:
        kind: `"forward"`, `"adjoint"` or `"tangent"`.
        cell: one of `CELLS`.
        rows: the number of rows of every array.
        size: `H`.
        tensors: the arrays in the order of rnn.c, contiguous; None for arrays that the cell lacks.
    """
    addresses = [None if tensor is None else tensor.data_ptr() for tensor in tensors]
    if _FUNCTIONS[kind](_NUMBERS[cell], rows, size, *addresses):
        raise MemoryError("single_step: could not allocate the workspace of a step")


def _load() -> dict[str, Callable[..., int]]:
    """Load the function of each pass from the library of `compiled_passes`, if that was loaded."""
    if compiled_passes._LIBRARY is None:
        return {}
    library: Any = ctypes.CDLL(importlib.import_module("l2l_rnn.functional._rnn").__file__)
    functions = {}
    for kind, addresses in _ADDRESSES.items():
        functions[kind] = library[f"rnn_step_{kind}"]
        functions[kind].argtypes = [ctypes.c_int64] * 3 + [ctypes.c_void_p] * addresses
        functions[kind].restype = ctypes.c_int
    return functions


_FUNCTIONS = _load()
