"""Linear heads of support vectors: what they hold, and ridge regression in closed form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from l2l_rnn.errors import AdaptationError
from l2l_rnn.functional.affine import precise


class LinearHead(NamedTuple):
    """A linear map of vectors: `scores = (f(x) - center) W^T + b`.

    Attributes:
        weight: `W`, `(…, C, E)`.
        bias: `b`, `(…, C)`.
        center: the mean of the support vectors, `(…, E)`.
    """

    weight: Tensor
    bias: Tensor
    center: Tensor

    def __call__(self, vectors: Tensor) -> Tensor:
        """Score vectors `(…, B, E)` for each class, `(…, B, C)`, in their dtype."""
        weight, bias, center = (part.to(vectors.dtype) for part in self)
        return (vectors - center.unsqueeze(-2)) @ weight.mT + bias.unsqueeze(-2)


def centered(vectors: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Subtract the mean of support vectors from them.

    Args:
        vectors: support vectors.
        rows: 1 where a row is an example, and 0 where it is padding.

    Shapes:
        vectors `(…, B, E)`, rows `(…, B, 1)` -> `(…, B, E)` with zeros for padding, and `(…, E)`.
    """
    mean = (vectors * rows).sum(-2) / rows.sum(-2).clamp_min(1)
    return (vectors - mean.unsqueeze(-2)) * rows, mean


def ridge_head(
    vectors: Tensor, targets: Tensor, rows: Tensor, regularization: Tensor
) -> LinearHead:
    """Fit a linear map to targets by ridge regression, with an intercept that is not penalized.

    It minimizes `|X W^T + b - Y|^2 + lambda |W|^2`. With centered X and Y,
    `W^T = (X^T X + lambda I)^-1 X^T Y = X^T (X X^T + lambda I)^-1 Y`; the smaller system is solved.

    Args:
        vectors: `X`, the support vectors.
        targets: `Y`, such as one-hot labels.
        rows: 1 where a row is an example, and 0 where it is padding.
        regularization: `lambda`, a positive scalar.

    Shapes:
        vectors `(…, B, E)`, targets `(…, B, C)`, rows `(…, B, 1)`.

    Raises:
        AdaptationError: the system is singular, because lambda is too small.

    Example:
        >>> x = torch.tensor([[0.0], [1.0], [2.0]])
        >>> head = ridge_head(x, 2 * x + 1, torch.ones(3, 1), torch.tensor(1e-9))
        >>> head(torch.tensor([[5.0]])).round(decimals=3)
        tensor([[11.]])
    """
    x, center = centered(precise(vectors), precise(rows))
    y, bias = centered(precise(targets), precise(rows))
    number, size = x.shape[-2:]
    if number < size:
        weight = x.mT @ _solved(x @ x.mT, y, regularization)
    else:
        weight = _solved(x.mT @ x, x.mT @ y, regularization)
    return LinearHead(weight.mT, bias, center)


def _solved(matrix: Tensor, right: Tensor, regularization: Tensor) -> Tensor:
    """Solve `(A + lambda I) Z = R` for a positive semidefinite A."""
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.cholesky_solve(right, factor(matrix + precise(regularization) * identity))


def factor(matrix: Tensor) -> Tensor:
    """Return the Cholesky factor of positive definite matrices.

    Raises:
        AdaptationError: a matrix is singular to rounding.
    """
    try:
        return torch.linalg.cholesky(matrix)
    except torch.linalg.LinAlgError as error:
        raise AdaptationError(
            "linear head: the regularization must be large enough for the support vectors, got one "
            "with a singular system; increase regularization="
        ) from error
