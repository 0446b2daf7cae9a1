"""Ridge regression whose strength is chosen for each task, behind `clone()` and `adapt()`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.closed_form.heads import LinearHead, centered, ridge_head
from l2l_rnn.algorithms.closed_form.r2d2 import R2D2
from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional.affine import precise

_GRID = tuple(10 ** (-3 + 6 * i / 9) for i in range(10))  # numpy.logspace(-3, 3, 10)


@configurable
class RidgeCV(R2D2):
    """Classify by ridge regression on scaled vectors, with a strength chosen by cross-validation.

    Each feature is divided by its standard deviation over the support set, and lambda is the value
    of a grid with the smallest leave-one-out error, in closed form. This is scikit-learn's
    `make_pipeline(StandardScaler(with_mean=False), RidgeClassifierCV(alphas))`, with the same
    predictions, for N tasks at once. It is the usual classifier of `models.MiniRocket` features.

    `clone()`, `write(x, y)`, `adapt(loss)` and the parameters are those of `R2D2`. The choice of
    lambda has no gradient; everything else has.

    Args:
        model: `f`, an encoder of sequences, such as `models.MiniRocket`.
        ways: `C`, the number of classes.
        alphas: the values of lambda.
        regularization: initial value of a factor of all values, whose logarithm is learned.
        scale: initial value of `alpha`, which the scores are multiplied by.

    Shapes:
        forward: x `(…, B, …)` -> `(…, B, C)`. A leading axis `N` is the task axis.

    Raises:
        ArgumentError: `ways` is not a positive integer, or a value is not positive.

    Example:
        >>> learner = RidgeCV(nn.Identity(), ways=2).clone()
        >>> x = torch.tensor([[0.0, 1.0], [0.2, 0.0], [1.0, 1.0], [1.3, 0.0]])
        >>> learner.write(x, torch.tensor([0, 0, 1, 1]))
        >>> learner(torch.tensor([[0.1, 0.5], [1.1, 0.5]])).argmax(-1)
        tensor([0, 1])

    Source: A. Dempster et al., 2021, MiniRocket, section 3.3, for the pipeline; R. Rifkin and
    R. Lippert, 2007, Notes on Regularized Least Squares, section 3, for the leave-one-out error.
    """

    def __init__(
        self,
        model: nn.Module,
        ways: int,
        alphas: Sequence[float] = _GRID,
        regularization: float = 1.0,
        scale: float = 10.0,
    ) -> None:
        super().__init__(model, ways, regularization, scale)
        if not alphas:
            raise ArgumentError("RidgeCV: alphas must have at least one value, got none; pass some")
        self.alphas = [check_number("RidgeCV", "alphas", value, above=0) for value in alphas]

    def _solve(self, vectors: Tensor, targets: Tensor, rows: Tensor) -> LinearHead:
        x, weights, factor = precise(vectors), precise(rows), precise(self.log_regularization).exp()
        deviation, _ = centered(x, weights)
        number = weights.sum(-2, keepdim=True).clamp_min(1)
        variance = deviation.square().sum(-2, keepdim=True) / number
        # As in scikit-learn, a constant feature is not scaled. Differences of the size of rounding
        # errors of the vectors count as none.
        size = (x * weights).detach().square().sum(-2, keepdim=True) / number
        least = max(10 * torch.finfo(x.dtype).eps, (10 * torch.finfo(vectors.dtype).eps) ** 2)
        constant = variance.detach() <= least * size
        std = variance.where(~constant, 1).sqrt()
        with torch.no_grad():
            chosen = self._chosen(deviation / std, precise(targets), weights, factor)
        head = ridge_head(x / std, targets, rows, chosen)
        std = std.squeeze(-2)
        return LinearHead(head.weight / std.unsqueeze(-2), head.bias, head.center * std)

    def _chosen(self, x: Tensor, targets: Tensor, rows: Tensor, factor: Tensor) -> Tensor:
        """Return the best lambda of each task, `(…, 1, 1)`: centered x `(…, B, E)`."""
        y, _ = centered(targets, rows)
        values, basis = torch.linalg.eigh(x @ x.mT)
        inside = basis.mT @ y  # (…, B, C)
        ones = rows / rows.sum(-2, keepdim=True).clamp_min(1).sqrt()
        errors, found = [], []
        for alpha in self.alphas:
            value = alpha * factor
            inverse = 1 / (values.clamp_min(0) + value)  # (…, B)
            dual = basis @ (inverse.unsqueeze(-1) * inside)
            # The intercept has no penalty: the direction of ones is left out.
            diagonal = (basis.square() @ inverse.unsqueeze(-1)) - ones.square() / value
            least = torch.finfo(x.dtype).eps / value
            error = (dual / diagonal.clamp_min(least)).square() * rows
            errors.append(error.sum((-2, -1)))
            found.append(value)
        best = torch.stack(errors, -1).argmin(-1)
        return torch.stack(found)[best][..., None, None]
