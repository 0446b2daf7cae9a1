"""Gaussian prior over classes, estimated from the training classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.distances import squared_distances
from l2l_rnn.checks import check_int, check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError


@configurable
class GaussianPrior(nn.Module):
    """Model classes as Gaussians with a shared covariance and normally distributed means.

    `f ~ N(m_c, Sigma_w)` within class c, and `m_c ~ N(mu, Sigma_b)` over classes.

    Given k vectors of a class, the posterior of its mean shrinks their average toward `mu`. The
    fewer vectors, the stronger the shrinkage. The score of a class is the log density of its
    posterior predictive distribution.

    `fit` estimates `mu`, `Sigma_w` and `Sigma_b` from the vectors of the training classes. It also
    computes `T`, with `T Sigma_w T^T = I` and `T Sigma_b T^T = diag(lambda)`, so that both
    covariances are diagonal in the coordinates `z = T (f - mu)`. There, with `zbar` the average of
    a class's k vectors, the posterior predictive distribution has the mean
    `m = zbar k lambda / (k lambda + 1)` and the variance `v = 1 + lambda / (k lambda + 1)`, and
    `score = -1/2 sum ((z - m)^2 / v + log v)`.

    Args:
        size: `E`, the size of a vector.
        shrinkage: how strongly both covariances are shrunk toward a multiple of the identity with
            the same trace: values near 0 keep them, 1 replaces them. It limits overfitting to the
            training classes.

    Attributes:
        mean: `mu`, `(E,)`.
        transform: `T`, `(E, E)`.
        variances: `lambda`, `(E,)`; 0 before `fit`, which gives all classes the same score.

    Shapes:
        forward: vectors `(…, B, E)`, sums `(…, C, E)`, counts `(…, C, 1)` -> `(…, B, C)`.

    Raises:
        ArgumentError: `size` is not a positive integer, or `shrinkage` is not above 0 and at most
            1.

    Example:
        >>> torch.manual_seed(0)
        <torch._C.Generator object at ...>
        >>> means = torch.randn(50, 1, 4)
        >>> vectors = means + 0.1 * torch.randn(50, 20, 4)
        >>> prior = GaussianPrior(4).fit(vectors.flatten(0, 1), torch.arange(50 * 20) // 20)
        >>> sums, counts = vectors[:3, :1].sum(1), torch.ones(3, 1)
        >>> prior(vectors[:3, 1], sums, counts).argmax(-1)
        tensor([0, 1, 2])

    Source: S. Ioffe, 2006, Probabilistic Linear Discriminant Analysis, here with moment estimates
    from the training classes; the shrinkage is from O. Ledoit and M. Wolf, 2004, A
    Well-conditioned Estimator for Large-dimensional Covariance Matrices, with a fixed weight.
    """

    mean: Tensor
    transform: Tensor
    variances: Tensor

    def __init__(self, size: int, shrinkage: float = 0.5) -> None:
        super().__init__()
        size = check_int("GaussianPrior", "size", size)
        self.shrinkage = check_number("GaussianPrior", "shrinkage", shrinkage, above=0, most=1)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("transform", torch.eye(size))
        self.register_buffer("variances", torch.zeros(size))

    @torch.no_grad()
    def fit(self, vectors: Tensor, labels: Tensor) -> GaussianPrior:
        """Estimate the Gaussians from labeled vectors of the training classes.

        Args:
            vectors: encoded sequences of the training classes.
            labels: their classes, any integers.

        Shapes:
            vectors `(B, E)`, labels `(B,)`.

        Returns:
            The prior itself.

        Raises:
            ShapeError: the vectors or labels have the wrong shape.
            ArgumentError: a vector is not finite, there are fewer than two classes, or there are no
                more vectors than classes.
        """
        size = len(self.mean)
        if vectors.dim() != 2 or vectors.shape[1] != size or labels.shape != vectors.shape[:1]:
            raise ShapeError(
                f"GaussianPrior.fit: vectors must be (B, E) with E={size} and labels (B,), got "
                f"{tuple(vectors.shape)} and {tuple(labels.shape)}; flatten the other axes"
            )
        if not vectors.isfinite().all():
            raise ArgumentError(
                "GaussianPrior.fit: vectors must be finite, got NaN or infinity; check the encoder"
            )
        classes, index, counts = labels.unique(return_inverse=True, return_counts=True)
        if len(classes) < 2 or len(vectors) <= len(classes):
            raise ArgumentError(
                "GaussianPrior.fit: expected at least two classes and more vectors than classes, "
                f"got {len(classes)} classes and {len(vectors)} vectors; pass more vectors"
            )
        x = vectors.double()
        weights = counts.to(x).unsqueeze(-1)
        means = x.new_zeros(len(classes), size).index_add_(0, index, x) / weights  # (C, E)
        mean = means.mean(0)
        inner, outer = x - means[index], means - mean
        within = inner.mT @ inner / (len(x) - len(classes))
        # The average of n vectors has the covariance Sigma_b + Sigma_w / n; subtract the latter.
        between = outer.mT @ outer / (len(classes) - 1) - within * (1 / weights).mean()
        # With Sigma_w = L L^T and U diag(lambda) U^T = L^-1 Sigma_b L^-T, T = U^T L^-1.
        root = torch.linalg.cholesky(self._shrunk(within))
        whitened = torch.linalg.solve_triangular(root, self._shrunk(between), upper=False)
        whitened = torch.linalg.solve_triangular(root, whitened.mT, upper=False)
        variances, rotation = torch.linalg.eigh((whitened + whitened.mT) / 2)
        transform = torch.linalg.solve_triangular(root.mT, rotation, upper=True).mT
        self.mean.copy_(mean)
        self.transform.copy_(transform)
        self.variances.copy_(variances.clamp_min(0))
        return self

    def _shrunk(self, covariance: Tensor) -> Tensor:
        size = len(covariance)
        level = (covariance.trace() / size).clamp_min(torch.finfo(covariance.dtype).eps)
        identity = torch.eye(size, dtype=covariance.dtype, device=covariance.device)
        return (1 - self.shrinkage) * covariance + self.shrinkage * level * identity

    def forward(self, vectors: Tensor, sums: Tensor, counts: Tensor) -> Tensor:
        """Score vectors for each class.

        Args:
            vectors: the vectors to classify.
            sums: the sum of the support vectors of each class.
            counts: `k`, the number of support vectors of each class. For a class without support
                vectors, the prior alone determines the score.

        Shapes:
            vectors `(…, B, E)`, sums `(…, C, E)`, counts `(…, C, 1)` -> `(…, B, C)`.
        """
        z = (vectors - self.mean) @ self.transform.mT
        total = (sums - counts * self.mean) @ self.transform.mT  # k zbar, (…, C, E)
        gain = self.variances / (counts * self.variances + 1)
        expected, variance = total * gain, 1 + gain
        distances = squared_distances(z, expected, 1 / variance)
        return -(distances + variance.log().sum(-1).unsqueeze(-2)) / 2


@configurable
class EnsemblePrior(nn.Module):
    """Sum the scores of one prior for each encoder of a `models.EncoderEnsemble`.

    The encoders' vectors are taken as independent given the class.

    Args:
        priors: one `GaussianPrior` for each encoder, in the same order.

    Shapes:
        forward: as `GaussianPrior`, where E is the sum of the priors' sizes.

    Raises:
        ArgumentTypeError: a prior is not a `GaussianPrior`.

    Example:
        >>> prior = EnsemblePrior([GaussianPrior(4), GaussianPrior(6)])
        >>> prior(torch.randn(3, 10), torch.zeros(2, 10), torch.zeros(2, 1)).shape
        torch.Size([3, 2])
    """

    def __init__(self, priors: Sequence[GaussianPrior]) -> None:
        super().__init__()
        if not priors or not all(isinstance(prior, GaussianPrior) for prior in priors):
            raise ArgumentTypeError(
                "EnsemblePrior: priors must be GaussianPriors, got "
                f"{[type(prior).__name__ for prior in priors]}; pass one for each encoder"
            )
        self.priors: Any = nn.ModuleList(priors)
        self.sizes = [len(prior.mean) for prior in priors]

    @property
    def mean(self) -> Tensor:
        """The means of the priors, one after another, `(E,)`."""
        return torch.cat([prior.mean for prior in self.priors])

    def forward(self, vectors: Tensor, sums: Tensor, counts: Tensor) -> Tensor:
        """Score vectors for each class; arguments and shapes as in `GaussianPrior`."""
        parts = zip(vectors.split(self.sizes, -1), sums.split(self.sizes, -1), strict=True)
        scores = [p(v, s, counts) for p, (v, s) in zip(self.priors, parts, strict=True)]
        return torch.stack(scores).sum(0)
