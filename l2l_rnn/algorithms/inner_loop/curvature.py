"""Meta-Curvature: learned matrices that turn and stretch the gradients of the inner loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.errors import AdaptationError, ArgumentError


class MetaCurvature(GradientTransform):
    """Multiply each gradient by one learned matrix along each of its axes.

    `step = lr * (G x_1 M_1 x_2 M_2 … x_d M_d)`, where `x_k` is the product along axis k and `M_k`
    is square; of a weight matrix that is `lr * M_1 G M_2^T`, of a bias `lr * M_1 g`. All start at
    the identity, so that the first meta-step is plain MAML's. A scalar has one number. With tasks,
    all of them share the matrices, as they share the initialisation.

    An axis of n entries takes `n^2` numbers, and as many for each meta-gradient and for each state
    that an optimiser keeps of it: of a vocabulary of 30,000 that is 3.6 GB apiece in float32.
    `diagonal_above` keeps the diagonals alone of such axes, n numbers each.

    Args:
        model: the module that is adapted; its parameters are known by name from then on.
        lr: step size, which is not learned: the matrices scale too.
        diagonal_above: longest axis that has a whole matrix; longer ones have a diagonal. None for
            whole matrices everywhere.

    Attributes:
        matrices: for each parameter, by its place in `names`, `M_1 … M_d`; `(n, n)` or, where
            diagonal, `(n,)`.

    Shapes:
        as `GradientTransform`.

    Raises:
        ArgumentError: `lr` is not positive and finite, or `diagonal_above` not a non-negative
            integer.
        AdaptationError: at a call, when a gradient is of a parameter that the model does not have,
            or shaped otherwise.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> model = nn.Linear(3, 2)
        >>> maml = MAML(model, lr=MetaCurvature(model, 0.1))
        >>> learner = maml.clone(tasks=4)
        >>> x = torch.randn(4, 5, 3)
        >>> learner.adapt(learner(x).square().mean((1, 2)))
        >>> learner(x).square().mean((1, 2)).sum().backward()
        >>> [tuple(matrix.grad.shape) for matrix in maml.lr.matrices[0]]
        [(2, 2), (3, 3)]

    Source: E. Park and J. B. Oliva, 2019, Meta-Curvature; here for any number of axes.
    learn2learn's `MetaCurvatureTransform` has `M_2` transposed, a diagonal for a bias, and one
    matrix for both filter axes of a convolution.
    """

    def __init__(self, model: nn.Module, lr: float, diagonal_above: int | None = None) -> None:
        super().__init__(model, lr)
        if diagonal_above is not None and (
            isinstance(diagonal_above, bool)
            or not isinstance(diagonal_above, int)
            or diagonal_above < 0
        ):
            raise ArgumentError(
                "MetaCurvature: diagonal_above must be a non-negative integer, got "
                f"{diagonal_above!r}"
            )
        self.lr = lr
        self.shapes = tuple(p.shape for p in model.parameters())
        self.matrices = nn.ModuleList(
            nn.ParameterList(_identity(p, size, diagonal_above) for size in p.shape or (1,))
            for p in model.parameters()
        )

    def transform(self, step: int, index: int, gradient: Tensor) -> Tensor:
        shape, matrices = self.shapes[index], list(self.matrices[index])
        if gradient.shape not in (shape, (*gradient.shape[:1], *shape)):
            raise AdaptationError(
                f"MetaCurvature: parameter {self.names[index]!r} must have shape {tuple(shape)}, "
                f"or (N, …) with tasks, got {tuple(gradient.shape)}; make it of the model that is "
                "adapted"
            )
        turned = gradient if shape else gradient.unsqueeze(-1)
        for axis, matrix in enumerate(matrices, start=-len(matrices)):  # from the end: past tasks
            last = turned.movedim(axis, -1)
            last = last * matrix if matrix.dim() == 1 else last @ matrix.mT
            turned = last.movedim(-1, axis)
        return self.lr * turned.reshape(gradient.shape)


def _identity(parameter: Tensor, size: int, diagonal_above: int | None) -> nn.Parameter:
    """The identity for an axis of a parameter: `(size, size)`, or `(size,)` where too long."""
    whole = diagonal_above is None or size <= diagonal_above
    ones = torch.ones(size, dtype=parameter.dtype, device=parameter.device)
    return nn.Parameter(ones.diag() if whole else ones)
