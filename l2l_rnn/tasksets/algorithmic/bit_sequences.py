"""The base of tasks that read a sequence and answer it bit by bit, step by step."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Generator, Tensor

from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional import binary_cross_entropy
from l2l_rnn.tasksets.task_family import TaskFamily


class BitBatch(NamedTuple):
    """Holds sequences with the bits that are asked for at some of their steps.

    Attributes:
        inputs: what is read; steps after the end of a shorter sequence are NaN.
        targets: the right bits, 0 where nothing is asked.
        mask: True at the steps that ask for bits.

    Shapes:
        inputs `(B, S, F)`, targets `(B, S, output_size)`, mask `(B, S)` bool.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor


class BitSequences(TaskFamily):
    """Tasks whose answer is some bits at some steps of the sequence itself. Not for direct use.

    Every sequence is an episode of its own, written anew from random bits. As a `TaskFamily`, the
    sequences of a task share its parameters, such as their length, and all are padded to `steps`
    with NaN, so that tasks stack; answers are NaN wherever nothing is asked. `sequences` draws a
    plain batch for training a network with memory, without that padding.

    Attributes:
        steps: `S`, the most steps a sequence can have.
        optimum: the least `error` there is.

    Shapes:
        inputs `(N, B, S, F)`, answers `(N, B, S, output_size)`.
    """

    optimum: float | None = 0.0

    @property
    @abstractmethod
    def steps(self) -> int:
        """Return `S`, the most steps a sequence can have."""

    @abstractmethod
    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Write one sequence for each row of parameters.

        Args:
            parameters: what tells tasks apart, one row for a sequence.
            generator: fixes what is drawn; None draws from torch's own.

        Shapes:
            parameters `(B, …)` -> inputs `(B, S, F)`, NaN after the end, and answers
            `(B, S, output_size)`, NaN where nothing is asked; S is the longest one's.
        """

    def sequences(
        self, batch: int, generator: Generator | None = None, *, ragged: bool = False
    ) -> BitBatch:
        """Draw a batch of sequences, for training on the task itself.

        Args:
            batch: `B`.
            generator: fixes what is drawn; None draws from torch's own.
            ragged: whether each sequence has a length of its own; otherwise all have one, drawn
                for the batch, and nothing is padded.

        Raises:
            ArgumentError: `batch` is not a positive integer.
        """
        check_count(f"{type(self).__name__}.sequences", "batch", batch)
        generator = self.split_generator(generator)
        inputs, answers = self.episodes(self._rows(batch, ragged, generator), generator)
        mask = ~answers.isnan().all(-1)
        parts = (inputs, answers.nan_to_num(0.0), mask)
        return BitBatch(*(part.to(self.device or "cpu") for part in parts))

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        rows = parameters.repeat_interleave(count, 0)
        inputs, answers = (
            torch.nn.functional.pad(part, (0, 0, 0, self.steps - part.shape[1]), value=math.nan)
            for part in self.episodes(rows, generator)
        )
        shape = (len(parameters), count)
        return inputs.unflatten(0, shape), answers.unflatten(0, shape)

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """Compute each task's mean cross-entropy of the bits asked for, in nats, `(N,)`.

        Args:
            outputs: logits of the bits, one answer a step.
            answers: the right bits, NaN where nothing is asked.
        """
        return binary_cross_entropy(outputs, answers)

    def cost(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """Compute what a sequence costs in bits, on average over each task's sequences, `(N,)`.

        This is the "cost per sequence (bits)" of Graves et al.; arguments are those of `loss`.
        """
        asked = (~answers.isnan()).sum((-3, -2, -1)) / answers.shape[-3]
        return binary_cross_entropy(outputs, answers) * asked / math.log(2)

    def error(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """Compute how many bits of a sequence are wrong, on average, `(N,)`; a logit over 0 is 1.

        Arguments are those of `loss`.
        """
        if outputs.shape != answers.shape:
            raise ShapeError(
                f"{type(self).__name__}: outputs must be shaped {tuple(answers.shape)}, like the "
                f"answers, got {tuple(outputs.shape)}; give one answer a step"
            )
        wrong = ((outputs > 0) != (answers > 0.5)).to(outputs.dtype)
        wrong = wrong.masked_fill(outputs.isnan(), math.nan).masked_fill(answers.isnan(), 0)
        return wrong.sum((-2, -1)).mean(-1)

    def _rows(self, batch: int, ragged: bool, generator: Generator | None) -> Tensor:
        """Draw the parameters of a batch of sequences: one for all of them, or one each."""
        drawn = self.parameters(batch if ragged else 1, generator)
        return drawn.expand(batch, -1)

    def _with(self, **values: Any) -> Self:
        """Return a copy with other values of some attributes."""
        changed = copy.copy(self)
        vars(changed).update(values)
        return changed


def check_count(who: str, name: str, count: object) -> int:
    """Return a positive integer, or raise an ArgumentError."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"{who}: {name} must be a positive integer, got {count!r}")
    return count


def check_range(who: str, name: str, bounds: Sequence[int]) -> tuple[int, int]:
    """Return the least and the greatest of a range of counts, or raise an ArgumentError."""
    pair = tuple(bounds) if isinstance(bounds, Sequence) else ()
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in pair)
    if not whole or len(pair) != 2 or not 1 <= pair[0] <= pair[1]:
        raise ArgumentError(
            f"{who}: {name} must be two positive integers, the least and the greatest, got "
            f"{bounds!r}; give both, the same number twice for one only"
        )
    return pair


def uniform_counts(
    bounds: tuple[int, int], tasks: int, generator: Generator | None = None
) -> Tensor:
    """Draw a count of a range for each task, each as likely, `(N, 1)`."""
    return torch.randint(bounds[0], bounds[1] + 1, (tasks, 1), generator=generator)


def random_bits(*shape: int, generator: Generator | None = None) -> Tensor:
    """Draw fair bits, 0.0 or 1.0."""
    return torch.randint(2, shape, generator=generator).to(torch.get_default_dtype())


def steps_at(vectors: Tensor, places: Tensor, where: Tensor, otherwise: float) -> Tensor:
    """Lay vectors out on steps: the vector of each place where it is asked for, else a number.

    Args:
        vectors: those of each sequence.
        places: which one stands at a step; any number where none does.
        where: the steps that show a vector.
        otherwise: what the others show.

    Shapes:
        vectors `(B, places, bits)`, places and where `(B, S)` -> `(B, S, bits)`.
    """
    index = places.clamp(0, vectors.shape[1] - 1).unsqueeze(-1).expand(-1, -1, vectors.shape[-1])
    return vectors.gather(1, index).masked_fill(~where.unsqueeze(-1), otherwise)
