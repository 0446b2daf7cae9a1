"""Dropout with a learned rate."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.checks import check_number
from l2l_rnn.configuration import configurable
from l2l_rnn.errors import ShapeError


@configurable
class LearnedDropout(nn.Module):
    """Dropout with a learned rate: the masks are nearly 0 or 1, so that the rate has a gradient.

    `y = x * (1 - z) / (1 - p)` with `z = sigmoid((logit p + logit u) / t)` and u uniform on (0, 1),
    drawn for each element. z exceeds 1/2 with probability p, the rate, and tends to 0 or 1 as the
    `temperature` t tends to 0. In evaluation mode `y = x`.

    The rate is a meta-parameter. MAML's inner loop does not change it unless `adapts` names it. The
    query loss trains it through the inner steps, which requires second derivatives. Call `eval()`
    on the adapted clone before the query: otherwise the query loss depends on the rate directly
    and drives it to 0. learn2learn's own MAML would adapt it in the inner loop.

    Args:
        rate: initial value of `p`.
        temperature: `t`. Smaller values bring the masks closer to 0 and 1 and increase the variance
            of the rate's gradient. At 0.1, the mean of the masks is within 0.002 of `1 - p`.

    Attributes:
        log_odds: `logit p`, a scalar, which keeps p between 0 and 1.

    Shapes:
        `(…)` -> `(…)`; `(N, …)` if `log_odds` is `(N,)`.

    Raises:
        ArgumentError: the rate is not between 0 and 1, or the temperature is not positive.
        ShapeError: in `forward`, the number of rates is not the number of tasks.

    Example:
        >>> layer = LearnedDropout(0.5)
        >>> layer(torch.ones(3)).sum().backward()
        >>> layer.eval()(torch.ones(3)), layer.log_odds.grad.shape
        (tensor([1., 1., 1.]), torch.Size([]))

    Source: Y. Gal, J. Hron and A. Kendall, 2017, Concrete Dropout, eq. 5; the relaxation is by C.
    Maddison, A. Mnih and Y. W. Teh, 2017, The Concrete Distribution. There a prior keeps the rate
    from vanishing; here the query loss does, on sequences that the inner loop has not seen.
    """

    task_axis: ClassVar[bool] = True
    inner_loop: ClassVar[bool] = False
    draws: ClassVar[bool] = True  # random numbers, in training mode

    def __init__(self, rate: float, temperature: float = 0.1) -> None:
        super().__init__()
        rate = check_number("LearnedDropout", "rate", rate, above=0, below=1)
        self.temperature = check_number("LearnedDropout", "temperature", temperature, above=0)
        self.log_odds = nn.Parameter(torch.tensor(math.log(rate) - math.log1p(-rate)))

    @property
    def rate(self) -> Tensor:
        """The rate `p`, with the shape of `log_odds`."""
        return self.log_odds.sigmoid()

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}"

    def forward(self, x: Tensor) -> Tensor:
        if self.log_odds.shape != x.shape[: self.log_odds.dim()]:
            raise ShapeError(
                f"LearnedDropout: x must be (N, …) with N={len(self.log_odds)} tasks, one per "
                f"rate, got shape {tuple(x.shape)}"
            )
        if not self.training:
            return x
        shape = *self.log_odds.shape, *[1] * (x.dim() - 1)
        # In half precision the noise would be too coarse, and small masks would round to 0.
        real = torch.promote_types(x.dtype, torch.float32)
        log_odds = self.log_odds.to(real).reshape(shape)
        noise = torch.rand_like(x, dtype=real).logit(eps=torch.finfo(real).eps)
        kept = torch.sigmoid(-(log_odds + noise) / self.temperature)
        return x * (kept / torch.sigmoid(-log_odds)).to(x.dtype)
