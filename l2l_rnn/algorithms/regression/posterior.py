"""Bayesian linear regression: the posterior of its weights, exact and in closed form.

The rows `phi_i` of `Phi` are vectors of inputs, and the rows of `Y` are targets. For each output d,
with noise variance `sigma_d^2`,

    y_id = phi_i^T k_d + e_id,    e_id ~ N(0, sigma_d^2),    k_d ~ N(k0_d, sigma_d^2 P0^-1).

The posterior is normal, with the precision `P = P0 + Phi^T Phi` and the mean
`K = P^-1 (P0 K0 + Phi^T Y) = K0 + P^-1 Phi^T (Y - Phi K0)`. The target of a new vector phi is
normal with the mean `K^T phi` and the variances `sigma_d^2 (1 + phi^T P^-1 phi)`.

With `P0 = L0 L0^T`, the rows of `Psi = Phi L0^-T` have the prior precision I. Then, by Woodbury's
identity, with `S = I + Psi Psi^T = C C^T`, which has one equation for each row,

    P^-1 Phi^T = L0^-T Psi^T S^-1,    phi^T P^-1 phi = |psi|^2 - |C^-1 Psi psi|^2.

The smaller system is solved: that of S with fewer rows than features, and that of P otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.algorithms.closed_form.heads import factor
from l2l_rnn.functional.affine import precise


class Prior(NamedTuple):
    """The prior of the weights. The mean may have an axis of components, as what depends on it.

    Attributes:
        mean: `K0`, `(E, D)`.
        factor: `L0`, the Cholesky factor of the prior precision, `(E, E)`; None is the identity.
    """

    mean: Tensor
    factor: Tensor | None


class Support(NamedTuple):
    """The rows of a support set, or sums over them; with both, the sums are those of other rows.

    Attributes:
        rows: `Phi`, `(…, R, E)`, and `Y`, `(…, R, D)`, with zeros where a row is padding; or None.
        sums: `Phi^T Phi`, `(…, E, E)`, and `Phi^T Y`, `(…, E, D)`; or None.
    """

    rows: tuple[Tensor, Tensor] | None = None
    sums: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, held: Mapping[str, Tensor]) -> Support:
        """Return the support set with the tensors `vectors`, `targets`, `gram` and `moments`."""
        rows = (held["vectors"], held["targets"]) if "vectors" in held else None
        sums = (held["gram"], held["moments"]) if "gram" in held else None
        return cls(rows, sums)

    def totals(self) -> tuple[Tensor, Tensor]:
        """Return the sums over all rows, in float64."""
        found = [] if self.sums is None else [(precise(self.sums[0]), precise(self.sums[1]))]
        if self.rows is not None:
            vectors, targets = map(precise, self.rows)
            found.append((vectors.mT @ vectors, vectors.mT @ targets))
        (gram, moments), *more = found
        for other in more:
            gram, moments = gram + other[0], moments + other[1]
        return gram, moments


class Posterior(NamedTuple):
    """The posterior of the weights.

    Attributes:
        mean: `K`, `(…, E, D)`.
        prior_factor: `L0`, `(E, E)`, or None.
        factor: the Cholesky factor of P, `(…, E, E)`, or C if there are rows; None if it is I.
        rows: `Psi`, `(…, R, E)`, or None.
    """

    mean: Tensor
    prior_factor: Tensor | None
    factor: Tensor | None
    rows: Tensor | None

    def spread(self, vectors: Tensor) -> Tensor:
        """Return `phi^T P^-1 phi` of vectors `(…, B, E)`, in float64: `(…, B, 1)`."""
        vectors = precise(vectors)
        if self.factor is None:
            return vectors.square().sum(-1, keepdim=True)
        if self.rows is None:
            solved = torch.linalg.solve_triangular(self.factor, vectors.mT, upper=False)
            return solved.square().sum(-2).unsqueeze(-1)
        psi = whitened(vectors, self.prior_factor)
        known = torch.linalg.solve_triangular(self.factor, self.rows @ psi.mT, upper=False)
        difference = psi.square().sum(-1) - known.square().sum(-2)
        return difference.clamp_min(0).unsqueeze(-1)


def posterior(prior: Prior, support: Support) -> Posterior:
    """Compute the posterior of a support set, in float64.

    Raises:
        AdaptationError: the system is singular, because the prior precision is too small.

    Example:
        >>> prior = Prior(torch.zeros(1, 1), torch.eye(1))  # y = k x, k ~ N(0, 1)
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> found = posterior(prior, Support((x, 3 * x)))  # the precision is 1 + 1 + 4
        >>> round(found.mean.item(), 4), round(found.spread(x)[0].item(), 4)
        (2.5, 0.1667)
    """
    start = precise(prior.mean)
    root = None if prior.factor is None else precise(prior.factor)
    if support.rows is None and support.sums is None:
        return Posterior(start, root, root, None)
    if support.rows is None or support.sums is not None or _many(support.rows[0]):
        gram, moments = support.totals()
        identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        lower = factor(gram + (identity if root is None else root @ root.mT))
        change = torch.cholesky_solve(moments - gram @ start, lower)
        return Posterior(start + change, root, lower, None)
    vectors, targets = map(precise, support.rows)
    psi = whitened(vectors, root)
    identity = torch.eye(psi.shape[-2], dtype=psi.dtype, device=psi.device)
    lower = factor(psi @ psi.mT + identity)
    change = psi.mT @ torch.cholesky_solve(targets - vectors @ start, lower)  # of L0^T K
    return Posterior(start + _unwhitened(change, root), root, lower, psi)


def _many(vectors: Tensor) -> bool:
    """Return whether there are as many rows as features, or more."""
    return vectors.shape[-2] >= vectors.shape[-1]


def evidence(prior: Prior, rows: tuple[Tensor, Tensor], found: Posterior, noise: Tensor) -> Tensor:
    """Return the log-likelihood of targets, up to a number that does not depend on the prior.

    `-(log det S D + sum_d r_d^T S^-1 r_d / sigma_d^2) / 2` with `r = Y - Phi K0`, where
    `S^-1 r = Y - Phi K`.

    Args:
        prior: the prior.
        rows: Phi and Y.
        found: their posterior.
        noise: the variances `sigma_d^2`, `(D,)`.

    Shapes:
        -> `(…)`, float64.
    """
    vectors, targets = map(precise, rows)
    left = targets - vectors @ precise(prior.mean), targets - vectors @ found.mean
    squares = ((left[0] * left[1]).sum(-2) / precise(noise)).sum(-1)
    log_det = _log_diagonal(found.factor)
    if found.rows is None:  # det S = det P / det P0, and 1 without a support set
        log_det = log_det - _log_diagonal(found.prior_factor)
    return -squares / 2 - targets.shape[-1] * log_det


def _log_diagonal(lower: Tensor | None) -> Tensor | float:
    """Return half of the log-determinant, given a Cholesky factor; None is the identity."""
    return 0.0 if lower is None else lower.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def whitened(vectors: Tensor, root: Tensor | None) -> Tensor:
    """Return `Phi L^-T` for vectors `(…, B, E)`, where all tasks share the factor `(E, E)`."""
    if root is None:
        return vectors
    # All rows of all tasks are solved at once, so that the factor is not copied for each task.
    flat = vectors.reshape(-1, vectors.shape[-1])
    solved = torch.linalg.solve_triangular(root.mT, flat, upper=True, left=False)
    return solved.reshape(vectors.shape)


def _unwhitened(weights: Tensor, root: Tensor | None) -> Tensor:
    """Return `L^-T W` for weights `(…, E, D)`."""
    if root is None:
        return weights
    rows = weights.mT  # (…, D, E)
    flat = rows.reshape(-1, rows.shape[-1])
    solved = torch.linalg.solve_triangular(root, flat, upper=False, left=False)
    return solved.reshape(rows.shape).mT
