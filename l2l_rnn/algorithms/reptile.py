"""Reptile: move the initialisation toward where training on each task ends."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.steps import squared_length
from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.algorithms.maml import MAML


class Reptile(MAML):
    """Learn an initialisation `theta` close to the tasks' solutions `phi_i`.

    A `clone()` takes plain gradient steps, of first order, from `theta` to `phi_i`, and
    `learner.distance()` stands where MAML has the query loss: `1/2 |theta - phi_i|^2`, whose
    gradient `theta - phi_i` an optimiser descends. With SGD and the mean over tasks that is
    `theta <- theta + epsilon mean_i(phi_i - theta)`.

    Args:
        model, lr, options: as in `MAML`, but `first_order`, which is always so. A transform or a
            pull stays as it is: the distance says nothing of how `phi` was reached.

    Raises:
        As `MAML`.

    Example:
        >>> import torch
        >>> reptile = Reptile(nn.Linear(3, 1), lr=0.1)
        >>> learner = reptile.clone(tasks=4)
        >>> x = torch.randn(4, 5, 3)
        >>> for _ in range(3):
        ...     learner.adapt(learner(x).square().mean((1, 2)))
        >>> learner.distance().sum().backward()
        >>> reptile.module.weight.grad.shape
        torch.Size([1, 3])

    Source: A. Nichol, J. Achiam and J. Schulman, 2018, On First-Order Meta-Learning Algorithms,
    algorithm 2.
    """

    def __init__(
        self, model: nn.Module, lr: float | Tensor | GradientTransform, **options: Any
    ) -> None:
        super().__init__(model, lr, first_order=True, **options)

    def distance(self) -> Tensor:
        """Compute `1/2 |theta - phi|^2` over what adapts: a scalar, or `(N,)` with tasks."""
        self._check_is_clone()
        gaps = [
            self._start[name] - phi.detach()
            for name, phi in self.module.named_parameters()
            if self.adapted is None or name in self.adapted
        ]
        return squared_length(gaps, self.tasks) / 2
