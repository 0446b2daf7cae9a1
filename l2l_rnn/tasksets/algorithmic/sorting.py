"""Sorting of bit vectors by their priorities, as Graves et al. asked it of memory networks."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.data import TaskCard
from l2l_rnn.data.sampling import draw_distinct
from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets.algorithmic.bit_sequences import BitSequences, check_count, random_bits
from l2l_rnn.tasksets.catalog import Sources, register_taskset

_GRID = 2**24  # priorities there are, 2^-23 apart, each exact in float32


class PrioritySort(BitSequences):
    """Sorting: read bit vectors with priorities, give out those of the highest ones, highest first.

    Priorities are uniform in [-1, 1), no two alike. With n vectors, k of which are asked for, a
    sequence has n + 1 + k steps:

    - steps 0 .. n-1: a vector on the channels 0 .. bits-1, its priority on the channel `bits`;
    - step n: the delimiter, 1 on the channel `bits + 1`, which is 0 at all other steps;
    - steps n+1 .. n+k: zeros; the vector of the i-th highest priority is asked for at step n+i.

    Nothing tells tasks apart: a task is the same as any other. The best error, wrong bits of a
    sequence, is 0; a guess gets half of the k * bits asked for.

    Args:
        bits: of a vector.
        vectors: `n`.
        highest: `k`.

    Shapes:
        inputs `(N, B, n + 1 + k, bits + 2)`, answers `(N, B, S, bits)`.

    Raises:
        ArgumentError: a count is not a positive integer, `highest` is more than `vectors`, or
            there are more vectors than priorities.

    Example:
        >>> batch = PrioritySort().sequences(4)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask[0].sum()
        (torch.Size([4, 37, 10]), torch.Size([4, 37, 8]), tensor(16))

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.5, whose
    20 vectors and 16 answers are the defaults. The delimiter and a vector's 8 bits are this
    package's reading.
    """

    _shown: ClassVar[tuple[str, ...]] = ("bits", "vectors", "highest")

    def __init__(self, bits: int = 8, vectors: int = 20, highest: int = 16) -> None:
        self.bits = check_count("PrioritySort", "bits", bits)
        self.vectors, self.highest = _checked("PrioritySort", vectors, highest)
        self.input_size, self.output_size = bits + 2, bits

    @property
    def steps(self) -> int:
        return self.vectors + 1 + self.highest

    def at(self, vectors: int, highest: int) -> PrioritySort:
        """Return this family with other numbers of vectors read and asked for."""
        vectors, highest = _checked("PrioritySort.at", vectors, highest)
        return self._with(vectors=vectors, highest=highest)

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return torch.empty(tasks, 0)

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        batch, count = len(parameters), self.vectors
        vectors = random_bits(batch, count, self.bits, generator=generator)
        drawn = draw_distinct(torch.full((batch,), _GRID), count, generator)
        priorities = (drawn / (_GRID // 2) - 1).to(vectors.dtype)  # (B, n)
        inputs = torch.zeros(batch, self.steps, self.input_size)
        inputs[:, :count, : self.bits] = vectors
        inputs[:, :count, self.bits] = priorities
        inputs[:, count, -1] = 1
        order = drawn.argsort(-1, descending=True)[:, : self.highest]
        answers = torch.full((batch, self.steps, self.bits), math.nan)
        answers[:, count + 1 :] = vectors.gather(1, order.unsqueeze(-1).expand(-1, -1, self.bits))
        return inputs, answers


@register_taskset(
    "priority_sort",
    TaskCard(
        task="Give out the 16 of 20 bit vectors whose priorities are highest, in their order.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.5",
        license="none needed",
        classes=None,
        items=None,
        lengths=(37, 37),
        splits="a sequence but by chance: each is drawn anew",
        measure="wrong bits of a sequence (best 0)",
        chance=64.0,
        baseline=("the rule itself", 0.0),
    ),
)
def _priority_sort(
    root: str = "~/data", *, bits: int = 8, vectors: int = 20, highest: int = 16
) -> Sources:
    family = PrioritySort(bits, vectors, highest)
    return family, family, family


def _checked(who: str, vectors: int, highest: int) -> tuple[int, int]:
    check_count(who, "vectors", vectors)
    check_count(who, "highest", highest)
    if not highest <= vectors <= _GRID:
        raise ArgumentError(
            f"{who}: vectors must be from highest={highest} to {_GRID}, got {vectors}; ask for as "
            "many as there are at most"
        )
    return vectors, highest
