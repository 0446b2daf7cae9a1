"""Meta-Curvature: learned matrices that precondition the gradients of the inner loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.checks import check_int
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import AdaptationError


@configurable
class MetaCurvature(GradientTransform):
    """Multiply each gradient by a learned square matrix along each of its axes.

    `step = lr * (G x_1 M_1 x_2 M_2 … x_d M_d)`, where `x_k` is the product along axis k. For a
    weight matrix this is `lr * M_1 G M_2^T`; for a bias, `lr * M_1 g`; for a scalar, the same with
    `M_1` of shape `(1, 1)`. Every matrix starts as the identity, so the first meta-step equals that
    of plain MAML. All tasks share the matrices.

    An axis of size n needs `n^2` numbers, and as many again for each meta-gradient and each state
    of the optimizer. For a vocabulary of 30,000, each of these takes 3.6 GB in float32. Set
    `diagonal_above` to learn only the n diagonal entries for such axes.

    Args:
        model: the model to adapt.
        lr: the learning rate. It is fixed; the matrices learn the scale.
        diagonal_above: size of the largest axis with a full matrix. Longer axes have a diagonal
            matrix. None gives every axis a full matrix.

    Attributes:
        matrices: `M_1 … M_d` of each parameter, in the order of `names`. Each is `(n, n)`, or
            `(n,)` if diagonal.

    Shapes:
        as `GradientTransform`.

    Raises:
        ArgumentError: `lr` is not a positive finite number, or `diagonal_above` is not a
            non-negative integer.
        AdaptationError: in `forward`, a gradient belongs to a parameter that `model` does not have,
            or has another shape.

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

    Source: E. Park and J. B. Oliva, 2019, Meta-Curvature, section 3; here for any number of axes.
    learn2learn's `MetaCurvatureTransform` transposes `M_2`, uses a diagonal for a bias, and shares
    one matrix between the two filter axes of a convolution.
    """

    def __init__(self, model: nn.Module, lr: float, diagonal_above: int | None = None) -> None:
        super().__init__(model, lr)
        if diagonal_above is not None:
            diagonal_above = check_int("MetaCurvature", "diagonal_above", diagonal_above, least=0)
        self.lr = float(lr)
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
                f"or (N, …) with a task axis, got {tuple(gradient.shape)}; create the transform "
                "from the model that the learner adapts"
            )
        product = gradient if shape else gradient.unsqueeze(-1)
        # Axes are counted from the end, so that a leading task axis is not affected.
        for axis, matrix in enumerate(matrices, start=-len(matrices)):
            last = product.movedim(axis, -1)
            last = last * matrix if matrix.dim() == 1 else last @ matrix.mT
            product = last.movedim(-1, axis)
        return self.lr * product.reshape(gradient.shape)


def _identity(parameter: Tensor, size: int, diagonal_above: int | None) -> nn.Parameter:
    """Return the identity for one axis of a parameter: `(size, size)`, or `(size,)` if diagonal."""
    full = diagonal_above is None or size <= diagonal_above
    ones = torch.ones(size, dtype=parameter.dtype, device=parameter.device)
    return nn.Parameter(ones.diag() if full else ones)
