"""Learned step sizes of the inner loop: modules that may stand where a learner takes `lr`."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.transforms import GradientTransform
from l2l_rnn.errors import ArgumentError


class Rates(GradientTransform):
    """Step sizes that are meta-parameters: they scale the gradients of each inner step.

    Args:
        model: the module that is adapted; its parameters are known by name from then on.
        lr: every step size at the start.
    """

    @abstractmethod
    def rate(self, step: int, index: int) -> Tensor:
        """The step size of one tensor, by its place in `names`, at an inner step."""

    def transform(self, step: int, index: int, gradient: Tensor) -> Tensor:
        return self.rate(step, index) * gradient


class PerTensorRates(Rates):
    """One positive step size for each parameter tensor at each inner step.

    Args:
        model, lr: as in `Rates`.
        steps: inner steps with sizes of their own; later ones take the last one's.

    Attributes:
        log_rates: their logarithms, `(steps, tensors)`.

    Raises:
        ArgumentError: `lr` is not positive and finite, or `steps` not a positive integer.

    Example:
        >>> rates = PerTensorRates(nn.Linear(3, 2), 0.1, steps=2)
        >>> rates.log_rates.exp().shape
        torch.Size([2, 2])

    Source: A. Antoniou, H. Edwards and A. Storkey, 2019, How to Train Your MAML, section 4 (LSLR),
    by tensor rather than by layer; logarithms keep them positive, which is this package's.
    """

    def __init__(self, model: nn.Module, lr: float, steps: int = 1) -> None:
        super().__init__(model, lr)
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ArgumentError(f"PerTensorRates: steps must be a positive integer, got {steps!r}")
        start = next(model.parameters()).new_full((steps, len(self.names)), math.log(lr))
        self.log_rates = nn.Parameter(start)

    def rate(self, step: int, index: int) -> Tensor:
        return self.log_rates[min(step, len(self.log_rates) - 1), index].exp()


class PerElementRates(Rates):
    """One step size, of either sign, for each entry of each parameter: Meta-SGD's.

    Args:
        model, lr: as in `Rates`.

    Attributes:
        rates: one tensor for each parameter, shaped like it.

    Raises:
        ArgumentError: `lr` is not positive and finite.

    Source: Z. Li, F. Zhou, F. Chen and H. Li, 2017, Meta-SGD: Learning to Learn Quickly for
    Few-Shot Learning, eq. 2.
    """

    def __init__(self, model: nn.Module, lr: float) -> None:
        super().__init__(model, lr)
        self.rates = nn.ParameterList(
            nn.Parameter(torch.full_like(p, lr)) for p in model.parameters()
        )

    def rate(self, step: int, index: int) -> Tensor:
        return self.rates[index]
