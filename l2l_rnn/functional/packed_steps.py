"""What the hand-written recurrences share: the blocks of packed steps, and shifts by one step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor

from l2l_rnn.errors import DerivativeError


def without_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Keep the passes from changing the type of the tensors that they share."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if kind in ("cpu", "cuda") else nullcontext()


def blocks(sizes: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """First row and the one after the last of each step's block."""
    return pairwise(accumulate(sizes, initial=0))


def shifted(x: Tensor, first: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The value before each packed step: `first` before step 0, x one step earlier elsewhere."""
    starts = [start for start, _ in blocks(sizes)]
    earlier = [x[:, start : start + rows] for start, rows in zip(starts, sizes[1:], strict=False)]
    return torch.cat([first[:, : sizes[0]], *earlier], 1)


def unshifted(x: Tensor, first: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Adjoint of `shifted`: what `first` and the packed steps receive from x."""
    to_first, to_steps = torch.zeros_like(first), torch.zeros_like(x)
    to_first[:, : sizes[0]] = x[:, : sizes[0]]
    for (start, _), (after, end) in pairwise(blocks(sizes)):
        to_steps[:, start : start + end - after] = x[:, after:end]
    return to_first, to_steps


def third_derivative(who: str) -> DerivativeError:
    """The error of asking for a derivative that is not written."""
    return DerivativeError(
        f"{who}: the third derivative was asked for, it has the first two; take it "
        "through torch.func, or call backward() without create_graph"
    )
