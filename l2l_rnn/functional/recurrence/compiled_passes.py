"""The passes of a packed recurrence in compiled code, where they were compiled and will do.

`rnn.c` does a step's product and all its pointwise work in one go, on rows that stay in
the processor's cache; torch's operations do them one after the other, each over all rows. A machine
without a C compiler lacks it, and everything runs on torch's operations alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from torch import Tensor

from l2l_rnn.functional import compiled_code
from l2l_rnn.functional.recurrence.cell import PackedCell
from l2l_rnn.functional.recurrence.cells import GRUCell, LSTMCell, ReluCell, TanhCell

MINIMAL = "minimal"  # the recurrence of `min_recurrence`, which has no `PackedCell`
_CELLS = (TanhCell, ReluCell, GRUCell, LSTMCell, MINIMAL)
_PASSES = ("forward", "adjoint", "tangent")
_VERSION = 6  # of the C code's interface, which says the same
_BLOCK = 48  # rows of an item of work at most: what a step reads of them stays in the cache

_ARRAYS = (
    *("weight", "h0", "c0", "z", "units", "h", "c", "outside", "lam", "mu", "dh0", "dc0"),
    *("da", "da_given", "a", "h_tangent", "c_tangent", "h0_tangent", "c0_tangent"),
    *("h_gradient", "c_gradient", "through"),
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
    """Whether compiled code runs a cell on these tensors."""
    return cell in _CELLS and _LIBRARY is not None and compiled_code.may_touch(tensors)


def run(
    what: str,
    cell: type[PackedCell] | str,
    sizes: Sequence[int],
    arrays: dict[str, Tensor | None],
    first_column: int = 0,
) -> None:
    """Run one pass over all steps, in place.

    Args:
        what: `"forward"`, `"adjoint"` or `"tangent"`.
        cell: the class of the `PackedCell`, or `MINIMAL`.
        sizes: rows of each step.
        arrays: float32 but for a bool `outside`, named and shaped as in `rnn.c`; None
            for what there is not. What is written to is contiguous.
        first_column: of z that the product reads; those before it are 0.
    """
    found = {name: t.contiguous() for name, t in arrays.items() if t is not None}
    h, rows, weight = found["h"], found["h0"].shape[1], found.get("weight")
    if "units" in found and found["units"].shape[1] != h.shape[1]:
        del found["units"]  # room for one step, which torch's operations need
    threads = compiled_code.threads()
    shares = -(-threads // len(h))  # of the rows of one task or direction
    steps = (ctypes.c_int64 * len(sizes))(*sizes)
    job = _Job(
        pass_=_PASSES.index(what),
        cell=_CELLS.index(cell),
        A=len(h),
        P=h.shape[1],
        S=len(sizes),
        B=rows,
        K=0 if weight is None else weight.shape[-1],
        H=h.shape[-1],
        U=0 if weight is None else weight.shape[1] // h.shape[-1],
        block=max(1, min(_BLOCK, -(-rows // shares))),
        first_column=first_column,
        sizes=ctypes.addressof(steps),
        **{name: array.data_ptr() for name, array in found.items()},
    )
    if _LIBRARY is None or _LIBRARY(ctypes.byref(job), compiled_code.OPENMP, threads):
        raise MemoryError("packed_recurrence: no memory for the workspace of a step")


def compiled() -> bool:
    """Whether recurrences in single precision run compiled code on a processor.

    Installing the package compiles it where there is a C compiler; `L2L_RNN_COMPILED=0` in the
    environment leaves it out. Results differ by rounding alone.

    Example:
        >>> compiled() in (True, False)
        True
    """
    return _LIBRARY is not None


def _load() -> Callable[..., int] | None:
    return compiled_code.load("rnn", _VERSION, ctypes.sizeof(_Job))


_LIBRARY = _load()
