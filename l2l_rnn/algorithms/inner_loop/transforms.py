"""Base class of learned gradient transforms, which learners accept as `lr`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.checks import check_lr
from l2l_rnn.errors import AdaptationError


class GradientTransform(nn.Module, ABC):
    """Transform the gradients of an inner step into the step itself. Not for direct use.

    The inner loop computes `theta <- theta - T(grad L(theta))`, where `T` is the transform. The
    parameters of `T` are meta-parameters: the query loss trains them together with the
    initialization. A subclass implements `transform`.

    Args:
        model: the model to adapt. The transform looks up its parameters by name.
        lr: the initial learning rate.

    Attributes:
        names: the names of the model's parameters, in the model's order.

    Shapes:
        forward: gradients `(…)`, shaped like their parameters -> steps `(…)`; with a task axis
            `(N, …)` -> `(N, …)`.

    Raises:
        ArgumentError: `lr` is not a positive finite number.
        AdaptationError: in `forward`, a gradient belongs to a parameter that `model` does not have.

    Example:
        >>> class SignDescent(GradientTransform):
        ...     def transform(self, step, index, gradient):
        ...         return 0.1 * gradient.sign()
        >>> transform = SignDescent(nn.Linear(3, 2), lr=0.1)
        >>> transform(0, {"bias": Tensor([2.0, -3.0])})
        {'bias': tensor([ 0.1000, -0.1000])}
    """

    def __init__(self, model: nn.Module, lr: float) -> None:
        super().__init__()
        check_lr(type(self).__name__, lr, positive=True, number=True)
        self.names = tuple(name for name, _ in model.named_parameters())

    @abstractmethod
    def transform(self, step: int, index: int, gradient: Tensor) -> Tensor:
        """Transform the gradient of one parameter.

        Args:
            step: number of the inner step, from 0.
            index: position of the parameter in `names`.
            gradient: its gradient.
        """

    def forward(self, step: int, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
        """Transform the gradients of one inner step.

        Args:
            step: number of the inner step, from 0.
            gradients: gradients by parameter name.
        """
        unknown = [name for name in gradients if name not in self.names]
        if unknown:
            raise AdaptationError(
                f"{type(self).__name__}: unknown parameter {unknown[0]!r}; create the transform "
                "from the model that the learner adapts"
            )
        return {
            name: self.transform(step, self.names.index(name), gradient)
            for name, gradient in gradients.items()
        }
