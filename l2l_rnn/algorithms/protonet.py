"""Prototypical networks behind `clone()` and `adapt()`."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.support_learner import SupportLearner
from l2l_rnn.algorithms.distances import squared_distances
from l2l_rnn.algorithms.inner_loop.changes import attribute_changes, make_changes
from l2l_rnn.algorithms.inner_loop.checks import unchanged_error
from l2l_rnn.algorithms.priors import GaussianPrior
from l2l_rnn.algorithms.saving import usable
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ShapeError


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
        center: whether the average of the class means is subtracted from all vectors, and the
            prior's mean added. Use it with a prior that was fitted to vectors centered by dataset,
            if test tasks come from datasets whose vectors have another mean.

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

    def __init__(
        self,
        model: nn.Module,
        ways: int,
        prior: GaussianPrior | None = None,
        center: bool = False,
    ) -> None:
        super().__init__(model, ways)
        self.prior, self.center = prior, bool(center)

    @property
    def prototypes(self) -> Tensor | None:
        """The class means `p`, or None before the first support sequence."""
        if self._sums is None or self._counts is None:
            return None
        return self._sums / self._counts.clamp_min(1)

    def refine(
        self,
        x: Tensor,
        *,
        weight: float = 0.3,
        temperature: float = 1.0,
        steps: int = 5,
        mask: Tensor | None = None,
    ) -> None:
        """Move the class means toward unlabeled sequences, by soft k-means.

        Each step assigns every sequence to the classes by `r = softmax(score / temperature)`, and
        adds it to their means with the weight `r`, as if it were `weight * r` of a labeled one. So
        with many unlabeled and few labeled sequences, the means follow the clusters in the data.
        The unlabeled sequences should belong to the classes of the support set. They may be the
        queries themselves.

        Args:
            x: unlabeled sequences.
            weight: weight of an unlabeled sequence, where a labeled one has 1.
            temperature: larger values make the assignments more even. A `GaussianPrior` is
                overconfident in many dimensions: 2 to 4 is better with one.
            steps: number of steps. Each starts from the labeled means and the last assignments.
            mask: False where a row is padding; None if there is no padding.

        Shapes:
            x `(…, B, …)`, mask `(…, B)`.

        Raises:
            AdaptationError: there are no labeled sequences yet.
            ArgumentError: `weight` is negative, `temperature` is not positive, or `steps` is not a
                positive integer.
            ShapeError: x does not have the leading axes of the support set, or the mask not those
                of x.

        Example:
            >>> learner = ProtoNet(nn.Identity(), ways=2).clone()
            >>> learner.write(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]))
            >>> learner.refine(torch.tensor([[1.0], [1.2], [5.0]]), weight=1.0)
            >>> learner.prototypes.flatten()
            tensor([0.7333, 4.5000])

        Source: M. Ren et al., 2018, Meta-Learning for Semi-Supervised Few-Shot Classification,
        section 3.1.1, here with a weight, a temperature, several steps and the scores of the prior.
        """
        who = "ProtoNet.refine"
        weight = check_number(who, "weight", weight, least=0)
        temperature = check_number(who, "temperature", temperature, above=0)
        steps = check_int(who, "steps", steps)
        held = self._adaptation()
        if not held:
            raise unchanged_error(who, "there are no prototypes; call write(x, y) first")
        vectors = self.encoded(x)
        self._check_axes(who, vectors, held)
        rows = vectors.new_ones(vectors.shape[:-1]) if mask is None else mask.to(vectors.dtype)
        if rows.shape != vectors.shape[:-1]:
            raise ShapeError(
                f"{who}: mask must have one value per sequence, {tuple(vectors.shape[:-1])}, got "
                f"shape {tuple(rows.shape)}; pass one that is False where x is padding"
            )
        vectors = vectors.masked_fill(rows.unsqueeze(-1) == 0, 0)
        sums, counts = held["sums"], held["counts"]
        present = (counts.squeeze(-1) > 0).unsqueeze(-2)  # (…, 1, C)
        moved = {"sums": sums, "counts": counts}
        for _ in range(steps):
            scores = self._score(vectors, moved["sums"], moved["counts"]) / temperature
            members = scores.masked_fill(~present, -torch.inf).softmax(-1)
            members = weight * rows.unsqueeze(-1) * members
            moved = {
                "sums": sums + members.mT @ vectors,
                "counts": counts + members.sum(-2).unsqueeze(-1),
            }
        new = {f"_{name}": usable(value) for name, value in moved.items()}
        make_changes(attribute_changes(self, **new, _last=None))

    def _extended(self, who: str, vectors: Tensor, members: Tensor) -> dict[str, Tensor]:
        sums, counts = members.mT @ vectors, members.sum(-2).unsqueeze(-1)
        if self._sums is not None and self._counts is not None:
            sums, counts = self._sums + sums, self._counts + counts
        return {"sums": sums, "counts": counts}

    def _scores(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        held = self._adaptation()
        scores = self._score(vectors, held["sums"], held["counts"])
        return scores, held["counts"].squeeze(-1) > 0

    def _score(self, vectors: Tensor, sums: Tensor, counts: Tensor) -> Tensor:
        """Score vectors `(…, B, E)` by sums `(…, C, E)` and counts `(…, C, 1)` of classes."""
        if self.prior is None:
            return -squared_distances(vectors, sums / counts.clamp_min(1))
        scores: Tensor = self.prior(*self.centered(vectors, sums, counts), counts)
        return scores

    def centered(self, vectors: Tensor, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return vectors and sums as the prior takes them, which differ if `center` is set.

        Shapes:
            vectors `(…, B, E)`, sums `(…, C, E)`, counts `(…, C, 1)` -> `(…, B, E)`, `(…, C, E)`.
        """
        if not self.center or self.prior is None:
            return vectors, sums
        means, present = sums / counts.clamp_min(1), (counts > 0).to(sums)
        number = present.sum(-2, keepdim=True).clamp_min(1)
        moved = self.prior.mean - (means * present).sum(-2, keepdim=True) / number  # (…, 1, E)
        return vectors + moved, sums + counts * moved

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
