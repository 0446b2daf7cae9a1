"""MAML++: learned learning rates for each tensor and step, and a query loss after every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.learning_rates import PerTensorLR
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable


@configurable
class MAMLPlusPlus(MAML):
    """MAML with three changes that stabilize its training.

    `min over theta, alpha of sum_i sum_k w_k L_i(theta_k)` with
    `theta_k = theta_{k-1} - alpha_k grad L_i(theta_{k-1})`

    - Each parameter tensor has its own learning rate at each step; `lr.log_lr` holds the
      logarithms.
    - The outer loss is a weighted sum of the query losses after every step.
      `step_weights(progress)` gives the weights `w_k`, which shift from all steps to the last one
      during training.
    - Early training can omit second derivatives: `clone(first_order=True)`.

    Args:
        model: the model to meta-learn.
        lr: initial value of every learning rate.
        steps: `K`, the number of inner steps.
        options: the other arguments of `MAML`.

    Raises:
        ArgumentTypeError: as in `MAML`.
        ArgumentError: as in `MAML`; also if `lr` is not a positive finite number or `steps` is not
            a positive integer.

    Example:
        >>> maml = MAMLPlusPlus(nn.Linear(3, 1), lr=0.1, steps=2)
        >>> learner, x, total = maml.clone(tasks=4), torch.randn(4, 5, 3), 0.0
        >>> for weight in maml.step_weights(progress=0.5):
        ...     learner.adapt(learner(x).square().mean((1, 2)))
        ...     total = total + weight * learner(x).square().mean((1, 2)).sum()
        >>> total.backward()
        >>> maml.lr.log_lr.grad.shape
        torch.Size([2, 2])

    Source: A. Antoniou, H. Edwards and A. Storkey, 2019, How to Train Your MAML, section 4: MSL,
    LSLR and DA. Per-step batch normalization is left out, because these recurrent models have no
    batch normalization.
    """

    def __init__(self, model: nn.Module, lr: float, steps: int = 5, **options: Any) -> None:
        self._check_model(model)
        super().__init__(model, PerTensorLR(model, lr, steps), **options)
        self.steps = int(steps)

    def step_weights(self, progress: float) -> Tensor:
        """Return the weights `w_k` of the query losses after each step; they sum to 1.

        Args:
            progress: the completed fraction of the annealing, from 0 (equal weights) to 1 (only the
                last step counts).

        Shapes:
            -> `(K,)`.

        Raises:
            ArgumentError: `progress` is not between 0 and 1.
        """
        progress = check_number("MAMLPlusPlus.step_weights", "progress", progress, least=0, most=1)
        weights = torch.full((self.steps,), (1 - progress) / self.steps)
        weights[-1] += progress
        return weights
