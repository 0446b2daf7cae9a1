"""The passes over a packed recurrence in compiled code, for float32 on a CPU.

`csrc/rnn.c` computes a step's product and all its pointwise work together, on rows that stay in the
processor's cache. torch's operations run one after the other, each over all rows. If the package
was installed without a C compiler, everything runs on torch's operations.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from l2l_rnn.functional import compiled_code
from l2l_rnn.functional.recurrence.arrays import PassArrays, TangentArrays
from l2l_rnn.functional.recurrence.cell import PackedCell
from l2l_rnn.functional.recurrence.cells import (
    PackedGRUCell,
    PackedLSTMCell,
    PackedReluCell,
    PackedTanhCell,
)

MINIMAL = "minimal"  # the recurrence of `min_recurrence`, which has no `PackedCell`
_CELLS = (
    PackedTanhCell,
    PackedReluCell,
    PackedGRUCell,
    PackedLSTMCell,
    MINIMAL,
)  # in the order of rnn.c
_PASSES = ("forward", "adjoint", "tangent")  # in the order of rnn.c
_VERSION = 8  # must equal the version in rnn.c, which covers its headers too
_BLOCK = 48  # most rows in an item of work, so that the data of a step stays in the cache

_ARRAYS = (
    *("weight", "h0", "c0", "z", "a", "gates", "h", "c", "outside", "lam", "mu", "dh0", "dc0"),
    *("da", "da_given", "h_tangent", "c_tangent", "h0_tangent", "c0_tangent"),
    *("a_tangent", "a_gradient", "h_gradient", "c_gradient", "dz"),
)
_SIZES = ("pass_", "cell", *"APSBKHU", "block", "first_column")


class _Job(ctypes.Structure):
    """The C struct of the same name."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in ("sizes", *_ARRAYS)),
        ("next", ctypes.c_int64),
    ]


def serve(cell: type[PackedCell] | str, tensors: Iterable[Tensor | None]) -> bool:
    """Return whether compiled code can run a cell on these tensors."""
    return cell in _CELLS and _LIBRARY is not None and compiled_code.may_touch(tensors)


def run(cell: type[PackedCell] | str, sizes: Sequence[int], arrays: PassArrays) -> None:
    """Run the pass that the arrays belong to, in place.

    Args:
        cell: the class of the `PackedCell`, or `MINIMAL`.
        sizes: rows of each step.
        arrays: float32, except for the bool `outside`. Arrays that the pass writes are contiguous.
    """
    tensors = {name: tensor.contiguous() for name, tensor in arrays.tensors().items()}
    h, rows, weight = tensors["h"], tensors["h0"].shape[1], tensors.get("weight")
    if "gates" in tensors and tensors["gates"].shape[1] != h.shape[1]:
        del tensors["gates"]  # a workspace of one block, which only torch's operations need
    threads = compiled_code.threads()
    shares = -(-threads // len(h))  # parts into which the rows of a task or direction are split
    steps = (ctypes.c_int64 * len(sizes))(*sizes)
    job = _Job(
        pass_=_PASSES.index(arrays.kind),
        cell=_CELLS.index(cell),
        A=len(h),
        P=h.shape[1],
        S=len(sizes),
        B=rows,
        K=0 if weight is None else weight.shape[-1],
        H=h.shape[-1],
        U=0 if weight is None else weight.shape[1] // h.shape[-1],
        block=max(1, min(_BLOCK, -(-rows // shares))),
        first_column=arrays.first_column if isinstance(arrays, TangentArrays) else 0,
        sizes=ctypes.addressof(steps),
        **{name: tensor.data_ptr() for name, tensor in tensors.items()},
    )
    if _LIBRARY is None or _LIBRARY(ctypes.byref(job), compiled_code.OPENMP, threads):
        raise MemoryError("packed_recurrence: could not allocate the workspace of a step")


def compiled() -> bool:
    """Return whether recurrences in float32 on a CPU run compiled code.

    The code is compiled when the package is installed, if there is a C compiler. Set
    `L2L_RNN_COMPILED=0` in the environment to turn it off. Results differ only by rounding.

    Example:
        >>> compiled() in (True, False)
        True
    """
    return _LIBRARY is not None


def _load() -> Callable[..., int] | None:
    return compiled_code.load("rnn", _VERSION, ctypes.sizeof(_Job))


_LIBRARY = _load()
