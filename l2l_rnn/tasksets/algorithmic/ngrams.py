"""Prediction of bits by tables that change with the task, and the best predictor there is."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.data import TaskCard
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.tasksets.algorithmic.bit_sequences import BitSequences, check_count
from l2l_rnn.tasksets.catalog import Sources, register_taskset

_HIGHEST_ORDER = 12  # a table of 2,048 numbers


class DynamicNGrams(BitSequences):
    """Dynamic n-grams: predict each next bit of a sequence that an unknown table writes.

    A task is a table: for each context c of n - 1 bits, the probability that the next bit is 1,
    drawn from Beta(1/2, 1/2). A sequence starts with n - 1 fair bits, and the table draws the rest.
    A step shows a bit and asks for the next one, from step n - 2 on, where the context is known;
    the fair bits, which cost anybody one bit each, are not asked for.

    After N1 ones and N0 zeros in the same context, the best prediction is

        P(1 | N1, N0, c) = (N1 + 1/2) / (N1 + N0 + 1),

    and no predictor costs less on average: `bayes_logits` gives it, `bayes_bits` its cost. At the
    defaults, a sequence by itself costs it 128.0 bits on average, where a fair coin costs 195.

    Args:
        order: `n`.
        length: bits of a sequence, the first n - 1 included.

    Shapes:
        inputs and answers `(N, B, S, 1)`, S = length - 1.

    Raises:
        ArgumentError: `order` is not an integer from 2 to 12, or `length` not one above it.

    Example:
        >>> family = DynamicNGrams()
        >>> batch = family.sequences(8)
        >>> batch.inputs.shape, batch.mask[0].sum()
        (torch.Size([8, 199, 1]), tensor(195))
        >>> family.bayes_bits(batch.inputs, batch.targets).shape
        torch.Size([8])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.4 and
    equation 10, whose n = 6 and 200 bits are the defaults. There each sequence has a table of its
    own, as `sequences` has it; in a task of this family they share one, and a support set tells it.
    """

    input_size = output_size = 1
    optimum: float | None = None  # that of a sequence is `bayes_bits`
    _shown: ClassVar[tuple[str, ...]] = ("order", "length")

    def __init__(self, order: int = 6, length: int = 200) -> None:
        whole = isinstance(order, int) and not isinstance(order, bool)
        if not whole or not 2 <= order <= _HIGHEST_ORDER:
            raise ArgumentError(
                f"DynamicNGrams: order must be an integer from 2 to {_HIGHEST_ORDER}, got {order!r}"
            )
        self.order = order
        self.length = self._checked("DynamicNGrams", length)

    @property
    def steps(self) -> int:
        return self.length - 1

    def at(self, length: int) -> DynamicNGrams:
        """Return this family with sequences of another length."""
        return self._with(length=self._checked("DynamicNGrams.at", length))

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        # Beta(1/2, 1/2) is the arcsine law: sin^2 of a uniform angle.
        angle = torch.rand(tasks, 2 ** (self.order - 1), generator=generator) * (math.pi / 2)
        return angle.sin().square()

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        known, batch = self.order - 1, len(parameters)
        chance = torch.rand(batch, self.length, generator=generator)
        bits = torch.empty(batch, self.length, dtype=torch.int64)
        bits[:, :known] = chance[:, :known] < 0.5
        context = bits[:, :known] @ (2 ** torch.arange(known).flip(0))  # the latest bit is lowest
        for t in range(known, self.length):
            table = parameters.gather(1, context.unsqueeze(-1)).squeeze(-1)
            bits[:, t] = chance[:, t] < table
            context = (2 * context + bits[:, t]) % 2**known
        steps = bits.to(parameters.dtype).unsqueeze(-1)
        answers = steps[:, 1:].clone()
        answers[:, : known - 1] = math.nan
        return steps[:, :-1], answers

    def bayes_logits(self, inputs: Tensor, seen: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Compute what the best predictor answers at each step, from the steps up to it.

        Args:
            inputs: sequences to predict.
            seen: inputs and answers, or targets, of other sequences of the same table, such as a
                task's support set; None knows of none.

        Shapes:
            inputs `(…, B, S, 1)`, each of seen `(…, B', S', 1)` -> logits `(…, B, S, 1)`; they
            mean nothing at steps that ask for nothing.

        Raises:
            ShapeError: sequences are shorter than a context or have another shape, or answers are
                not shaped like their inputs.
        """
        codes = self._codes(inputs)  # (…, B, S - n + 2)
        bits = inputs[..., self._first + 1 :, :].to(torch.float64)
        past = self._one_hot(codes[..., :-1])  # contexts whose next bit is among the inputs
        here = codes.unsqueeze(-1)
        counts = [
            _before(past * bits).gather(-1, here),
            _before(past * (1 - bits)).gather(-1, here),
        ]
        if seen is not None:
            _check_alike(*seen)
            told = self._one_hot(self._codes(seen[0]))
            right = seen[1][..., self._first :, :].to(torch.float64)
            for i, followed in enumerate((right, 1 - right)):
                table = (told * followed).sum((-3, -2))[..., None, None, :]  # (…, 1, 1, contexts)
                counts[i] += table.expand(*codes.shape, -1).gather(-1, here)
        ones, zeros = counts
        logits = (ones + 0.5).log() - (zeros + 0.5).log()
        return torch.nn.functional.pad(logits, (0, 0, self._first, 0)).to(inputs.dtype)

    def bayes_bits(
        self, inputs: Tensor, answers: Tensor, seen: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Compute what the best predictor pays for each sequence, in bits.

        Args:
            inputs, answers: the sequences, as drawn; targets do for answers.
            seen: as in `bayes_logits`.

        Shapes:
            inputs, answers `(…, B, S, 1)` -> `(…, B)`.

        Raises:
            ShapeError: as `bayes_logits`.
        """
        _check_alike(inputs, answers)
        logits = self.bayes_logits(inputs.to(torch.float64), seen)[..., self._first :, :]
        right = answers[..., self._first :, :].to(torch.float64)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, right, reduction="none"
        )
        return losses.sum((-2, -1)) / math.log(2)

    def error(self, outputs: Tensor, answers: Tensor) -> Tensor:
        """Compute each task's `cost`: bits that are left to chance cannot all be right."""
        return self.cost(outputs, answers)

    @property
    def _first(self) -> int:
        """The first step that is asked for the next bit."""
        return self.order - 2

    def _rows(self, batch: int, ragged: bool, generator: Generator | None) -> Tensor:
        return self.parameters(batch, generator)

    def _codes(self, inputs: Tensor) -> Tensor:
        """Number the context at each step that has one: `(…, S, 1)` -> `(…, S - n + 2)`."""
        known = self.order - 1
        if inputs.dim() < 3 or inputs.shape[-1] != 1 or inputs.shape[-2] < known:
            raise ShapeError(
                f"DynamicNGrams: sequences must be shaped (…, B, S, 1) with S of {known} or more, "
                f"got {tuple(inputs.shape)}"
            )
        powers = 2 ** torch.arange(known, device=inputs.device).flip(0)
        return (inputs.squeeze(-1).long().unfold(-1, known, 1) * powers).sum(-1)

    def _one_hot(self, codes: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(codes, 2 ** (self.order - 1)).to(torch.float64)

    def _checked(self, who: str, length: int) -> int:
        check_count(who, "length", length)
        if length <= self.order:
            raise ArgumentError(
                f"{who}: length must be more than order={self.order}, got {length}; a bit is to be "
                "predicted from those before it"
            )
        return length


def _check_alike(inputs: Tensor, answers: Tensor) -> None:
    if inputs.shape != answers.shape:
        raise ShapeError(
            f"DynamicNGrams: answers must be shaped {tuple(inputs.shape)}, like their inputs, got "
            f"{tuple(answers.shape)}"
        )


def _before(counted: Tensor) -> Tensor:
    """Sum over the steps before each: `(…, S - 1, contexts)` -> `(…, S, contexts)`."""
    return torch.nn.functional.pad(counted.cumsum(-2), (0, 0, 1, 0))


@register_taskset(
    "dynamic_ngrams",
    TaskCard(
        task="Predict each next bit of sequences that a table of 32 probabilities writes.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.4",
        license="none needed",
        classes=None,
        items=None,
        lengths=(199, 199),
        splits="a table but by chance: its probabilities are continuous",
        measure="bits that a sequence costs",
        chance=195.0,
        baseline=("the best predictor of a sequence by itself", 128.0),
    ),
)
def _dynamic_ngrams(root: str = "~/data", *, order: int = 6, length: int = 200) -> Sources:
    family = DynamicNGrams(order, length)
    return family, family, family
