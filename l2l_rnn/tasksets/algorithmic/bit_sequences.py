"""Base class of tasks with target bits at some steps of the input sequence."""

from __future__ import annotations

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.functional import binary_cross_entropy
from l2l_rnn.tasksets.task_family import TaskFamily


class BitBatch(NamedTuple):
    """A batch of sequences, with target bits at some of their steps.

    Attributes:
        inputs: the sequences; steps after the end of a shorter sequence are NaN.
        targets: the target bits, 0 at steps without a target.
        mask: True at the steps that have a target.

    Shapes:
        inputs `(B, S, F)`, targets `(B, S, output_size)`, mask `(B, S)` bool.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor


class BitSequences(TaskFamily):
    """Tasks with target bits at some steps of the input sequence. Abstract base class.

    Every sequence is drawn independently, from random bits. As in any `TaskFamily`, the sequences
    of a task share the task's parameters, such as their length. Sequences are padded to `steps`
    with NaN, so that tasks can be stacked; targets are NaN at steps without a target. `sequences`
    draws a plain batch without padding, to train on the rule itself.

    Attributes:
        steps: `S`, the length of the longest possible sequence.
        optimum: the lowest possible `error`; None if it depends on the sequence.

    Shapes:
        inputs `(N, B, S, F)`, targets `(N, B, S, output_size)`.
    """

    optimum: float | None = 0.0

    @property
    @abstractmethod
    def steps(self) -> int:
        """Return `S`, the length of the longest possible sequence."""

    @abstractmethod
    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw one sequence for each row of parameters.

        Args:
            parameters: task parameters, one row per sequence.
            generator: random number generator; None uses torch's global generator.

        Shapes:
            parameters `(B, …)` -> inputs `(B, S, F)`, NaN after the end, and targets
            `(B, S, output_size)`, NaN at steps without a target. S is the longest sequence length.
        """

    def sequences(
        self, batch: int, generator: Generator | None = None, *, ragged: bool = False
    ) -> BitBatch:
        """Draw a batch of sequences, to train on the rule itself.

        Args:
            batch: `B`, the number of sequences.
            generator: random number generator; None uses torch's global generator.
            ragged: whether each sequence draws its own length. By default one length is drawn for
                the whole batch, and nothing is padded.

        Raises:
            ArgumentError: `batch` is not a positive integer.
        """
        batch = check_int(f"{type(self).__name__}.sequences", "batch", batch)
        generator = self.split_generator(generator)
        inputs, targets = self.episodes(self._rows(batch, ragged, generator), generator)
        mask = ~targets.isnan().all(-1)
        parts = (inputs, targets.nan_to_num(0.0), mask)
        return BitBatch(*(part.to(self.device or "cpu") for part in parts))

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        rows = parameters.repeat_interleave(count, 0)
        inputs, targets = (
            torch.nn.functional.pad(part, (0, 0, 0, self.steps - part.shape[1]), value=math.nan)
            for part in self.episodes(rows, generator)
        )
        shape = (len(parameters), count)
        return inputs.unflatten(0, shape), targets.unflatten(0, shape)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute each task's mean cross-entropy per target bit, in nats, `(N,)`.

        Args:
            outputs: logits of the bits at every step.
            targets: the target bits, NaN at steps without a target.
        """
        return binary_cross_entropy(outputs, targets)

    def cost(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute each task's mean cross-entropy per sequence, in bits, `(N,)`.

        This is the "cost per sequence (bits)" of Graves et al. Arguments as in `loss`.
        """
        bits = (~targets.isnan()).sum((-3, -2, -1)) / targets.shape[-3]  # per sequence
        return binary_cross_entropy(outputs, targets) * bits / math.log(2)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute each task's mean number of wrong bits per sequence, `(N,)`.

        A logit above 0 predicts 1. Arguments as in `loss`.
        """
        if outputs.shape != targets.shape:
            raise ShapeError(
                f"{type(self).__name__}: outputs must have the shape of the targets, "
                f"{tuple(targets.shape)}, got {tuple(outputs.shape)}; pass one output per step"
            )
        wrong = ((outputs > 0) != (targets > 0.5)).to(outputs.dtype)
        wrong = wrong.masked_fill(outputs.isnan(), math.nan).masked_fill(targets.isnan(), 0)
        return wrong.sum((-2, -1)).mean(-1)

    def _rows(self, batch: int, ragged: bool, generator: Generator | None) -> Tensor:
        """Draw the parameters of a batch of sequences: one shared row, or one row each."""
        drawn = self.parameters(batch if ragged else 1, generator)
        return drawn.expand(batch, -1)

    def _with(self, **values: Any) -> Self:
        """Return a copy with other values of some attributes."""
        changed = copy.copy(self)
        vars(changed).update(values)
        return changed


def check_range(who: str, name: str, bounds: Sequence[int]) -> tuple[int, int]:
    """Return a range of positive integers as two ints.

    Raises:
        ArgumentError: `bounds` are not two positive integers in order.
    """
    try:
        low, high = (check_int(who, name, bound) for bound in bounds)
    except (TypeError, ValueError):
        low, high = 1, 0
    if low > high:
        raise ArgumentError(
            f"{who}: {name} must be two positive integers, the smallest and the largest, got "
            f"{bounds!r}; repeat a single value"
        )
    return low, high


def uniform_counts(
    bounds: tuple[int, int], tasks: int, generator: Generator | None = None
) -> Tensor:
    """Draw an integer for each task, uniform on an inclusive range, `(N, 1)`."""
    return torch.randint(bounds[0], bounds[1] + 1, (tasks, 1), generator=generator)


def random_bits(*shape: int, generator: Generator | None = None) -> Tensor:
    """Draw fair bits, 0.0 or 1.0."""
    return torch.randint(2, shape, generator=generator).to(torch.get_default_dtype())


def vectors_at_steps(vectors: Tensor, index: Tensor, mask: Tensor, fill: float) -> Tensor:
    """Place vectors at the steps of each sequence.

    Args:
        vectors: the vectors of each sequence.
        index: the vector at each step; ignored where the mask is False.
        mask: the steps that have a vector.
        fill: value of the other steps.

    Shapes:
        vectors `(B, count, bits)`, index and mask `(B, S)` -> `(B, S, bits)`.
    """
    index = index.clamp(0, vectors.shape[1] - 1).unsqueeze(-1).expand(-1, -1, vectors.shape[-1])
    return vectors.gather(1, index).masked_fill(~mask.unsqueeze(-1), fill)
