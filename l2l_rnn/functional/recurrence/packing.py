"""Packed steps: for each step, a block with the sequences that have it.

A recurrence reads packed steps `(A, P, F)`: first step 0 of every sequence, then step 1 of every
sequence that has one, and so on; P is the total number of steps. The sequences of a task are sorted
by length, so that the ones that take a step are always the first rows of the state.
"""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.axes import is_transformed, readable_values
from l2l_rnn.functional.affine import embedding as take_rows


class Packing:
    """Mapping between a padded batch `(N, B, S, F)` and its packed form `(N, P, F)`.

    This class packs a batch in which every sequence has all `S` steps: `P = S B`.

    Args:
        batch: `B`, sequences in each task.
        steps: `S`, steps of each.

    Attributes:
        batch_sizes: number of sequences that take each step, non-increasing.
        valid: True at packed steps inside their sequence, `(N, P, 1)`; None if all are. In both
            directions, padding comes after the sequence's own steps, so nothing reads its results.
    """

    def __init__(self, batch: int, steps: int) -> None:
        self.batch, self.steps = batch, steps
        self.batch_sizes = [batch] * steps
        self.valid: Tensor | None = None

    def pack(self, x: Tensor) -> Tensor:
        """`(N, B, S, F)` -> `(N, P, F)`."""
        return x.transpose(1, 2).flatten(1, 2)

    def unpack(self, y: Tensor) -> Tensor:
        """`(N, P, F)` -> `(N, B, S, F)`, 0 past each sequence's length."""
        # A copy, because the derivatives need the outputs even if the caller changes them in place.
        return y.unflatten(1, (self.steps, self.batch)).transpose(1, 2).clone()

    def reverse(self, x: Tensor) -> Tensor:
        """Reverse each sequence in packed form. Applying this twice changes nothing."""
        return x.unflatten(1, (self.steps, self.batch)).flip(1).flatten(1, 2)

    def sort(self, state: Tensor) -> Tensor:
        """Sort the rows of a state `(N, B, H)` in the order of the packed sequences."""
        return state

    def final(self, states: Tensor, initial: Tensor) -> Tensor:
        """Pick each sequence's last state: `(N, P, H)`, initial `(N, B, H)` -> `(N, B, H)`."""
        return states[:, -self.batch :]


class PaddedPacking(Packing):
    """Packs every step of a ragged batch, for dense layers and for lengths that cannot be read.

    Args:
        lengths: number of valid steps of each sequence, `(N, B)`.
        steps: `S`, the padded length.
    """

    def __init__(self, lengths: Tensor, steps: int) -> None:
        super().__init__(lengths.shape[1], steps)
        step = torch.arange(steps, device=lengths.device).unsqueeze(-1)  # (S, 1)
        row = torch.arange(self.batch, device=lengths.device)  # (B,)
        inside = step < lengths.unsqueeze(1)  # (N, S, B)
        mirrored = torch.where(inside, lengths.unsqueeze(1) - 1 - step, step)
        self._mirror = (mirrored * self.batch + row).flatten(1)  # (N, P)
        self._last = (lengths - 1).clamp_min(0) * self.batch + row  # (N, B)
        self._empty = (lengths == 0).unsqueeze(-1)
        self.valid: Tensor = inside.flatten(1).unsqueeze(-1)

    def unpack(self, y: Tensor) -> Tensor:
        return super().unpack(y.masked_fill(~self.valid, 0))

    def reverse(self, x: Tensor) -> Tensor:
        return take_rows(self._mirror, x)

    def final(self, states: Tensor, initial: Tensor) -> Tensor:
        return torch.where(self._empty, initial, take_rows(self._last, states))


class RaggedPacking(Packing):
    """Packs only valid steps; in each rank by length, the longest sequence of all tasks counts.

    Args:
        lengths: number of valid steps of each sequence, `(N, B)`; at least one is positive.
        steps: `S`, the padded length.

    Example:
        >>> packing = RaggedPacking(torch.tensor([[1, 3]]), 4)
        >>> x = torch.arange(8.0).reshape(1, 2, 4, 1)
        >>> packing.batch_sizes, packing.pack(x).flatten().tolist()
        ([2, 1, 1], [4.0, 0.0, 5.0, 6.0])
        >>> packing.reverse(packing.pack(x)).flatten().tolist()
        [6.0, 0.0, 5.0, 4.0]
    """

    def __init__(self, lengths: Tensor, steps: int) -> None:
        tasks, self.batch = lengths.shape
        self.steps = steps
        device = lengths.device
        ranked, self._order = lengths.sort(stable=True, dim=-1, descending=True)  # (N, B)
        rank_of = self._order.argsort(-1)  # (N, B)
        has_step = ranked.unsqueeze(-1) > torch.arange(steps, device=device)  # (N, B, S)
        self.batch_sizes = [n for n in has_step.sum(1).amax(0).tolist() if n]

        starts = torch.tensor([0, *accumulate(self.batch_sizes)][:-1], device=device)
        sizes = torch.tensor(self.batch_sizes, device=device)
        step = torch.arange(len(sizes), device=device).repeat_interleave(sizes)  # (P,)
        packed = torch.arange(len(step), device=device)  # (P,)
        rank = packed - starts[step]
        length = ranked[:, rank]  # (N, P)
        self._source = self._order[:, rank] * steps + step  # (N, P), into (B S)
        self._mirror = torch.where(step < length, starts[length - 1 - step] + rank, packed)
        self.valid = None if tasks == 1 else (step < length).unsqueeze(-1)

        self._empty = (lengths == 0).unsqueeze(-1)  # (N, B, 1)
        self._has_empty = bool(self._empty.any())
        self._last = torch.where(lengths > 0, starts[lengths - 1] + rank_of, 0)  # (N, B)
        position = torch.arange(steps, device=device)  # (S,)
        target = starts[position.clamp_max(len(starts) - 1)] + rank_of.unsqueeze(-1)  # (N, B, S)
        self._target = torch.where(position < lengths.unsqueeze(-1), target, len(step))

    def pack(self, x: Tensor) -> Tensor:
        return take_rows(self._source, x.flatten(1, 2))

    def unpack(self, y: Tensor) -> Tensor:
        return take_rows(self._target, F.pad(y, (0, 0, 0, 1)))  # the row after the last is 0

    def reverse(self, x: Tensor) -> Tensor:
        return take_rows(self._mirror, x)

    def sort(self, state: Tensor) -> Tensor:
        return take_rows(self._order, state)

    def final(self, states: Tensor, initial: Tensor) -> Tensor:
        final = take_rows(self._last, states)
        return torch.where(self._empty, initial, final) if self._has_empty else final


def choose_packing(
    batch: int, steps: int, lengths: Tensor | None, *, dense: bool = False
) -> Packing:
    """Choose the packing of a batch: ragged if the lengths differ and can be read.

    Args:
        batch, steps: `B` and `S`.
        lengths: number of valid steps of each sequence, or None.
        dense: whether to pack every step, including padding.

    Shapes:
        lengths `(N, B)`, or None if every sequence has all `S` steps.
    """
    if lengths is None:
        return Packing(batch, steps)
    if dense or readable_values(lengths) is None or is_transformed(lengths):
        return PaddedPacking(lengths, steps)
    if bool((lengths == steps).all()):
        return Packing(batch, steps)
    return RaggedPacking(lengths, steps)
