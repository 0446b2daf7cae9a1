"""Linear classifiers with an intercept, fitted from scalar products alone."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_MEMORY = 8  # steps that L-BFGS remembers
_ROUNDING = 1e-12  # relative error of an objective


class Head(NamedTuple):
    """A linear classifier: scores of x are `sum_i alpha_i k(x, x_i) + b`.

    Attributes:
        alpha: `(N, B, C)`.
        bias: `b`, `(N, 1, C)`.
    """

    alpha: Tensor
    bias: Tensor

    def scores(self, products: Tensor) -> Tensor:
        """Return the scores of queries from their scalar products `(N, Q, B)` -> `(N, Q, C)`."""
        return products @ self.alpha + self.bias


def ridge_head(gram: Tensor, members: Tensor, regularization: float) -> Head:
    """Fit a ridge regression to targets of 1 for the class of a row and -1 for the others.

    This is scikit-learn's `RidgeClassifier(alpha=1 / regularization)`.

    Shapes:
        gram `(N, B, B)`, members one-hot rows `(N, B, C)`, zeros for padding -> `Head`.
    """
    rows = members.sum(-1, keepdim=True)  # 1, or 0 for padding
    gram = gram * rows * rows.mT
    targets = (2 * members - 1) * rows
    inverse = _inverse(gram + torch.eye(gram.shape[-1]).to(gram) / regularization)
    solved = inverse @ torch.cat([targets, rows], -1)
    alpha, one = solved[..., :-1], solved[..., -1:]
    bias = (rows * alpha).sum(-2, keepdim=True) / (rows * one).sum(-2, keepdim=True).clamp_min(
        torch.finfo(gram.dtype).tiny
    )
    return Head((alpha - one * bias) * rows, bias)


def logistic_head(
    gram: Tensor,
    members: Tensor,
    regularization: float,
    *,
    tolerance: float = 1e-8,
    most_steps: int = 1000,
) -> Head:
    """Fit multinomial logistic regressions with an L2 penalty to N tasks, to convergence.

    `min_W,b 1/2 |W|^2 + R sum_i -log softmax(W x_i + b)[y_i]`, scikit-learn's objective with
    `C = R`. The intercept b has no penalty. For two classes, R / 2 takes its place, because
    scikit-learn then has one weight vector instead of two. Classes without rows are left out.

    Let `K` be the Gram matrix and `A = I + R/2 K`. The Hessian of the cross-entropy is at most half
    the identity (Böhning 1992), so A bounds that of the objective. The scores at the support set
    are `F = G beta` with the part of `2/R (I - A^-1)` that has no intercept left. In the metric of
    G, this bound is the identity and the gradient is `beta + R (P - Y - F / 2)`, with the
    probabilities P and the one-hot labels Y. L-BFGS in that metric needs one product `G u` for each
    step. A step that does not lower the objective is replaced by the gradient, which always does.

    Args:
        gram: `K`, float64.
        members: Y; rows of zeros are padding.
        regularization: R.
        tolerance: the largest gradient norm at the end, relative to R.
        most_steps: the largest number of steps.

    Shapes:
        gram `(N, B, B)`, members `(N, B, C)` -> `Head`.

    Source: D. Böhning, 1992, Multinomial Logistic Regression Algorithm; J. Nocedal and S. Wright,
    2006, Numerical Optimization, algorithm 7.4.
    """
    rows = members.sum(-1, keepdim=True)  # 1, or 0 for padding
    gram = gram * rows * rows.mT
    absent = members.sum(-2, keepdim=True) == 0
    present = (~absent).sum(-1, keepdim=True)
    strength = torch.where(present == 2, regularization / 2, regularization).to(gram)  # (N, 1, 1)
    objective = _Objective(gram, members, rows, absent & (present > 0), strength)
    beta = objective.minimum(tolerance, most_steps)
    scores = objective.metric @ beta
    alpha = beta - strength / 2 * scores  # so that F = K alpha + b holds exactly
    left = (scores - gram @ alpha) * rows
    bias = left.sum(-2, keepdim=True) / rows.sum(-2, keepdim=True).clamp_min(1)
    return Head(alpha, bias)


class _Objective:
    def __init__(
        self, gram: Tensor, members: Tensor, rows: Tensor, absent: Tensor, strength: Tensor
    ) -> None:
        self.members, self.rows, self.absent, self.strength = members, rows, absent, strength
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        inverse = _inverse(identity + strength / 2 * gram)
        one = inverse @ rows
        total = (rows * one).sum(-2, keepdim=True).clamp_min(torch.finfo(gram.dtype).tiny)
        # The intercept, which has no penalty, takes what all rows have in common.
        self.metric = (identity - inverse + one @ one.mT / total) * (2 / strength)
        self.metric = self.metric * rows * rows.mT

    def probabilities(self, scores: Tensor) -> Tensor:
        return scores.masked_fill(self.absent, -torch.inf).softmax(-1)

    def value(self, beta: Tensor, scores: Tensor) -> Tensor:
        """Return the objective `(N, 1, 1)`: the penalty is `|phi|^2 / 2 - R / 4 |F|^2`."""
        penalty = beta * scores / 2 - self.strength / 4 * scores.square() * self.rows
        chosen = (scores * self.members).sum(-1, keepdim=True)
        total = scores.masked_fill(self.absent, -torch.inf).logsumexp(-1, keepdim=True)
        entropy = self.strength * self.rows * (total - chosen)
        return penalty.sum((-1, -2), keepdim=True) + entropy.sum((-1, -2), keepdim=True)

    def gradient(self, beta: Tensor, scores: Tensor) -> Tensor:
        found = beta + self.strength * (self.probabilities(scores) - self.members - scores / 2)
        return (found * self.rows).masked_fill(self.absent, 0)

    def minimum(self, tolerance: float, most_steps: int) -> Tensor:
        beta = torch.zeros_like(self.members)
        scores, value = beta, self.value(beta, beta)
        gradient = self.gradient(beta, scores)
        image = self.metric @ gradient  # every vector u comes with its image G u
        history: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = []
        for _ in range(most_steps):
            moving = _dot(gradient, image) > (tolerance * self.strength).square()
            if not bool(moving.any()):
                break
            step, step_image = _direction(gradient, image, history)
            new = torch.where(moving, beta - step, beta)  # so no task depends on the others
            new_scores = torch.where(moving, scores - step_image, scores)
            new_value = self.value(new, new_scores)
            worse = ~(new_value <= value + _ROUNDING * value.abs())
            if bool(worse.any()):
                history = []
                new = torch.where(worse, beta - gradient, new)
                new_scores = torch.where(worse, scores - image, new_scores)
                new_value = self.value(new, new_scores)
            new_gradient = self.gradient(new, new_scores)
            new_image = self.metric @ new_gradient
            moved, change = new - beta, new_gradient - gradient
            moved_image, change_image = new_scores - scores, new_image - image
            history = [
                *history[1 - _MEMORY :],
                (moved, moved_image, change, change_image, _dot(moved, change_image)),
            ]
            beta, scores, value = new, new_scores, new_value
            gradient, image = new_gradient, new_image
        return beta


def _direction(
    gradient: Tensor, image: Tensor, history: list[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Return the L-BFGS step and its image, by the two-loop recursion."""
    factors = []
    for _, moved_image, change, change_image, curvature in reversed(history):
        factor = _divided(_dot(moved_image, gradient), curvature)
        gradient, image = gradient - factor * change, image - factor * change_image
        factors.append(factor)
    for (moved, moved_image, _, change_image, curvature), factor in zip(
        history, reversed(factors), strict=True
    ):
        rest = factor - _divided(_dot(change_image, gradient), curvature)
        gradient, image = gradient + rest * moved, image + rest * moved_image
    return gradient, image


def _dot(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum((-1, -2), keepdim=True)


def _divided(one: Tensor, other: Tensor) -> Tensor:
    """Return a quotient, or 0 where a task no longer moves."""
    return torch.where(other > torch.finfo(other.dtype).tiny, one / other, 0)


def _inverse(matrix: Tensor) -> Tensor:
    return torch.cholesky_inverse(torch.linalg.cholesky(matrix))
