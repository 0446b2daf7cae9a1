"""The compiled passes of a memory: when they apply, and how to run them."""

from __future__ import annotations

import ctypes
import dataclasses
import enum
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor

from l2l_rnn.functional import compiled_code

_PASSES = ("forward", "adjoint")
_VERSION = 7  # must equal the version in memory.c
_BLOCK = 6  # most sequences in an item of work: a product computes this many rows at once

PARTS = (  # the parts of a state, in the order of the C code
    *("memory", "weights", "reads", "hidden", "cell"),
    *("usage", "links", "precedence", "allocation"),  # a DNC only
)
_ARRAYS = (
    *("weight_back", "weight_heads", "bias_heads", "projected"),
    *(f"{state}_{part}" for state in ("initial", "final", "states", "dstate") for part in PARTS),
    *("outputs", "doutputs", "feedback", "activations", "interfaces"),
    *("content", "shifted", "usage_products"),
    *("sharpness", "dsharpness", "least_used", "usage", "used", "overwritten"),
    *("dprojected", "dinterfaces"),
)


class Kind(enum.IntEnum):
    """Kinds of heads, numbered as in the C code."""

    NTM = 0
    MANN = 1
    DNC = 2


@dataclasses.dataclass(frozen=True)
class Sizes:
    """The sizes of a pass, which `memory.c` explains.

    Attributes have the names and the order of the C struct.
    """

    kind: Kind
    N: int
    B: int
    S: int
    H: int
    M: int
    W: int
    R: int
    write_heads: int
    gates: int
    interface_size: int
    feedback_size: int
    projected_size: int
    keep: bool
    eps: float
    reach: int = 0
    decay: float = 0.0


_INTEGERS = (
    *("pass_", "kind", *"NBSHMWR", "write_heads"),
    *("gates", "interface_size", "feedback_size", "projected_size"),
    *("reach", "keep", "block"),
)


class _Job(ctypes.Structure):
    """The C struct of the same name."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *((name, ctypes.c_int64) for name in _INTEGERS),
        ("eps", ctypes.c_double),
        ("decay", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("lengths", *_ARRAYS)),
        ("next", ctypes.c_int64),
    ]


def serve(tensors: Iterable[Tensor | None]) -> bool:
    """Return whether compiled code can run a memory on these tensors."""
    return (
        _LIBRARY is not None
        and not compiled_code.operations_are_watched()
        and compiled_code.may_touch(tensors)
    )


def run(pass_name: str, sizes: Sizes, lengths: Tensor, arrays: Mapping[str, Tensor]) -> None:
    """Run one pass over all steps, in place.

    Args:
        pass_name: `"forward"` or `"adjoint"`.
        sizes: the sizes of the arrays.
        lengths: steps of each sequence, int64.
        arrays: contiguous float32 tensors, named and shaped as in `memory.c`.

    Raises:
        MemoryError: the workspace could not be allocated.
    """
    threads = compiled_code.threads()
    threads_per_task = -(-threads // max(1, sizes.N))
    job = _Job(
        pass_=_PASSES.index(pass_name),
        **vars(sizes),
        block=max(1, min(_BLOCK, -(-sizes.B // threads_per_task))),
        lengths=lengths.data_ptr(),
        **{name: array.data_ptr() for name, array in arrays.items()},
    )
    if _LIBRARY is None or _LIBRARY(ctypes.byref(job), compiled_code.OPENMP, threads):
        raise MemoryError("slot_recurrence: could not allocate the workspace of a step")


def compiled() -> bool:
    """Return whether the passes were built and are enabled."""
    return _LIBRARY is not None


def _load() -> Callable[..., int] | None:
    return compiled_code.load("memory", _VERSION, ctypes.sizeof(_Job))


_LIBRARY = _load()
