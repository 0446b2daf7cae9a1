"""Prototypical networks behind `clone()` and `adapt()`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.algorithms.distances import squared_distances
from l2l_rnn.algorithms.priors import GaussianPrior
from l2l_rnn.configuration import configurable


@configurable
class ProtoNet(SupportLearner):
    """Classify by the nearest class mean in a learned space.

    `score_c = -|f(x) - p_c|^2`, where `f` is the encoder and the prototype `p_c` is the mean of `f`
    over the support sequences of class c.

    `clone()` returns a learner without prototypes, which gives every class the score 0.
    `write(x, y)` adds labeled sequences to the class means. `adapt(loss)` does the same in an
    unchanged learn2learn script: it reads the labels from the gradient of the loss, which is
    negative only with respect to the label's score. Neither changes the encoder. `backward()`
    reaches the encoder through both the support and the query set.

    Args:
        model: `f`, an encoder of sequences, such as `models.SequenceEncoder`.
        ways: `C`, the number of classes.
        prior: a `GaussianPrior` over classes, fitted to the vectors of the trained encoder. It
            computes the scores and shrinks class means toward the training average. None uses the
            plain class means.

    Attributes:
        prototypes: `p`, `(C, E)` or `(N, C, E)`; None before the first support sequence. A class
            without support sequences has zeros.

    A class without support sequences, of this task if there are several, is never predicted. Its
    score is finite and below those of all other classes, so a query with this label has a large but
    finite loss, about 100 or more.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis: each task has
            its own prototypes, and all tasks share the encoder.

    Raises:
        ArgumentError: `ways` is not a positive integer.

    Example:
        >>> learner = ProtoNet(nn.Identity(), ways=2).clone()
        >>> learner.write(torch.tensor([[0.0], [1.0], [4.0]]), torch.tensor([0, 0, 1]))
        >>> learner(torch.tensor([[1.5]]))
        tensor([[-1.0000, -6.2500]])

    Source: J. Snell, K. Swersky and R. Zemel, 2017, Prototypical Networks for Few-shot Learning,
    eq. 1-2. Reading labels from the loss gradient is new here; it makes learn2learn's loop work.
    """

    kept = ("sums", "counts")
    described = "sums (…, C, E) and counts (…, C, 1) of prototypes"

    _sums: Tensor | None  # (…, C, E), sum of the support vectors of each class
    _counts: Tensor | None  # (…, C, 1), number of support vectors of each class

    def __init__(self, model: nn.Module, ways: int, prior: GaussianPrior | None = None) -> None:
        super().__init__(model, ways)
        self.prior = prior

    @property
    def prototypes(self) -> Tensor | None:
        """The class means `p`, or None before the first support sequence."""
        if self._sums is None or self._counts is None:
            return None
        return self._sums / self._counts.clamp_min(1)

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        sums, counts = members.mT @ vectors, members.sum(-2).unsqueeze(-1)
        if self._sums is not None and self._counts is not None:
            sums, counts = self._sums + sums, self._counts + counts
        return {"sums": sums, "counts": counts}

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        held = self._adaptation()
        sums, counts = held["sums"], held["counts"]
        if self.prior is None:
            scores = -squared_distances(vectors, sums / counts.clamp_min(1))
        else:
            scores = self.prior(vectors, sums, counts)
        return scores, counts.squeeze(-1) > 0

    @staticmethod
    def _fits(saved: dict[str, Tensor]) -> bool:
        return saved["counts"].shape == (*saved["sums"].shape[:-1], 1)

    @staticmethod
    def ways_of(saved: dict[str, Tensor]) -> int:
        return saved["sums"].shape[-2]

    @staticmethod
    def _with_ways(saved: dict[str, Tensor], ways: int) -> dict[str, Tensor]:
        more = (0, 0, 0, ways - saved["sums"].shape[-2])
        return {name: F.pad(value, more) for name, value in saved.items()}
