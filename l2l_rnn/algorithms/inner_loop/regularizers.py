"""Meta-learned regularizers of the inner loop."""

from __future__ import annotations

import math

from torch import Tensor, nn

from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import AdaptationError


@configurable
class ProximalRegularizer(nn.Module):
    """L2 penalty toward the initialization, with one learned strength per parameter tensor.

    The inner loop minimizes `L(phi) + 1/2 sum_j lambda_j |phi_j - theta_j|^2`. `lambda_j` limits
    how far tensor j moves from its initialization `theta_j`. It is a meta-parameter: the query loss
    trains it together with `theta`.

    Args:
        model: the model to adapt. The regularizer looks up its parameters by name.
        strength: initial value of every `lambda_j`.

    Attributes:
        names: the names of the model's parameters, in the model's order.
        log_strengths: `log lambda`, `(tensors,)`, which keeps the strengths positive.

    Raises:
        ArgumentError: `strength` is not a positive finite number.
        AdaptationError: in `forward`, a gradient belongs to a parameter that `model` does not have.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> model = nn.Linear(3, 2)
        >>> maml = MAML(model, lr=0.1, regularizer=ProximalRegularizer(model, strength=0.5))
        >>> [name for name, _ in maml.named_parameters()]
        ['module.weight', 'module.bias', 'regularizer.log_strengths']

    Source: A. Rajeswaran, C. Finn, S. Kakade and S. Levine, 2019, Meta-Learning with Implicit
    Gradients, eq. 3. There lambda is one fixed number; here each tensor learns its own, and the
    inner loop takes gradient steps instead of solving the problem.
    """

    def __init__(self, model: nn.Module, strength: float) -> None:
        super().__init__()
        strength = check_number("ProximalRegularizer", "strength", strength, above=0)
        self.names = tuple(name for name, _ in model.named_parameters())
        start = next(model.parameters()).new_full((len(self.names),), math.log(strength))
        self.log_strengths = nn.Parameter(start)

    def forward(
        self, gradients: dict[str, Tensor], now: dict[str, Tensor], start: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Add the penalty's gradient `lambda (phi - theta)` to the gradients of the loss.

        Args:
            gradients: gradients by parameter name.
            now: `phi`, the current parameters by name.
            start: `theta`, the initialization by name.
        """
        strengths = self.log_strengths.exp()
        total = {}
        for name, gradient in gradients.items():
            if name not in self.names:
                raise AdaptationError(
                    f"ProximalRegularizer: unknown parameter {name!r}; create the regularizer from "
                    "the model that the learner adapts"
                )
            strength = strengths[self.names.index(name)]
            total[name] = gradient + strength * (now[name] - start[name])
        return total
