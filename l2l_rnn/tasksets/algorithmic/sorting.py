"""Sorting of bit vectors by priority (Graves et al., 2014)."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sampling import draw_distinct
from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets.algorithmic.bit_sequences import BitSequences, random_bits
from l2l_rnn.tasksets.registration import register_family

_GRID = 2**24  # number of possible priorities, 2^-23 apart and exact in float32


@register_family(
    "priority_sort",
    TaskCard(
        task="Output the 16 of 20 bit vectors with the highest priorities, in order of priority.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.5",
        license="none needed",
        classes=None,
        items=None,
        lengths=(37, 37),
        splits="random; sequences are drawn independently",
        measure="wrong bits per sequence (best 0)",
        chance=64.0,
        baseline=("the exact algorithm", 0.0),
    ),
)
class PrioritySort(BitSequences):
    """Priority sort: read bit vectors with priorities, output the highest-ranked ones in order.

    Priorities are uniform in [-1, 1), and no two are equal. To sort the k highest of n vectors, a
    sequence has S = n + 1 + k steps:

    - steps 0 .. n-1: a vector on channels 0 .. bits-1, its priority on channel `bits`;
    - step n: the delimiter, a 1 on channel `bits + 1`, which is 0 at all other steps;
    - steps n+1 .. n+k: zeros; the target at step n+i is the vector with the i-th highest priority.

    Tasks have no parameters, so all tasks are the same. The error is the number of wrong bits per
    sequence; at chance level it is half of the k * bits target bits.

    Args:
        bits: bits per vector.
        vectors: `n`, vectors to read.
        highest: `k`, vectors to output.

    Shapes:
        inputs `(N, B, S, bits + 2)`, targets `(N, B, S, bits)`.

    Raises:
        ArgumentError: a count is not a positive integer, `highest` is greater than `vectors`, or
            there are more vectors than distinct priorities.

    Example:
        >>> batch = PrioritySort().sequences(4)
        >>> batch.inputs.shape, batch.targets.shape, batch.mask[0].sum()
        (torch.Size([4, 37, 10]), torch.Size([4, 37, 8]), tensor(16))

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.5. The
    defaults are the paper's 20 input and 16 target vectors. The paper specifies neither a delimiter
    nor the number of bits per vector.
    """

    def __init__(self, bits: int = 8, vectors: int = 20, highest: int = 16) -> None:
        self.bits = check_int("PrioritySort", "bits", bits)
        self.vectors, self.highest = _checked("PrioritySort", vectors, highest)
        self.input_size, self.output_size = self.bits + 2, self.bits

    @property
    def steps(self) -> int:
        return self.vectors + 1 + self.highest

    def at(self, vectors: int, highest: int) -> PrioritySort:
        """Return a copy of this family with other numbers of vectors to read and to output."""
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
        targets = torch.full((batch, self.steps, self.bits), math.nan)
        targets[:, count + 1 :] = vectors.gather(1, order.unsqueeze(-1).expand(-1, -1, self.bits))
        return inputs, targets


def _checked(who: str, vectors: int, highest: int) -> tuple[int, int]:
    vectors = check_int(who, "vectors", vectors)
    highest = check_int(who, "highest", highest)
    if not highest <= vectors <= _GRID:
        raise ArgumentError(
            f"{who}: vectors must be from highest={highest} to {_GRID}, got {vectors}; "
            "raise vectors or lower highest"
        )
    return vectors, highest
