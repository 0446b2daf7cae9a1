"""The passes of a memory of slots in compiled code, where they were compiled and will do."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor

from l2l_rnn.axes import transforms_are_active
from l2l_rnn.functional import compiled_code

KINDS = ("NTM", "MANN", "DNC")
_PASSES = ("forward", "adjoint")
_VERSION = 5  # of the C code's interface, which says the same
_BLOCK = 6  # sequences of an item of work at most: the rows that a product takes at once

_PARTS = (
    *("memory", "weights", "reads", "hidden", "cell"),
    *("usage", "links", "precedence", "allocation"),  # of a DNC
)
_GIVEN = ("weight_back", "weight_heads", "bias_heads", "projected")
FIRST = tuple(f"first_{part}" for part in _PARTS)  # in the order of a state
LAST = tuple(f"last_{part}" for part in _PARTS)
ALL = tuple(f"all_{part}" for part in _PARTS)
SEEN = ("all_reads", "all_hidden")  # not kept apart: the outputs have them
_STEPS = ("z", "units", "numbers", "content", "shifted", "below")
_MANN = ("sharpness", "dsharpness", "places", "usage", "used", "overwritten")
_ARRAYS = (
    *_GIVEN,
    *FIRST,
    *LAST,
    *ALL,
    *("seen", "dseen", *_STEPS, *_MANN, "da", "dnumbers"),
)
_SIZES = ("pass_", "kind", *"ABSHGMWRVIZP", "reach", "keep", "block")


class _Job(ctypes.Structure):
    """The C struct of the same name."""

    _fields_: ClassVar[list[tuple[str, Any]]] = [
        *((name, ctypes.c_int64) for name in _SIZES),
        ("least", ctypes.c_double),
        ("decay", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("lengths", *_ARRAYS)),
        ("next", ctypes.c_int64),
    ]


def serve(tensors: Iterable[Tensor | None]) -> bool:
    """Whether compiled code runs a memory on these tensors."""
    return _LIBRARY is not None and compiled_code.may_touch(tensors) and not transforms_are_active()


def run(
    what: str, sizes: Mapping[str, float], lengths: Tensor, arrays: Mapping[str, Tensor]
) -> None:
    """Run one pass over all steps, in place.

    Args:
        what: `"forward"` or `"adjoint"`.
        sizes: the numbers of the C struct, by their names there.
        lengths: steps of each sequence, int64.
        arrays: contiguous float32 tensors, named and shaped as in `memory.c`.
    """
    threads = compiled_code.threads()
    tasks, batch = int(sizes["A"]), int(sizes["B"])
    shares = -(-threads // max(1, tasks))  # of the sequences of one task
    job = _Job(
        pass_=_PASSES.index(what),
        **sizes,
        block=max(1, min(_BLOCK, -(-batch // shares))),
        lengths=lengths.data_ptr(),
        **{name: array.data_ptr() for name, array in arrays.items()},
    )
    if _LIBRARY is None or _LIBRARY(ctypes.byref(job), compiled_code.OPENMP, threads):
        raise MemoryError("slot_recurrence: no memory for the workspace of a step")


def compiled() -> bool:
    """Whether the passes were compiled and are wanted."""
    return _LIBRARY is not None


def _load() -> Callable[..., int] | None:
    return compiled_code.load("memory", _VERSION, ctypes.sizeof(_Job))


_LIBRARY = _load()
