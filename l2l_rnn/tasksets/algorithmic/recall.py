"""Associative recall of items of bit vectors, as Graves et al. asked it of memory networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.data import TaskCard
from l2l_rnn.data.sampling import draw_distinct
from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets.algorithmic.bit_sequences import (
    BitSequences,
    check_count,
    check_range,
    steps_at,
    uniform_counts,
)
from l2l_rnn.tasksets.catalog import Sources, register_taskset

_MOST_BITS = 48  # of an item; more would not be drawn evenly by float64


class AssociativeRecall(BitSequences):
    """Associative recall: read a list of items, then one of them again, and give out the next one.

    An item is a few random bit vectors; no two items of a list are alike, so that the answer is
    certain. With v vectors an item, a list of n items has (v + 1) n + 2 v + 2 steps:

    - for each item, a step with 1 on the channel `bits`, then its vectors on channels 0 .. bits-1;
    - a step with 1 on the channel `bits + 1`, the vectors of the item asked about, which is any but
      the last of the list, and a step with 1 on the channel `bits + 1` again;
    - v steps of zeros, at which the vectors of the item after it are asked for.

    A task is a number of items. The best error, wrong bits of a sequence, is 0; a guess gets half
    of the v * bits asked for.

    Args:
        bits: of a vector.
        vectors: `v`, those of an item.
        items: the least and the greatest n; each is as likely.

    Shapes:
        inputs `(N, B, S, bits + 2)`, answers `(N, B, S, bits)`, S that of the greatest n.

    Raises:
        ArgumentError: a count is not a positive integer, `items` not two in order from 2 on, an
            item has more than 48 bits, or there are more items than differ.

    Example:
        >>> family = AssociativeRecall()
        >>> batch = family.at(items=2).sequences(5)
        >>> batch.inputs.shape, batch.mask.int()[0].tolist()
        (torch.Size([5, 16, 8]), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.3, whose
    counts are the defaults. Which marks bound the items and the query is this package's reading;
    there items could be alike, by a chance of 2^-18 for a pair.
    """

    _shown: ClassVar[tuple[str, ...]] = ("bits", "vectors", "items")

    def __init__(self, bits: int = 6, vectors: int = 3, items: Sequence[int] = (2, 6)) -> None:
        self.bits = check_count("AssociativeRecall", "bits", bits)
        self.vectors = check_count("AssociativeRecall", "vectors", vectors)
        if bits * vectors > _MOST_BITS:
            raise ArgumentError(
                f"AssociativeRecall: an item can have {_MOST_BITS} bits at most, got {vectors} "
                f"vectors of {bits} bits; make either smaller"
            )
        self.items = self._checked(
            "AssociativeRecall", check_range("AssociativeRecall", "items", items)
        )
        self.input_size, self.output_size = bits + 2, bits

    @property
    def steps(self) -> int:
        return self._steps(self.items[1])

    def at(self, items: int) -> AssociativeRecall:
        """Return this family at one number of items, which may be one it does not have."""
        check_count("AssociativeRecall.at", "items", items)
        return self._with(items=self._checked("AssociativeRecall.at", (items, items)))

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return uniform_counts(self.items, tasks, generator)

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        batch, most, each = len(parameters), int(parameters.max()), self.vectors
        codes = draw_distinct(
            torch.full((batch,), 2 ** (self.bits * each)), most, generator
        )  # (B, n)
        bits = codes.unsqueeze(-1) >> torch.arange(self.bits * each) & 1
        vectors = bits.reshape(batch, most * each, self.bits).to(torch.get_default_dtype())
        chance = torch.rand(batch, 1, dtype=torch.float64, generator=generator)
        asked = (chance * (parameters - 1)).long()  # the item asked about, 0 .. n-2
        step = torch.arange(self._steps(most)).expand(batch, -1)
        item, place = step // (each + 1), step % (each + 1) - 1  # place -1 is the mark
        listed = item < parameters
        query = step - parameters * (each + 1)  # steps since the list ended
        repeated = (query >= 1) & (query <= each)
        recall = (query >= each + 2) & (query <= 2 * each + 1)
        shown = torch.where(repeated, asked * each + query - 1, item * each + place)
        marks = torch.stack([listed & (place < 0), (query == 0) | (query == each + 1)], -1)
        inputs = torch.cat(
            [
                steps_at(vectors, shown, repeated | (listed & (place >= 0)), 0.0),
                marks.to(vectors.dtype),
            ],
            -1,
        )
        answers = steps_at(vectors, (asked + 1) * each + query - each - 2, recall, math.nan)
        return inputs.masked_fill((query > 2 * each + 1).unsqueeze(-1), math.nan), answers

    def _steps(self, items: int) -> int:
        return (self.vectors + 1) * items + 2 * self.vectors + 2

    def _checked(self, who: str, items: tuple[int, int]) -> tuple[int, int]:
        differ = 2 ** (self.bits * self.vectors)
        if items[0] < 2 or items[1] > differ:
            raise ArgumentError(
                f"{who}: items must be from 2 to {differ}, which is how many items of "
                f"{self.vectors} vectors of {self.bits} bits differ, got {items}"
            )
        return items


@register_taskset(
    "associative_recall",
    TaskCard(
        task="Read a list of 2-6 items, then one of them again, and give out the item after it.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.3",
        license="none needed",
        classes=None,
        items=None,
        lengths=(16, 32),
        splits="a sequence but by chance: each is drawn anew",
        measure="wrong bits of a sequence (best 0)",
        chance=9.0,
        baseline=("the rule itself", 0.0),
    ),
)
def _associative_recall(
    root: str = "~/data", *, bits: int = 6, vectors: int = 3, items: Sequence[int] = (2, 6)
) -> Sources:
    family = AssociativeRecall(bits, vectors, items)
    return family, family, family
