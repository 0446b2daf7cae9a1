"""Learners that keep what they need of a support set, and compute their classifier from it."""

from __future__ import annotations

from abc import abstractmethod
from typing import TypeVar

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.closed_form.support_holder import SupportHolder
from l2l_rnn.algorithms.inner_loop.checks import no_outputs_error
from l2l_rnn.algorithms.labels import mask_absent, one_hot, read_labels
from l2l_rnn.checks import check_int
from l2l_rnn.errors import ShapeError

Self = TypeVar("Self", bound="SupportLearner")


class SupportLearner(SupportHolder):
    """A classifier that is a function of the encoded support set. Not for direct use.

    It has the calls of all such learners: `clone`, `write`, `adapt` and `forward`. A subclass says
    what it keeps of the support vectors, and how it computes scores from that.

    Args:
        model: the encoder.
        ways: `C`, the number of classes.
    """

    def __init__(self, model: nn.Module, ways: int) -> None:
        super().__init__(model)
        self.ways = check_int(type(self).__name__, "ways", ways)

    @abstractmethod
    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        """Return what is kept after further sequences, by name.

        Args:
            who: begins error messages.
            vectors: support vectors `(…, B, E)`.
            members: their one-hot labels `(…, B, C)`; zeros where a row is padding.
        """

    @abstractmethod
    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Score vectors: return scores `(…, B, C)`, and which classes are present, `(…, C)`."""

    @staticmethod
    @abstractmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        """Return whether tensors of the right names have shapes that fit together."""

    @staticmethod
    @abstractmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        """Return the number of classes of what was kept."""

    @staticmethod
    @abstractmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        """Return what was kept, for more classes, which have no examples yet."""

    def continued(self: Self, before: SupportLearner | None, ways: int) -> Self:
        """Return a clone for more classes that has the support set of another clone.

        Args:
            before: a clone of this learner, or None for a clone without a support set.
            ways: `C`, at least that of `before`.
        """
        learner = self.clone()
        learner.ways = ways
        held = {} if before is None else before._adaptation()
        for name, value in (self._with_ways(held, ways) if held else held).items():
            setattr(learner, f"_{name}", value)
        return learner

    def forward(self, x: Tensor) -> Tensor:
        vectors = self.encoded(x)
        held = self._adaptation()
        if not held:
            # Zeros that depend on the vectors, so that a loss computed from them has a graph.
            scores = (0 * vectors.sum(-1, keepdim=True)).expand(*vectors.shape[:-1], self.ways)
        else:
            self._check_axes(type(self).__name__, vectors, held)
            scores = mask_absent(*self._scores(vectors))
        scores = scores.clone()
        self._last = (vectors, scores) if torch.is_grad_enabled() else None
        return scores

    def write(self, x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> None:
        """Add labeled sequences to the support set.

        Args:
            x: support sequences.
            y: their labels, integers from 0 to `C - 1`.
            mask: False where a row is padding, which is left out, whatever its label; None if there
                is no padding. Padding of x must be valid sequences, such as repeated ones.

        Shapes:
            x `(…, B, …)`, y and mask `(…, B)`.

        Raises:
            ArgumentTypeError: the labels are not integers, or the mask is not a bool tensor.
            ShapeError: the number of labels or of values of the mask is not that of sequences.
            ArgumentError: a label is out of range.
        """
        who = f"{type(self).__name__}.write"
        vectors = self.encoded(x)
        members = one_hot(who, y, vectors, self.ways, "set ways", mask)
        self._bind(who, vectors, members)

    def adapt(self, loss: Tensor, *, mask: Tensor | None = None) -> None:
        """Add the sequences of the last forward call to the support set.

        Args:
            loss: a classification loss of the last outputs, which reveals their labels: a scalar or
                `(N,)`, summed or averaged over sequences.
            mask: as in `write`. A masked loss alone cannot tell padding from a sequence whose loss
                is already minimal.

        Raises:
            ArgumentTypeError: the loss is not a tensor.
            AdaptationError: the learner was not called since the last write, or the loss does not
                depend on its outputs, is not finite, or rewards several classes of one sequence.
        """
        who = f"{type(self).__name__}.adapt"
        if self._last is None:
            raise no_outputs_error(who)
        vectors, scores = self._last
        labels, labeled = read_labels(who, loss, scores)
        members = one_hot(who, labels, vectors, self.ways, "set ways", mask)
        if not self._adaptation():  # all scores are 0, so a zero gradient is a skipped row
            members = members * labeled.unsqueeze(-1)
        self._bind(who, vectors, members)

    def _bind(self, who: str, vectors: Tensor, members: Tensor) -> None:
        """Add vectors `(…, B, E)` to the classes given by one-hot rows `(…, B, C)`."""
        held = self._adaptation()
        if held:
            self._check_axes(who, vectors, held)
        self._hold(self._extended(who, vectors, members))

    def _restore(self, who: str, saved: dict[str, Tensor]) -> None:
        if not saved:
            self.reset()
            return
        self._check_kind(who, saved, set(saved) == set(self.kept) and self._fits(saved))
        ways = self.ways_of(saved)
        if ways != self.ways:
            raise ShapeError(
                f"{who}: the saved learner has a support set of {ways} classes, this learner has "
                f"ways={self.ways}; create it with ways={ways}"
            )
        self._take(saved)
