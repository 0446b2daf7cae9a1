"""What the training classes tell of a class not yet seen: where it may lie and how it spreads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from l2l_rnn.errors import ArgumentError, ShapeError


class GaussianPrior(nn.Module):
    """Classes as Gaussians that share a covariance, their means drawn from a Gaussian too.

    `f ~ N(m_c, Sigma_w)` within class c and `m_c ~ N(mu, Sigma_b)` over classes. From k vectors of
    a class, the class mean's posterior is the prior drawn toward their mean, the more the larger k:
    with one example, a class is mostly what classes are wont to be. The score of a class is the
    logarithm of what it then predicts for a vector.

    `fit` estimates `mu`, `Sigma_w` and `Sigma_b` from the vectors of training classes, and `T`, in
    whose coordinates `z = T (f - mu)` both are diagonal: `T Sigma_w T^T = I`,
    `T Sigma_b T^T = diag(lambda)`. There, with `zbar` the mean of a class's k vectors, it expects
    `m = zbar k lambda / (k lambda + 1)` with the variance `v = 1 + lambda / (k lambda + 1)`, and
    `score = -1/2 sum ((z - m)^2 / v + log v)`.

    Args:
        size: `E`, features of a vector.
        shrinkage: how far both covariances are drawn toward the multiple of the identity that has
            the same trace, 0 (not at all) to 1; what keeps them from fitting the training classes
            too closely.

    Attributes:
        mean: `mu`, `(E,)`.
        transform: `T`, `(E, E)`.
        variances: `lambda`, `(E,)`; 0 before `fit`, when all classes score alike.

    Raises:
        ArgumentError: `size` is not a positive integer, or `shrinkage` not in (0, 1].

    Example:
        >>> torch.manual_seed(0)
        <torch._C.Generator object at ...>
        >>> means = torch.randn(50, 1, 4)
        >>> vectors = means + 0.1 * torch.randn(50, 20, 4)
        >>> prior = GaussianPrior(4).fit(vectors.flatten(0, 1), torch.arange(50 * 20) // 20)
        >>> sums, counts = vectors[:3, :1].sum(1), torch.ones(3, 1)
        >>> prior(vectors[:3, 1], sums, counts).argmax(-1)
        tensor([0, 1, 2])

    Source: S. Ioffe, 2006, Probabilistic Linear Discriminant Analysis, with the moments of the
    training classes for its estimates; shrinkage as O. Ledoit and M. Wolf, 2004, A Well-conditioned
    Estimator for Large-dimensional Covariance Matrices, its weight given.
    """

    mean: Tensor
    transform: Tensor
    variances: Tensor

    def __init__(self, size: int, shrinkage: float = 0.5) -> None:
        super().__init__()
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ArgumentError(f"GaussianPrior: size must be a positive integer, got {size!r}")
        if not 0 < shrinkage <= 1:
            raise ArgumentError(f"GaussianPrior: shrinkage must lie in (0, 1], got {shrinkage!r}")
        self.shrinkage = shrinkage
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("transform", torch.eye(size))
        self.register_buffer("variances", torch.zeros(size))

    @torch.no_grad()
    def fit(self, vectors: Tensor, labels: Tensor) -> GaussianPrior:
        """Estimate the Gaussians from labelled vectors of training classes.

        Args:
            vectors: encoded sequences of the training classes.
            labels: their classes, any integers.

        Shapes:
            vectors `(B, E)`, labels `(B,)`.

        Returns:
            Itself.

        Raises:
            ShapeError: the shapes do not fit.
            ArgumentError: a vector is not finite, or there are not two classes with more than one
                vector in the mean.
        """
        size = len(self.mean)
        if vectors.dim() != 2 or vectors.shape[1] != size or labels.shape != vectors.shape[:1]:
            raise ShapeError(
                f"GaussianPrior.fit: vectors must be (B, E) with E={size} and labels (B,), got "
                f"{tuple(vectors.shape)} and {tuple(labels.shape)}"
            )
        if not vectors.isfinite().all():
            raise ArgumentError("GaussianPrior.fit: a vector holds NaN or infinity; mend the model")
        classes, index, counts = labels.unique(return_inverse=True, return_counts=True)
        if len(classes) < 2 or len(vectors) <= len(classes):
            raise ArgumentError(
                "GaussianPrior.fit: give at least two classes and more vectors than classes, got "
                f"{len(classes)} classes and {len(vectors)} vectors"
            )
        x = vectors.double()
        weights = counts.to(x).unsqueeze(-1)
        means = x.new_zeros(len(classes), size).index_add_(0, index, x) / weights  # (C, E)
        mean = means.mean(0)
        inner, outer = x - means[index], means - mean
        within = inner.mT @ inner / (len(x) - len(classes))
        # The class means are spread by their own uncertainty too, which is no part of Sigma_b.
        between = outer.mT @ outer / (len(classes) - 1) - within * (1 / weights).mean()
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
        """Score vectors against classes of which some vectors are known.

        Shapes:
            vectors `(…, B, E)`, sums of the known vectors of each class `(…, C, E)`, their numbers
            `(…, C, 1)` -> `(…, B, C)`. A class of which none is known scores as any class may.
        """
        z = (vectors - self.mean) @ self.transform.mT
        known = (sums - counts * self.mean) @ self.transform.mT  # k zbar, (…, C, E)
        gain = self.variances / (counts * self.variances + 1)
        expected, variance = known * gain, 1 + gain
        squares = (z.unsqueeze(-2) - expected.unsqueeze(-3)).square() / variance.unsqueeze(-3)
        return -(squares + variance.log().unsqueeze(-3)).sum(-1) / 2
