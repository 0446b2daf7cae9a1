"""Prototypical networks behind `clone()` and `adapt()`."""

from __future__ import annotations

from typing import Any

import torch
from learn2learn.algorithms.base_learner import BaseLearner
from learn2learn.utils import clone_module
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.labels import members_of, read_labels
from l2l_rnn.algorithms.priors import GaussianPrior
from l2l_rnn.errors import AdaptationError, ArgumentError, ShapeError


class ProtoNet(BaseLearner):
    """Classify by the nearest class mean in a learned space: `score_c = -|f(x) - p_c|^2`.

    `f` is `module`, the encoder, and `p_c` the mean of `f` over the support sequences of class c. A
    `clone()` starts without prototypes and scores every class 0; `write(x, y)` adds labelled
    sequences to the class means. `adapt(loss)` does so in an unchanged learn2learn script: the
    loss of the support outputs tells their labels, since its gradient is negative in the label's
    score alone. The encoder is never changed by it, and `backward()` reaches it through both sets.

    Args:
        model: `f`, an encoder of sequences, such as `models.SequenceEncoder`.
        ways: `C`, the number of classes.
        prior: what a class may look like, learned from classes seen before, and then the score of
            a class is this `GaussianPrior`'s; fit it on the trained encoder's vectors. None takes
            the mean of few examples at its word.

    Attributes:
        prototypes: `p`, `(C, E)` or `(N, C, E)`; None before the first support sequence. A class
            without a support sequence has the mean of no example: zeros.

    Shapes:
        forward, x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` of the inputs is the task axis:
        each task has its own prototypes, the encoder is shared.

    Raises:
        ArgumentError: `ways` is not a positive integer, or a label is not one of them.
        ShapeError: labels do not fit the sequences.
        AdaptationError: `adapt` without a forward call before it, or with a loss that does not
            depend on its outputs or is not finite.

    Example:
        >>> learner = ProtoNet(nn.Identity(), ways=2).clone()
        >>> learner.write(torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([0, 0, 1]))
        >>> learner(torch.tensor([[1.5]]))
        tensor([[-1.0000, -6.2500]])

    Source: J. Snell, K. Swersky and R. Zemel, 2017, Prototypical Networks for Few-shot Learning,
    eq. 1-2. Reading labels off the loss gradient is this package's, to serve learn2learn's loop.
    """

    def __init__(self, model: nn.Module, ways: int, prior: GaussianPrior | None = None) -> None:
        super().__init__(model)
        if isinstance(ways, bool) or not isinstance(ways, int) or ways < 1:
            raise ArgumentError(f"ProtoNet: ways must be a positive integer, got {ways!r}")
        self.ways = ways
        self.prior = prior
        self.reset()

    def reset(self) -> None:
        """Forget all support sequences."""
        self._sums: Tensor | None = None  # (…, C, E), sums of support vectors by class
        self._counts: Tensor | None = None  # (…, C, 1), how many
        self._last: tuple[Tensor, Tensor] | None = None  # vectors and scores of the last forward

    @property
    def prototypes(self) -> Tensor | None:
        """The class means `p`, or None."""
        if self._sums is None or self._counts is None:
            return None
        return self._sums / self._counts.clamp_min(1)

    def clone(self, *, tasks: int | None = None) -> ProtoNet:
        """Return a learner without prototypes whose encoder backpropagates to this one's.

        Args:
            tasks: `N`; taken for the common interface. The task axis follows from the inputs.
        """
        learner = self.__class__.__new__(self.__class__)
        learner.__dict__ = {**self.__dict__, "_modules": {**self._modules}}
        learner._modules["module"] = clone_module(self.module)
        learner.reset()
        return learner

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_last": None}  # outputs of a call are no state

    def forward(self, x: Tensor) -> Tensor:
        vectors = self.module(x)
        prototypes = self.prototypes
        if prototypes is None:
            # Zeros that depend on the vectors, so that a loss of them has a graph.
            scores = (0 * vectors.sum(-1, keepdim=True)).expand(*vectors.shape[:-1], self.ways)
        else:
            if prototypes.shape[:-2] != vectors.shape[:-2]:
                raise ShapeError(
                    f"ProtoNet: x must have the support's leading axes "
                    f"{tuple(prototypes.shape[:-2])}, got {tuple(vectors.shape[:-2])}"
                )
            if self.prior is None:
                scores = -_squared_distances(vectors, prototypes)
            else:
                scores = self.prior(vectors, self._sums, self._counts)
        scores = scores.clone()
        self._last = (vectors, scores) if torch.is_grad_enabled() else None
        return scores

    def write(self, x: Tensor, y: Tensor) -> None:
        """Add labelled sequences to the class means.

        Shapes:
            x `(…, B, …)`, y `(…, B)`, classes `0 … C - 1`.
        """
        vectors = self.module(x)
        self._bind(vectors, members_of("ProtoNet.write", y, vectors, self.ways))

    def adapt(self, loss: Tensor) -> None:
        """Add the sequences of the last forward call to the class means, labels read off `loss`.

        Args:
            loss: any classification loss of the last outputs, summed or averaged, scalar or `(N,)`.
        """
        if self._last is None:
            raise AdaptationError(
                "ProtoNet.adapt: no outputs to learn from; call the learner on the support set "
                "first, with gradients on"
            )
        vectors, scores = self._last
        labels, asks = read_labels("ProtoNet.adapt", loss, scores)
        members = F.one_hot(labels, self.ways).to(vectors.dtype)
        if self._sums is None:  # without prototypes, a row that asks for no class has no part
            members = members * asks.unsqueeze(-1)
        self._bind(vectors, members)

    def _bind(self, vectors: Tensor, members: Tensor) -> None:
        """Add vectors `(…, B, E)` to the classes of which they are `members`, `(…, B, C)`."""
        sums, counts = members.mT @ vectors, members.sum(-2).unsqueeze(-1)
        self._sums = sums if self._sums is None else self._sums + sums
        self._counts = counts if self._counts is None else self._counts + counts
        self._last = None


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """`|x_b - y_c|^2`: x `(…, B, E)`, y `(…, C, E)` -> `(…, B, C)`."""
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1)
