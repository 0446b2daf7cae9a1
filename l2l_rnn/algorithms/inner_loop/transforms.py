"""Learned transforms of inner gradients: modules that may stand where a learner takes `lr`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from torch import Tensor, nn

from l2l_rnn.errors import AdaptationError, ArgumentError


class GradientTransform(nn.Module, ABC):
    """Turn the gradients of an inner step into the step that is subtracted.

    Its parameters are meta-parameters: they are trained with the initialisation, through what the
    inner steps did to the query loss.

    Args:
        model: the module that is adapted; its parameters are known by name from then on.
        lr: the step size at the start.

    Attributes:
        names: the parameters' names.

    Shapes:
        a gradient `(…)`, shaped like its parameter, or `(N, …)` with tasks -> the same.

    Raises:
        ArgumentError: `lr` is not positive and finite.
        AdaptationError: at a call, when a gradient is of a parameter that the model does not have.
    """

    def __init__(self, model: nn.Module, lr: float) -> None:
        super().__init__()
        if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
            raise ArgumentError(
                f"{type(self).__name__}: lr must be a positive finite number, got {lr!r}"
            )
        self.names = tuple(name for name, _ in model.named_parameters())

    @abstractmethod
    def transform(self, step: int, index: int, gradient: Tensor) -> Tensor:
        """Turn one tensor's gradient, by its place in `names`, into its step."""

    def forward(self, step: int, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn the gradients of an inner step, counted from 0, by name."""
        unknown = [name for name in gradients if name not in self.names]
        if unknown:
            raise AdaptationError(
                f"{type(self).__name__}: there is nothing for parameter {unknown[0]!r}; make it of "
                "the model that is adapted"
            )
        return {
            name: self.transform(step, self.names.index(name), gradient)
            for name, gradient in gradients.items()
        }
