"""Meta-SGD: an initialisation and a step size for every entry of it."""

from __future__ import annotations

from typing import Any

from torch import nn

from l2l_rnn.algorithms.inner_loop.rates import PerElementRates
from l2l_rnn.algorithms.maml import MAML


class MetaSGD(MAML):
    """Learn an initialisation `theta` and step sizes `alpha` shaped like it.

    `min over theta, alpha of sum_i L_i(theta - alpha * grad L_i(theta))`, `*` entry by entry: `lr`
    holds `alpha`, its sign and direction learned too. Everything else is as in `MAML`.

    Args:
        model: the module to meta-learn.
        lr: every step size at the start.
        first_order, allow_unused, allow_nograd, options: as in `MAML`.

    Raises:
        As `MAML`; ArgumentError if `lr` is not positive and finite.

    Example:
        >>> import torch
        >>> meta = MetaSGD(nn.Linear(4, 2), lr=0.1)
        >>> learner = meta.clone(tasks=3)
        >>> x = torch.randn(3, 5, 4)
        >>> learner.adapt(learner(x).square().mean((1, 2)))
        >>> learner(x).square().mean((1, 2)).sum().backward()
        >>> [tuple(rate.grad.shape) for rate in meta.lr.rates]
        [(2, 4), (2,)]

    Source: Z. Li, F. Zhou, F. Chen and H. Li, 2017, Meta-SGD: Learning to Learn Quickly for
    Few-Shot Learning; learn2learn's `MetaSGD` keeps the step sizes in a list `lrs`.
    """

    def __init__(
        self,
        model: nn.Module,
        lr: float = 1.0,
        first_order: bool = False,
        allow_unused: bool | None = None,
        allow_nograd: bool = False,
        **options: Any,
    ) -> None:
        self._check_model(model)
        rates = PerElementRates(model, lr)
        super().__init__(model, rates, first_order, allow_unused, allow_nograd, **options)
