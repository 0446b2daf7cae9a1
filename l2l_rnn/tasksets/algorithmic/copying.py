"""Copying of bit vectors, once or several times (Graves et al., 2014)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.tasksets.algorithmic.bit_sequences import (
    BitSequences,
    check_range,
    random_bits,
    uniform_counts,
    vectors_at_steps,
)
from l2l_rnn.tasksets.registration import register_family


@register_family(
    "copy",
    TaskCard(
        task="Output 1-20 bit vectors in the order they were read.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.1",
        license="none needed",
        classes=None,
        items=None,
        lengths=(3, 41),
        splits="random; sequences are drawn independently",
        measure="wrong bits per sequence (best 0)",
        chance=42.0,
        baseline=("the exact algorithm", 0.0),
    ),
)
class Copy(BitSequences):
    """Copying: read random bit vectors and a delimiter, then output the vectors in the same order.

    A sequence of L vectors has S = 2 L + 1 steps:

    - steps 0 .. L-1: the vectors, on channels 0 .. bits-1;
    - step L: the delimiter, a 1 on channel `bits`, which is 0 at all other steps;
    - steps L+1 .. 2L: zeros; the target at step L+1+i is vector i.

    A task is a length L. The error is the number of wrong bits per sequence; at chance level it is
    half of the L * bits target bits.

    Args:
        bits: bits per vector.
        lengths: smallest and largest L; all values in this range are equally likely.

    Shapes:
        inputs `(N, B, S, bits + 1)`, targets `(N, B, S, bits)`, where S is for the largest L.

    Raises:
        ArgumentError: `bits` is not a positive integer, or `lengths` is not two positive integers
            in order.

    Example:
        >>> family = Copy(bits=8, lengths=(1, 20))
        >>> batch = family.at(3).sequences(2)
        >>> batch.inputs.shape, batch.mask.int()[0].tolist()
        (torch.Size([2, 7, 9]), [0, 0, 0, 0, 1, 1, 1])
        >>> family.at(120).sequences(2).targets.shape  # longer than in training
        torch.Size([2, 241, 8])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.1. The
    defaults are the paper's lengths and bits.
    """

    def __init__(self, bits: int = 8, lengths: Sequence[int] = (1, 20)) -> None:
        self.bits = check_int("Copy", "bits", bits)
        self.lengths = check_range("Copy", "lengths", lengths)
        self.input_size, self.output_size = self.bits + 1, self.bits

    @property
    def steps(self) -> int:
        return 2 * self.lengths[1] + 1

    def at(self, length: int) -> Copy:
        """Return a copy of this family with a single length, which may be out of its range."""
        length = check_int("Copy.at", "length", length)
        return self._with(lengths=(length, length))

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return uniform_counts(self.lengths, tasks, generator)

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        longest = int(parameters.max())
        vectors = random_bits(len(parameters), longest, self.bits, generator=generator)
        step, length = torch.arange(2 * longest + 1).expand(len(parameters), -1), parameters
        shown = vectors_at_steps(vectors, step, step < length, 0.0)
        inputs = torch.cat([shown, (step == length).unsqueeze(-1).to(shown.dtype)], -1)
        ended, recall = step > 2 * length, (step > length) & (step <= 2 * length)
        targets = vectors_at_steps(vectors, step - length - 1, recall, math.nan)
        return inputs.masked_fill(ended.unsqueeze(-1), math.nan), targets


@register_family(
    "repeat_copy",
    TaskCard(
        task="Output 1-10 bit vectors as many times as requested (1-10), then an end marker.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.2",
        license="none needed",
        classes=None,
        items=None,
        lengths=(4, 112),
        splits="random; sequences are drawn independently",
        measure="wrong bits per sequence (best 0)",
        chance=140.625,
        baseline=("the exact algorithm", 0.0),
    ),
)
class RepeatCopy(BitSequences):
    """Repeated copying: read bit vectors and a number, then output the vectors that many times.

    A sequence of L vectors, to be repeated R times, has S = L + 1 + L R + 1 steps:

    - steps 0 .. L-1: the vectors, on channels 0 .. bits-1;
    - step L: the number R on channel `bits`, standardized by the mean and standard deviation of its
      range, and a flag of 1 on channel `bits + 1`; both channels are 0 at all other steps;
    - steps L+1 .. L + L R: zeros; the targets are the vectors in order, repeated R times;
    - the last step: zeros; the target is the end marker, a 1 in bit `bits`, which is 0 before.

    A task is a length L and a number R. The error is the number of wrong bits per sequence; at
    chance level it is half of the (L R + 1) * (bits + 1) target bits.

    Args:
        bits: bits per vector.
        lengths: smallest and largest L; all values in this range are equally likely.
        repeats: smallest and largest R; all values in this range are equally likely.

    Attributes:
        mean, std: mean and standard deviation of R, used to standardize it.

    Shapes:
        inputs `(N, B, S, bits + 2)`, targets `(N, B, S, bits + 1)`, where S is for the largest L
        and R.

    Raises:
        ArgumentError: `bits` is not a positive integer, or `lengths` or `repeats` is not two
            positive integers in order.

    Example:
        >>> family = RepeatCopy()
        >>> batch = family.at(length=2, repeats=3).sequences(1)
        >>> batch.inputs.shape, batch.mask.int()[0].tolist()
        (torch.Size([1, 10, 10]), [0, 0, 0, 1, 1, 1, 1, 1, 1, 1])
        >>> batch.targets[0, :, -1].tolist()
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.2. The
    defaults are the paper's ranges and bits. The flag next to R is not in the paper: if R is the
    mean of its range, it is standardized to 0, and the step would look empty without the flag.
    """

    def __init__(
        self, bits: int = 8, lengths: Sequence[int] = (1, 10), repeats: Sequence[int] = (1, 10)
    ) -> None:
        self.bits = check_int("RepeatCopy", "bits", bits)
        self.lengths = check_range("RepeatCopy", "lengths", lengths)
        self.repeats = low, high = check_range("RepeatCopy", "repeats", repeats)
        self.input_size, self.output_size = self.bits + 2, self.bits + 1
        # Mean and standard deviation of the uniform distribution on low .. high.
        self.mean = (low + high) / 2
        self.std = math.sqrt(((high - low + 1) ** 2 - 1) / 12) or 1.0

    @property
    def steps(self) -> int:
        return self.lengths[1] * (1 + self.repeats[1]) + 2

    def at(self, length: int | Sequence[int], repeats: int | Sequence[int]) -> RepeatCopy:
        """Return a copy of this family with other lengths and numbers of repeats.

        Each argument is a single value or a range. R is still standardized by the mean and standard
        deviation of this family's range, so a network trained on this family can read it.
        """
        return self._with(
            lengths=_as_range("RepeatCopy.at", "length", length),
            repeats=_as_range("RepeatCopy.at", "repeats", repeats),
        )

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        lengths = uniform_counts(self.lengths, tasks, generator)
        return torch.cat([lengths, uniform_counts(self.repeats, tasks, generator)], -1)

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        length, repeats = parameters.split(1, -1)
        vectors = random_bits(len(parameters), int(length.max()), self.bits, generator=generator)
        end = length * (1 + repeats) + 1  # the step of the end marker
        step = torch.arange(int(end.max()) + 1).expand(len(parameters), -1)
        shown = vectors_at_steps(vectors, step, step < length, 0.0)
        flag = (step == length).unsqueeze(-1).to(shown.dtype)
        number = ((repeats - self.mean) / self.std).unsqueeze(-1).to(shown.dtype)
        inputs = torch.cat([shown, flag * number, flag], -1)
        recall, mask = (step > length) & (step < end), (step > length) & (step <= end)
        copies = vectors_at_steps(vectors, (step - length - 1) % length, recall, 0.0)
        marker = (step == end).unsqueeze(-1).to(shown.dtype)
        targets = torch.cat([copies, marker], -1).masked_fill(~mask.unsqueeze(-1), math.nan)
        return inputs.masked_fill((step > end).unsqueeze(-1), math.nan), targets


def _as_range(who: str, name: str, value: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return check_range(who, name, value)
    return (check_int(who, name, value),) * 2
