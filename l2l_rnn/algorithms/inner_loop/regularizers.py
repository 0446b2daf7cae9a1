"""Regularisers of the inner loop that are meta-learned with the initialisation."""

from __future__ import annotations

import math

from torch import Tensor, nn

from l2l_rnn.errors import AdaptationError, ArgumentError


class LearnedPull(nn.Module):
    """Pull every adapted parameter back to where its clone started, each tensor as it is learned.

    The inner loop descends `L(phi) + 1/2 sum_j lambda_j |phi_j - theta_j|^2`: `lambda_j` says how
    far tensor j may go from the initialisation `theta_j` on the few examples of a task, and is a
    meta-parameter, trained by what that does to the query loss.

    Args:
        model: the module that is adapted; its parameters are known by name from then on.
        strength: every `lambda_j` at the start.

    Attributes:
        names: the parameters' names.
        log_strengths: `log lambda`, `(tensors,)`; so the strengths stay positive.

    Raises:
        ArgumentError: `strength` is not a positive finite number.

    Example:
        >>> from l2l_rnn.algorithms import MAML
        >>> model = nn.Linear(3, 2)
        >>> maml = MAML(model, lr=0.1, pull=LearnedPull(model, 0.5))
        >>> len(list(maml.parameters()))
        3

    Source: A. Rajeswaran, C. Finn, S. Kakade and S. Levine, 2019, Meta-Learning with Implicit
    Gradients, eq. 3, where lambda is one number and given; learning one for each tensor is this
    package's.
    """

    def __init__(self, model: nn.Module, strength: float) -> None:
        super().__init__()
        number = isinstance(strength, (int, float)) and not isinstance(strength, bool)
        if not (number and 0 < strength < math.inf):
            raise ArgumentError(
                f"LearnedPull: strength must be a positive finite number, got {strength!r}"
            )
        self.names = tuple(name for name, _ in model.named_parameters())
        start = next(model.parameters()).new_full((len(self.names),), math.log(strength))
        self.log_strengths = nn.Parameter(start)

    def forward(
        self, gradients: dict[str, Tensor], now: dict[str, Tensor], start: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Add the pull to gradients by name, from the parameters now and at the start."""
        strengths = self.log_strengths.exp()
        pulled = {}
        for name, gradient in gradients.items():
            if name not in self.names:
                raise AdaptationError(
                    f"LearnedPull: no strength for parameter {name!r}; make it of the model that "
                    "is adapted"
                )
            strength = strengths[self.names.index(name)]
            pulled[name] = gradient + strength * (now[name] - start[name])
        return pulled
