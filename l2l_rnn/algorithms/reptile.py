"""Reptile: move the initialization toward the parameters that each task's training reaches."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.gradients import squared_norm
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ArgumentError


@configurable
class Reptile(MAML):
    """Learn an initialization `theta` that is close to the adapted parameters of every task.

    `theta <- theta + epsilon mean_i(phi_i - theta)`

    A clone takes first-order gradient steps from `theta` to the task's parameters `phi_i`.
    `distance()` then replaces the query loss: it is `1/2 |theta - phi_i|^2`, with the gradient
    `theta - phi_i`. SGD with learning rate `epsilon` on the mean over tasks is the update above;
    any other optimizer works too.

    Args:
        model: the model to meta-learn.
        lr: as in `MAML`. A `GradientTransform` is not trained, because `distance()` does not depend
            on it. The same holds for a `regularizer`.
        options: the other arguments of `MAML`, except `first_order`, which is always True.

    Raises:
        ArgumentTypeError: as in `MAML`.
        ArgumentError: as in `MAML`; also if `first_order` is given.

    Example:
        >>> import torch
        >>> reptile = Reptile(nn.Linear(3, 1), lr=0.1)
        >>> learner = reptile.clone(tasks=4)
        >>> x = torch.randn(4, 5, 3)
        >>> for _ in range(3):
        ...     learner.adapt(learner(x).square().mean((1, 2)))
        >>> learner.distance().mean().backward()
        >>> reptile.module.weight.grad.shape
        torch.Size([1, 3])

    Source: A. Nichol, J. Achiam and J. Schulman, 2018, On First-Order Meta-Learning Algorithms,
    algorithm 2.
    """

    keeps_start = True

    def __init__(
        self, model: nn.Module, lr: float | Tensor | GradientTransform, **options: Any
    ) -> None:
        if "first_order" in options:
            raise ArgumentError(
                "Reptile: first_order is not an option, because it is always True, got "
                f"{options['first_order']!r}; omit it"
            )
        super().__init__(model, lr, first_order=True, **options)

    def distance(self) -> Tensor:
        """Compute `1/2 |theta - phi|^2` over the adapted parameters.

        Shapes:
            -> a scalar, or `(N,)` with a task axis.

        Raises:
            AdaptationError: the learner is not a clone.
        """
        self._check_is_clone("distance")
        differences = [
            self._start[name] - phi.detach()
            for name, phi in self.module.named_parameters()
            if self.adapted is None or name in self.adapted
        ]
        return squared_norm(differences, self.tasks) / 2
