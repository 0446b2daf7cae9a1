"""Prediction of the bits of a random n-gram model, and the optimal predictor."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.errors import ArgumentError, ShapeError
from l2l_rnn.tasksets.algorithmic.bit_sequences import BitSequences
from l2l_rnn.tasksets.registration import register_family

_MAX_ORDER = 12  # a table of 2,048 probabilities


@register_family(
    "dynamic_ngrams",
    TaskCard(
        task="Predict the next bit of sequences drawn from an unknown table of 32 probabilities.",
        source="drawn as in A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, "
        "section 4.4",
        license="none needed",
        classes=None,
        items=None,
        lengths=(199, 199),
        splits="random; tables are drawn independently",
        measure="cost per sequence in bits",
        chance=195.0,
        baseline=("the optimal predictor without a support set", 128.0),
    ),
)
class DynamicNGrams(BitSequences):
    """Dynamic n-grams: predict the next bit of sequences generated from an unknown table.

    A task is a table. For each context c of n - 1 bits, it contains the probability that the next
    bit is 1, drawn from Beta(1/2, 1/2). A sequence starts with n - 1 fair bits; the others are
    drawn from the table. Each step shows a bit, and its target is the next bit. The first target is
    at step n - 2, where the context is complete. The fair bits are not targets, because they cannot
    be predicted.

    After N1 ones and N0 zeros in the same context, the optimal prediction is

        P(1 | N1, N0, c) = (N1 + 1/2) / (N1 + N0 + 1),

    and no predictor has a lower average cost. `bayes_logits` computes it, and `bayes_bits` computes
    its cost. With the default options and without a support set, the average cost is 128.0 bits per
    sequence; always predicting 1/2 costs 195 bits.

    Args:
        order: `n`.
        length: bits per sequence, the first n - 1 included.

    Attributes:
        optimum: None; the lowest possible error of a sequence is its `bayes_bits`.

    Shapes:
        inputs and targets `(N, B, S, 1)`, S = length - 1.

    Raises:
        ArgumentError: `order` is not an integer from 2 to 12, or `length` is not greater.

    Example:
        >>> family = DynamicNGrams()
        >>> batch = family.sequences(8)
        >>> batch.inputs.shape, batch.mask[0].sum()
        (torch.Size([8, 199, 1]), tensor(195))
        >>> family.bayes_bits(batch.inputs, batch.targets).shape
        torch.Size([8])

    Source: A. Graves, G. Wayne and I. Danihelka, 2014, Neural Turing Machines, section 4.4 and
    equation 10. The defaults are the paper's n = 6 and 200 bits. In the paper, as in `sequences`,
    each sequence has its own table. In a task of this family all sequences share one table, which
    can be estimated from the support set.
    """

    input_size = output_size = 1
    optimum: float | None = None

    def __init__(self, order: int = 6, length: int = 200) -> None:
        self.order = check_int("DynamicNGrams", "order", order, least=2, most=_MAX_ORDER)
        self.length = self._checked("DynamicNGrams", length)

    @property
    def steps(self) -> int:
        return self.length - 1

    def at(self, length: int) -> DynamicNGrams:
        """Return a copy of this family with another sequence length."""
        return self._with(length=self._checked("DynamicNGrams.at", length))

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        # Beta(1/2, 1/2) is the arcsine distribution: sin^2 of a uniform angle.
        angle = torch.rand(tasks, 2 ** (self.order - 1), generator=generator) * (math.pi / 2)
        return angle.sin().square()

    def episodes(
        self, parameters: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        known, batch = self.order - 1, len(parameters)
        uniform = torch.rand(batch, self.length, generator=generator)
        bits = torch.empty(batch, self.length, dtype=torch.int64)
        bits[:, :known] = uniform[:, :known] < 0.5
        context = bits[:, :known] @ (2 ** torch.arange(known).flip(0))  # the last bit is the lowest
        for t in range(known, self.length):
            table = parameters.gather(1, context.unsqueeze(-1)).squeeze(-1)
            bits[:, t] = uniform[:, t] < table
            context = (2 * context + bits[:, t]) % 2**known
        steps = bits.to(parameters.dtype).unsqueeze(-1)
        targets = steps[:, 1:].clone()
        targets[:, : known - 1] = math.nan
        return steps[:, :-1], targets

    def bayes_logits(self, inputs: Tensor, support: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Compute the optimal predictor's logits at each step, given the steps up to that one.

        Args:
            inputs: sequences to predict.
            support: inputs and targets of other sequences from the same table, such as a task's
                support set; None uses only the sequence itself.

        Shapes:
            inputs `(…, B, S, 1)`, each of support `(…, B', S', 1)` -> logits `(…, B, S, 1)`, which
            are meaningless at steps without a target.

        Raises:
            ShapeError: sequences are shorter than a context or have the wrong shape, or targets and
                inputs differ in shape.
        """
        contexts = self._contexts(inputs)  # (…, B, S - n + 2)
        bits = inputs[..., self._first + 1 :, :].to(torch.float64)
        past = self._one_hot(contexts[..., :-1])  # contexts whose next bit is among the inputs
        here = contexts.unsqueeze(-1)
        counts = [
            _sums_before(past * bits).gather(-1, here),
            _sums_before(past * (1 - bits)).gather(-1, here),
        ]
        if support is not None:
            _check_same_shape(*support)
            seen = self._one_hot(self._contexts(support[0]))
            bits = support[1][..., self._first :, :].to(torch.float64)
            for i, next_bits in enumerate((bits, 1 - bits)):
                total = (seen * next_bits).sum((-3, -2))[..., None, None, :]  # (…, 1, 1, contexts)
                counts[i] += total.expand(*contexts.shape, -1).gather(-1, here)
        ones, zeros = counts
        logits = (ones + 0.5).log() - (zeros + 0.5).log()
        return torch.nn.functional.pad(logits, (0, 0, self._first, 0)).to(inputs.dtype)

    def bayes_bits(
        self, inputs: Tensor, targets: Tensor, support: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Compute the optimal predictor's cost of each sequence, in bits.

        Args:
            inputs, targets: the sequences; targets at the first n - 2 steps are ignored.
            support: as in `bayes_logits`.

        Shapes:
            inputs, targets `(…, B, S, 1)` -> `(…, B)`.

        Raises:
            ShapeError: as `bayes_logits`.
        """
        _check_same_shape(inputs, targets)
        logits = self.bayes_logits(inputs.to(torch.float64), support)[..., self._first :, :]
        bits = targets[..., self._first :, :].to(torch.float64)
        losses = torch.nn.functional.binary_cross_entropy_with_logits(
            logits, bits, reduction="none"
        )
        return losses.sum((-2, -1)) / math.log(2)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Compute each task's `cost`; even the optimal predictor gets some random bits wrong."""
        return self.cost(outputs, targets)

    @property
    def _first(self) -> int:
        """The first step that has a target."""
        return self.order - 2

    def _rows(self, batch: int, ragged: bool, generator: Generator | None) -> Tensor:
        return self.parameters(batch, generator)

    def _contexts(self, inputs: Tensor) -> Tensor:
        """Return the context at each step that has one, as an integer.

        Shapes:
            inputs `(…, S, 1)` -> `(…, S - n + 2)`.
        """
        known = self.order - 1
        if inputs.dim() < 3 or inputs.shape[-1] != 1 or inputs.shape[-2] < known:
            raise ShapeError(
                f"DynamicNGrams: sequences must have shape (…, B, S, 1) with S of at least "
                f"{known}, got {tuple(inputs.shape)}; reshape them, or lower order"
            )
        powers = 2 ** torch.arange(known, device=inputs.device).flip(0)
        return (inputs.squeeze(-1).long().unfold(-1, known, 1) * powers).sum(-1)

    def _one_hot(self, contexts: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(contexts, 2 ** (self.order - 1)).to(torch.float64)

    def _checked(self, who: str, length: int) -> int:
        length = check_int(who, "length", length)
        if length <= self.order:
            raise ArgumentError(
                f"{who}: length must be greater than order={self.order}, got {length}; raise "
                "length or lower order"
            )
        return length


def _check_same_shape(inputs: Tensor, targets: Tensor) -> None:
    if inputs.shape != targets.shape:
        raise ShapeError(
            f"DynamicNGrams: targets must have the shape of their inputs, {tuple(inputs.shape)}, "
            f"got {tuple(targets.shape)}; pass the targets drawn with these inputs"
        )


def _sums_before(values: Tensor) -> Tensor:
    """Sum over the steps before each step: `(…, S - 1, contexts)` -> `(…, S, contexts)`."""
    return torch.nn.functional.pad(values.cumsum(-2), (0, 0, 1, 0))
