"""MAML++: step sizes learned for each tensor and step, and a loss at every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.rates import PerTensorRates
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.errors import ArgumentError


class MAMLPlusPlus(MAML):
    """MAML with what steadies it: learned step sizes, a loss at every step, orders in turn.

    `min over theta, alpha of sum_i sum_k w_k L_i(theta_k)` with
    `theta_k = theta_{k-1} - alpha_k grad L_i(theta_{k-1})`: one step size for each parameter tensor
    at each step, `lr.log_rates`, and the query loss after every step, weighted by
    `step_weights(progress)`, which move from all steps alike to the last alone. Early training may
    leave out the second derivative: `clone(first_order=True)`.

    Args:
        model: as in `MAML`.
        lr: every step size at the start.
        steps: inner steps, `K`.
        options: the other arguments of `MAML`.

    Raises:
        As `MAML`; ArgumentError if `lr` is not positive and finite, or `steps` not a positive
        integer.

    Example:
        >>> maml = MAMLPlusPlus(nn.Linear(3, 1), lr=0.1, steps=2)
        >>> learner, x, total = maml.clone(tasks=4), torch.randn(4, 5, 3), 0.0
        >>> for weight in maml.step_weights(progress=0.5):
        ...     learner.adapt(learner(x).square().mean((1, 2)))
        ...     total = total + weight * learner(x).square().mean((1, 2)).sum()
        >>> total.backward()
        >>> maml.lr.log_rates.grad.shape
        torch.Size([2, 2])

    Source: A. Antoniou, H. Edwards and A. Storkey, 2019, How to Train Your MAML, section 4: MSL,
    LSLR and DA. Its batch normalisation by step has no place in these recurrent models.
    """

    def __init__(self, model: nn.Module, lr: float, steps: int = 5, **options: Any) -> None:
        self._check_model(model)
        super().__init__(model, PerTensorRates(model, lr, steps), **options)
        self.steps = steps

    def step_weights(self, progress: float) -> Tensor:
        """The weights `w_k` of the query losses after each step, which sum to 1.

        Args:
            progress: how much of the annealing is over, 0 (all alike) to 1 (the last step alone).

        Shapes:
            -> `(K,)`.
        """
        if not 0 <= progress <= 1:
            raise ArgumentError(f"MAMLPlusPlus: progress must lie in [0, 1], got {progress!r}")
        weights = torch.full((self.steps,), (1 - progress) / self.steps)
        weights[-1] += progress
        return weights
