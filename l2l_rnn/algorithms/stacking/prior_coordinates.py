"""The coordinates in which a Gaussian prior compares vectors, for linear heads."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.priors import EnsemblePrior, GaussianPrior
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentTypeError


@configurable
class PriorCoordinates(nn.Module):
    """Map vectors to unit vectors in the coordinates of a Gaussian prior.

    `g(f) = z sqrt(lambda / (lambda + 1))`, divided by its length, with `z = T (f - mu)`. The scalar
    product of `g(f)` and `g(f')` compares `f` with the mean that the prior expects of a class
    whose only example is `f'`: directions in which classes do not differ count little.

    It takes the place of the encoder of a linear head, as in
    `LRD2(PriorCoordinates(prior), ways, regularization=0.1)`. With few examples this head is about
    as good as the prior's own scores, and with many it is better, because it can still learn in
    which directions these classes differ.

    Args:
        prior: a fitted `GaussianPrior`, or an `EnsemblePrior`, whose coordinates are concatenated.

    Shapes:
        `(…, B, E)` -> `(…, B, E)`.

    Raises:
        ArgumentTypeError: `prior` is something else.

    Example:
        >>> vectors = torch.tensor([[0.0, 1.0], [0.1, 1.5], [3.0, 1.2], [3.1, 0.9]])
        >>> prior = GaussianPrior(2).fit(vectors, torch.tensor([0, 0, 1, 1]))
        >>> PriorCoordinates(prior)(vectors).norm(dim=-1).round(decimals=3)
        tensor([1., 1., 1., 1.])
    """

    task_axis: ClassVar[bool] = True

    def __init__(self, prior: GaussianPrior | EnsemblePrior) -> None:
        super().__init__()
        if not isinstance(prior, (GaussianPrior, EnsemblePrior)):
            raise ArgumentTypeError(
                "PriorCoordinates: prior must be a GaussianPrior or an EnsemblePrior, got "
                f"{type(prior).__name__}; fit one with training.with_prior"
            )
        self.prior = prior

    def forward(self, vectors: Tensor) -> Tensor:
        priors = self.prior.priors if isinstance(self.prior, EnsemblePrior) else [self.prior]
        sizes = [len(prior.mean) for prior in priors]
        parts = [
            (part - prior.mean) @ prior.transform.mT * _weights(prior)
            for prior, part in zip(priors, vectors.split(sizes, -1), strict=True)
        ]
        return nn.functional.normalize(torch.cat(parts, -1), dim=-1)


def _weights(prior: GaussianPrior) -> Tensor:
    return (prior.variances / (prior.variances + 1)).sqrt()
