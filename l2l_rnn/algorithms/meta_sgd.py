"""Meta-SGD: an initialization, and a learning rate for each of its elements."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from l2l_rnn.algorithms.inner_loop.learning_rates import PerElementLR
from l2l_rnn.algorithms.maml import MAML
from l2l_rnn.configuration import configurable


@configurable
class MetaSGD(MAML):
    """Learn an initialization `theta` and learning rates `alpha` of the same shape.

    `min over theta, alpha of sum_i L_i(theta - alpha * grad L_i(theta))`, where `*` is elementwise

    Elements of `alpha` may become negative, so the direction of the step is learned too. Everything
    else works as in `MAML`.

    Args:
        model: the model to meta-learn.
        lr: initial value of every learning rate.
        first_order: as in `MAML`.
        lrs: the learning rates themselves, one tensor per parameter of the model; None creates them
            from `lr`.
        allow_unused, allow_nograd, options: as in `MAML`.

    Attributes:
        lrs: `alpha`, one tensor per parameter, of the parameter's shape.

    Raises:
        ArgumentTypeError: as in `MAML`.
        ArgumentError: as in `MAML`; also if `lr` is not a positive finite number, or `lrs` do
            not fit the parameters.

    Example:
        >>> import torch
        >>> meta_sgd = MetaSGD(nn.Linear(4, 2), lr=0.1)
        >>> learner = meta_sgd.clone(tasks=3)
        >>> x = torch.randn(3, 5, 4)
        >>> learner.adapt(learner(x).square().mean((1, 2)))
        >>> learner(x).square().mean((1, 2)).sum().backward()
        >>> [tuple(alpha.grad.shape) for alpha in meta_sgd.lrs]
        [(2, 4), (2,)]

    Source: Z. Li, F. Zhou, F. Chen and H. Li, 2017, Meta-SGD: Learning to Learn Quickly for
    Few-Shot Learning, eq. 2; the interface is from learn2learn's `MetaSGD`.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float = 1.0,
        first_order: bool = False,
        lrs: Iterable[Tensor] | None = None,
        allow_unused: bool | None = None,
        allow_nograd: bool = False,
        **options: Any,
    ) -> None:
        self._check_model(model)
        rates = PerElementLR(model, lr, lrs)
        super().__init__(model, rates, first_order, allow_unused, allow_nograd, **options)

    @property
    def lrs(self) -> nn.ParameterList:
        """The learning rates `alpha`, in the order of the model's parameters."""
        return self.lr.lrs
