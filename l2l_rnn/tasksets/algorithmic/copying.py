"""Copying of bit vectors, once or several times, as Graves et al. asked it of memory networks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.data import TaskCard
from l2l_rnn.tasksets.algorithmic.bit_sequences import (
    BitSequences,
    check_count,
    check_range,
    random_bits,
    steps_at,
    uniform_counts,
)
from l2l_rnn.tasksets.catalog import Sources, register_taskset


class Copy(BitSequences):
    """Copying: read random bit vectors and a delimiter, then give the vectors out in their order.

    A sequence of L vectors has 2 L + 1 steps:

    - steps 0 .. L-1: the vectors, on the channels 0 .. bits-1;
    - step L: the delimiter, 1 on the channel `bits`, which is 0 at all other steps;
    - steps L+1 .. 2L: nothing but zeros; vector i is asked for at step L+1+i.

    A task is a length; nothing else tells tasks apart. The best error, wrong bits of a sequence, is
    0; a guess gets half of the L * bits asked for.

    Args:
        bits: of a vector.
        lengths: the least and the greatest L; each is as likely.

    Shapes:
        inputs `(N, B, 2 * greatest L + 1, bits + 1)`, answers `(N, B, S, bits)`.

    Raises:
        ArgumentError: `bits` is not a positive integer, `lengths` not two of them in order.

    Example:
        >>> family = Copy(bits=8, lengths=(1, 20))
        >>> batch = family.at(3).sequences(2)
        >>> batch.inputs.shape, batch.mask.int()[0].tolist()
        (torch.Size([2, 7, 9]), [0, 0, 0, 0, 1, 1, 1])
        >>> family.at(120).sequences(2).targets.shape  # longer than it was trained on
        torch.Size([2, 241, 8])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.1, whose
    lengths and bits are the defaults.
    """

    _shown: ClassVar[tuple[str, ...]] = ("bits", "lengths")

    def __init__(self, bits: int = 8, lengths: Sequence[int] = (1, 20)) -> None:
        self.bits = check_count("Copy", "bits", bits)
        self.lengths = check_range("Copy", "lengths", lengths)
        self.input_size, self.output_size = bits + 1, bits

    @property
    def steps(self) -> int:
        return 2 * self.lengths[1] + 1

    def at(self, length: int) -> Copy:
        """Return this family at one length, which may be one it does not have."""
        check_count("Copy.at", "length", length)
        return self._with(lengths=(length, length))

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return uniform_counts(self.lengths, tasks, generator)

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        most = int(parameters.max())
        vectors = random_bits(len(parameters), most, self.bits, generator=generator)
        step, length = torch.arange(2 * most + 1).expand(len(parameters), -1), parameters
        shown = steps_at(vectors, step, step < length, 0.0)
        inputs = torch.cat([shown, (step == length).unsqueeze(-1).to(shown.dtype)], -1)
        ended, recall = step > 2 * length, (step > length) & (step <= 2 * length)
        answers = steps_at(vectors, step - length - 1, recall, math.nan)
        return inputs.masked_fill(ended.unsqueeze(-1), math.nan), answers


class RepeatCopy(BitSequences):
    """Repeated copying: read bit vectors and a number, give them out that often, and an end mark.

    A sequence of L vectors, asked for R times, has L + 1 + L R + 1 steps:

    - steps 0 .. L-1: the vectors, on the channels 0 .. bits-1;
    - step L: on the channel `bits` the number of copies, shifted and scaled so that its range has
      mean 0 and variance 1, and 1 on the channel `bits + 1`; both are 0 at all other steps;
    - steps L+1 .. L + L R: zeros; vector i of each copy is asked for in turn;
    - the last step: zeros; asked for are zeros and, as bit `bits`, the end mark, which is 0 before.

    A task is a length and a number of copies. The best error, wrong bits of a sequence, is 0; a
    guess gets half of the (L R + 1) * (bits + 1) asked for.

    Args:
        bits: of a vector.
        lengths: the least and the greatest L; each is as likely.
        repeats: the least and the greatest R; each is as likely.

    Shapes:
        inputs `(N, B, S, bits + 2)`, answers `(N, B, S, bits + 1)`, S that of the greatest L and R.

    Raises:
        ArgumentError: `bits` is not a positive integer, `lengths` or `repeats` not two of them in
            order.

    Example:
        >>> family = RepeatCopy()
        >>> batch = family.at(length=2, repeats=3).sequences(1)
        >>> batch.inputs.shape, batch.mask.int()[0].tolist()
        (torch.Size([1, 10, 10]), [0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
        >>> batch.targets[0, :, -1].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.2, whose
    ranges and bits are the defaults. The flag beside the number is this package's: a number at the
    mean of its range is 0, as if there were none.
    """

    _shown: ClassVar[tuple[str, ...]] = ("bits", "lengths", "repeats")

    def __init__(
        self, bits: int = 8, lengths: Sequence[int] = (1, 10), repeats: Sequence[int] = (1, 10)
    ) -> None:
        self.bits = check_count("RepeatCopy", "bits", bits)
        self.lengths = check_range("RepeatCopy", "lengths", lengths)
        self.repeats = low, high = check_range("RepeatCopy", "repeats", repeats)
        self.input_size, self.output_size = bits + 2, bits + 1
        # Of the whole numbers from low to high; `at` keeps what was trained on.
        self.mean = (low + high) / 2
        self.deviation = math.sqrt(((high - low + 1) ** 2 - 1) / 12) or 1.0

    @property
    def steps(self) -> int:
        return self.lengths[1] * (1 + self.repeats[1]) + 2

    def at(self, length: int | Sequence[int], repeats: int | Sequence[int]) -> RepeatCopy:
        """Return this family at one length and number of copies, which may be new to it.

        Either may also be a range, the least and the greatest. The number is still shown by the
        mean and deviation of this family's range.
        """
        return self._with(
            lengths=_range_or_one("RepeatCopy.at", "length", length),
            repeats=_range_or_one("RepeatCopy.at", "repeats", repeats),
        )

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        lengths = uniform_counts(self.lengths, tasks, generator)
        return torch.cat([lengths, uniform_counts(self.repeats, tasks, generator)], -1)

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        length, repeats = parameters.split(1, -1)
        vectors = random_bits(len(parameters), int(length.max()), self.bits, generator=generator)
        end = length * (1 + repeats) + 1  # the step of the end mark
        step = torch.arange(int(end.max()) + 1).expand(len(parameters), -1)
        shown = steps_at(vectors, step, step < length, 0.0)
        flag = (step == length).unsqueeze(-1).to(shown.dtype)
        number = ((repeats - self.mean) / self.deviation).unsqueeze(-1).to(shown.dtype)
        inputs = torch.cat([shown, flag * number, flag], -1)
        recall, asked = (step > length) & (step < end), (step > length) & (step <= end)
        copies = steps_at(vectors, (step - length - 1) % length, recall, 0.0)
        mark = (step == end).unsqueeze(-1).to(shown.dtype)
        answers = torch.cat([copies, mark], -1).masked_fill(~asked.unsqueeze(-1), math.nan)
        return inputs.masked_fill((step > end).unsqueeze(-1), math.nan), answers


def _range_or_one(who: str, name: str, given: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(given, Sequence) and not isinstance(given, str):
        return check_range(who, name, given)
    return (check_count(who, name, given),) * 2


_GRAVES = "drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines"


@register_taskset(
    "copy",
    TaskCard(
        task="Give out 1-20 bit vectors in the order in which they were read.",
        source=f"{_GRAVES}, section 4.1",
        license="none needed",
        classes=None,
        items=None,
        lengths=(3, 41),
        splits="a sequence but by chance: each is drawn anew",
        measure="wrong bits of a sequence (best 0)",
        chance=42.0,
        baseline=("the rule itself", 0.0),
    ),
)
def _copy(root: str = "~/data", *, bits: int = 8, lengths: Sequence[int] = (1, 20)) -> Sources:
    family = Copy(bits, lengths)
    return family, family, family


@register_taskset(
    "repeat_copy",
    TaskCard(
        task="Give out 1-10 bit vectors as often as is asked, 1-10 times, and then an end mark.",
        source=f"{_GRAVES}, section 4.2",
        license="none needed",
        classes=None,
        items=None,
        lengths=(4, 112),
        splits="a sequence but by chance: each is drawn anew",
        measure="wrong bits of a sequence (best 0)",
        chance=140.625,
        baseline=("the rule itself", 0.0),
    ),
)
def _repeat_copy(
    root: str = "~/data",
    *,
    bits: int = 8,
    lengths: Sequence[int] = (1, 10),
    repeats: Sequence[int] = (1, 10),
) -> Sources:
    family = RepeatCopy(bits, lengths, repeats)
    return family, family, family
