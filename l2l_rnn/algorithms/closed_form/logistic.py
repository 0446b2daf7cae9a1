"""Multinomial logistic regression by Newton's method, with exact derivatives of its solution.

The weights and the intercepts `theta = (W, b)` minimize

    J = sum_i -log softmax(W x_i + b)[y_i] + lambda / 2 |W|^2.

**The fit** takes Newton steps `theta <- theta - t H^-1 G`, with a step size t that lowers J, until
the gradient G is zero to rounding. H is factorized again when a step has not lowered G to a tenth.
The fit is not differentiated.

**Derivatives.** From the solution `theta*`, a constant, two more steps `theta <- theta - P^-1
G(theta, x)` are differentiated. Here `P = H(theta*)` is a constant too. Their result is `theta*`
again, as `G(theta*, x) = 0`. Let `theta(x')` be the solution for other inputs `x' = x + d`. The map
`F(theta) = theta - P^-1 G(theta, x')` has the fixed point `theta(x')` and there the derivative
`I - P^-1 H(theta(x'), x') = O(|d|)`. So the error `theta* - theta(x') = O(|d|)` becomes `O(|d|^2)`
after one step and `O(|d|^3)` after two: the first and the second derivative of two steps are those
of the solution. No factorization is differentiated, and singular ones, such as of equal support
vectors, do no harm.

**The system.** With `p_i` the probabilities of sequence i, the Hessian has blocks of classes,
`H = A - U U^T`, where `A_c = lambda I + X^T diag(p_c) X = L_c L_c^T` and `U_c = X^T diag(p_c)`. By
Woodbury's identity, with `T = L^-1 U` and `M = I - T^T T`, which is `(B, B)`,

    H^-1 = L^-T (I + T M^-1 T^T) L^-1.

The cost is that of C + 1 small systems instead of one with C times as many unknowns. M has one null
vector, the vector of ones: J does not change if all intercepts grow by the same number. G has no
part in this direction, so adding `1 1^T / B` to M only changes this number, and the intercepts of
the solution are made to sum to 0. When B < E, the fit takes place in the span of the support
vectors, which contains W, with `X = R Q^T`. Outside of the span, `H = lambda I`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.algorithms.closed_form.heads import LinearHead, centered, factor
from l2l_rnn.functional.affine import precise

_TOLERANCE = 1e-7  # of the gradient, relative to the size of X; the last two steps lower it further
_HALVINGS = 30  # of the step size
_MASKED = -1e30  # the score of a class without examples


def logistic_head(
    vectors: Tensor, targets: Tensor, rows: Tensor, regularization: Tensor, newton_steps: int = 100
) -> LinearHead:
    """Fit a linear classifier by logistic regression, with intercepts that are not penalized.

    Classes without examples take no part in the fit.

    Args:
        vectors: `X`, the support vectors.
        targets: one-hot labels; zeros for padding.
        rows: 1 where a row is an example, and 0 where it is padding.
        regularization: `lambda`, a positive scalar.
        newton_steps: maximum number of steps of the fit.

    Shapes:
        vectors `(…, B, E)`, targets `(…, B, C)`, rows `(…, B, 1)`.

    Raises:
        AdaptationError: the system is singular, because lambda is too small.

    Example:
        >>> x, y = torch.tensor([[0.0], [4.0]]), torch.eye(2)
        >>> head = logistic_head(x, y, torch.ones(2, 1), torch.tensor(1.0))
        >>> head(torch.tensor([[2.0], [3.0]])).softmax(-1)
        tensor([[0.5000, 0.5000],
                [0.2723, 0.7277]])
    """
    rows, y, decay = precise(rows), precise(targets), precise(regularization)
    x, center = centered(precise(vectors), rows)
    present = y.detach().any(-2, keepdim=True)
    present = present | ~present.any(-1, keepdim=True)  # a task may have no examples
    mask = torch.where(present, 0.0, _MASKED).to(x)
    with torch.no_grad():
        theta, system = _fitted(x, y, rows, mask, decay, newton_steps)
    problem = _Problem(torch.cat([x, rows], -1), y, mask, decay)
    for _ in range(2):
        theta = theta - system.solve(problem.gradient(theta, problem.log_probabilities(theta)))
    weight, bias = theta[..., :-1, :], theta[..., -1:, :]
    inside = present.to(bias)
    bias = bias - (bias * inside).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True) * inside
    return LinearHead(weight.mT, bias.squeeze(-2), center)


class _Problem(NamedTuple):
    """The regression: x `(…, B, E + 1)` with the constant feature last, y `(…, B, C)`."""

    x: Tensor
    y: Tensor
    mask: Tensor  # (…, 1, C), added to the scores
    decay: Tensor

    def log_probabilities(self, theta: Tensor) -> Tensor:
        """Return the logarithms of the probabilities, `(…, B, C)`."""
        return (self.x @ theta + self.mask).log_softmax(-1)

    def gradient(self, theta: Tensor, log_p: Tensor) -> Tensor:
        """Return the gradient of the objective, `(…, E + 1, C)`."""
        errors = log_p.exp() * self.x[..., -1:] - self.y
        return self.x.mT @ errors + self.decay * F.pad(theta[..., :-1, :], (0, 0, 0, 1))

    def objective(self, theta: Tensor, log_p: Tensor) -> Tensor:
        """Return the objective of each task, `(…, 1, 1)`."""
        penalty = self.decay / 2 * theta[..., :-1, :].square().sum((-2, -1), keepdim=True)
        return penalty - (log_p * self.y).sum((-2, -1), keepdim=True)


class _System(NamedTuple):
    """The Hessian of a problem, factorized."""

    blocks: Tensor  # L, (…, C, R + 1, R + 1)
    sides: Tensor  # T, (…, C (R + 1), B)
    coupling: Tensor  # the Cholesky factor of M, (…, B, B)
    decay: Tensor
    basis: Tensor | None  # Q, (…, E, R); None if x is not reduced

    @classmethod
    def at(cls, problem: _Problem, log_p: Tensor, basis: Tensor | None) -> _System:
        """Factorize the Hessian at some probabilities."""
        x, rows = problem.x, problem.x[..., -1:]
        scaled = x.mT.unsqueeze(-3) * (log_p.exp() * rows).mT.unsqueeze(-2)  # U, (…, C, R + 1, B)
        blocks = scaled @ x.unsqueeze(-3)
        diagonal = blocks.diagonal(dim1=-2, dim2=-1)
        diagonal[..., :-1] += problem.decay
        # The intercept of a class without examples has no curvature; it stays where it is.
        diagonal[..., -1] += diagonal[..., -1] == 0
        blocks = factor(blocks)
        sides = torch.linalg.solve_triangular(blocks, scaled, upper=False).flatten(-3, -2)
        ones = rows @ rows.mT / rows.sum(-2, keepdim=True).clamp_min(1)
        coupling = ones - sides.mT @ sides
        coupling.diagonal(dim1=-2, dim2=-1).add_(1)
        return cls(blocks, sides, factor(coupling), problem.decay, basis)

    def solve(self, gradient: Tensor) -> Tensor:
        """Return `H^-1 G`, differentiable with respect to G: `(…, E + 1, C)` -> the same."""
        if self.basis is None:
            return self.solve_reduced(gradient)
        features, intercepts = gradient[..., :-1, :], gradient[..., -1:, :]
        inside = self.basis.mT @ features
        step = self.solve_reduced(torch.cat([inside, intercepts], -2))
        # basis @ step inside of the span, and features / lambda outside of it
        inner = self.basis @ (step[..., :-1, :] - inside / self.decay) + features / self.decay
        return torch.cat([inner, step[..., -1:, :]], -2)

    def solve_reduced(self, gradient: Tensor) -> Tensor:
        """Return `H^-1 G` in the coordinates of x, `(…, R + 1, C)` -> the same."""
        blocks = self.blocks
        step = torch.linalg.solve_triangular(blocks, gradient.mT.unsqueeze(-1), upper=False)
        flat = step.flatten(-3, -2)  # (…, C (R + 1), 1)
        flat = flat + self.sides @ torch.cholesky_solve(self.sides.mT @ flat, self.coupling)
        step = torch.linalg.solve_triangular(blocks.mT, flat.view_as(step), upper=True)
        return step.squeeze(-1).mT


def _fitted(
    x: Tensor, y: Tensor, rows: Tensor, mask: Tensor, decay: Tensor, newton_steps: int
) -> tuple[Tensor, _System]:
    """Return the solution, and the Hessian there."""
    basis = None
    if x.shape[-2] < x.shape[-1]:
        basis, root = torch.linalg.qr(x.mT)
        x = root.mT
    problem = _Problem(torch.cat([x, rows], -1), y, mask, decay)
    theta = x.new_zeros(*x.shape[:-2], x.shape[-1] + 1, y.shape[-1])
    log_p = problem.log_probabilities(theta)
    gradient = problem.gradient(theta, log_p)
    size = gradient.abs().amax((-2, -1), keepdim=True)
    least = _TOLERANCE * problem.x.abs().amax((-2, -1), keepdim=True)
    system, current = _System.at(problem, log_p, basis), True
    for _ in range(newton_steps):
        active = size > least
        if not active.any():
            break
        theta, log_p = _lowered(problem, theta, log_p, system.solve_reduced(gradient) * active)
        gradient, before = problem.gradient(theta, log_p), size
        size = gradient.abs().amax((-2, -1), keepdim=True)
        current = bool(((size > least) & (size > before / 10)).any())
        if current:
            system = _System.at(problem, log_p, basis)
    if not current:
        system = _System.at(problem, log_p, basis)
    if basis is not None:
        theta = torch.cat([basis @ theta[..., :-1, :], theta[..., -1:, :]], -2)
    return theta, system


def _lowered(
    problem: _Problem, theta: Tensor, log_p: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Take a step of each task, halved until it does not raise the objective."""
    before = problem.objective(theta, log_p)
    highest, size = before + 1e-10 * before.abs(), 1.0
    for _ in range(_HALVINGS):
        new = theta - size * step
        log_p = problem.log_probabilities(new)
        higher = problem.objective(new, log_p) > highest
        if not higher.any():
            break
        size = torch.where(higher, size / 2, size)  # type: ignore[assignment]
    return new, log_p
