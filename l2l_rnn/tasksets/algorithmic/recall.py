"""Associative recall of items made of bit vectors (Graves et al., 2014)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sampling import draw_distinct
from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets.algorithmic.bit_sequences import (
    BitSequences,
    check_range,
    uniform_counts,
    vectors_at_steps,
)
from l2l_rnn.tasksets.registration import register_family

_MAX_BITS = 48  # maximum bits per item; float64 could not draw uniformly from more codes


@register_family(
    "associative_recall",
    TaskCard(
        task="Read a list of 2-6 items, then one of them again; output the item that follows it.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.3",
        license="none needed",
        classes=None,
        items=None,
        lengths=(16, 32),
        splits="random; sequences are drawn independently",
        measure="wrong bits per sequence (best 0)",
        chance=9.0,
        baseline=("the exact algorithm", 0.0),
    ),
)
class AssociativeRecall(BitSequences):
    """Associative recall: read a list of items, then one of them again, and output the next item.

    An item is a few random bit vectors. No two items of a list are equal, so the target is unique.
    With v vectors per item, a list of n items has S = (v + 1) n + 2 v + 2 steps:

    - for each item, a step with a 1 on channel `bits`, then its vectors on channels 0 .. bits-1;
    - a step with a 1 on channel `bits + 1`, then the vectors of the query, which is any item except
      the last, then a step with a 1 on channel `bits + 1` again;
    - v steps of zeros; the targets are the vectors of the item after the query.

    A task is a number of items n. The error is the number of wrong bits per sequence; at chance
    level it is half of the v * bits target bits.

    Args:
        bits: bits per vector.
        vectors: `v`, vectors per item.
        items: smallest and largest n, at least 2; all values in this range are equally likely.

    Shapes:
        inputs `(N, B, S, bits + 2)`, targets `(N, B, S, bits)`, where S is for the largest n.

    Raises:
        ArgumentError: a count is not a positive integer, `items` is not two integers of at least
            2 in order, an item has more than 48 bits, or the largest n exceeds the number of
            distinct items.

    Example:
        >>> family = AssociativeRecall()
        >>> batch = family.at(items=2).sequences(5)
        >>> batch.inputs.shape, batch.mask.int()[0].tolist()
        (torch.Size([5, 16, 8]), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.3. The
    defaults are the paper's counts. The paper does not specify the markers that delimit the items
    and the query. In the paper, two items of a list may be equal, with probability 2^-18 per pair.
    """

    def __init__(self, bits: int = 6, vectors: int = 3, items: Sequence[int] = (2, 6)) -> None:
        self.bits = check_int("AssociativeRecall", "bits", bits)
        self.vectors = check_int("AssociativeRecall", "vectors", vectors)
        if self.bits * self.vectors > _MAX_BITS:
            raise ArgumentError(
                f"AssociativeRecall: an item must have at most {_MAX_BITS} bits, got "
                f"{self.vectors} vectors of {self.bits} bits; reduce vectors or bits"
            )
        self.items = self._checked(
            "AssociativeRecall", check_range("AssociativeRecall", "items", items)
        )
        self.input_size, self.output_size = self.bits + 2, self.bits

    @property
    def steps(self) -> int:
        return self._steps(self.items[1])

    def at(self, items: int) -> AssociativeRecall:
        """Return a copy of this family with a single number of items, which may be out of range."""
        items = check_int("AssociativeRecall.at", "items", items)
        return self._with(items=self._checked("AssociativeRecall.at", (items, items)))

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return uniform_counts(self.items, tasks, generator)

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        batch, longest, each = len(parameters), int(parameters.max()), self.vectors
        codes = draw_distinct(
            torch.full((batch,), 2 ** (self.bits * each)), longest, generator
        )  # (B, n), an item as one integer
        bits = codes.unsqueeze(-1) >> torch.arange(self.bits * each) & 1
        vectors = bits.reshape(batch, longest * each, self.bits).to(torch.get_default_dtype())
        uniform = torch.rand(batch, 1, dtype=torch.float64, generator=generator)
        query = (uniform * (parameters - 1)).long()  # an item, 0 .. n-2
        step = torch.arange(self._steps(longest)).expand(batch, -1)
        item, place = step // (each + 1), step % (each + 1) - 1  # place -1 is the marker
        listed = item < parameters
        after = step - parameters * (each + 1)  # steps since the list ended
        repeated = (after >= 1) & (after <= each)
        recall = (after >= each + 2) & (after <= 2 * each + 1)
        shown = torch.where(repeated, query * each + after - 1, item * each + place)
        markers = torch.stack([listed & (place < 0), (after == 0) | (after == each + 1)], -1)
        inputs = torch.cat(
            [
                vectors_at_steps(vectors, shown, repeated | (listed & (place >= 0)), 0.0),
                markers.to(vectors.dtype),
            ],
            -1,
        )
        targets = vectors_at_steps(vectors, (query + 1) * each + after - each - 2, recall, math.nan)
        return inputs.masked_fill((after > 2 * each + 1).unsqueeze(-1), math.nan), targets

    def _steps(self, items: int) -> int:
        return (self.vectors + 1) * items + 2 * self.vectors + 2

    def _checked(self, who: str, items: tuple[int, int]) -> tuple[int, int]:
        distinct = 2 ** (self.bits * self.vectors)
        if items[0] < 2 or items[1] > distinct:
            raise ArgumentError(
                f"{who}: items must be from 2 to {distinct}, the number of distinct items of "
                f"{self.vectors} vectors of {self.bits} bits, got {items}; change the range, or "
                "raise bits"
            )
        return items
