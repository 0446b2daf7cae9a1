"""Dropout whose rate is learned."""

from __future__ import annotations

import math
from numbers import Real
from typing import ClassVar

import torch
from torch import Tensor, nn

from l2l_rnn.errors import ArgumentError, ShapeError


class LearnedDropout(nn.Module):
    """Scale each element by a mask that is nearly 0 or 1, at a rate that has a gradient.

    `y = x * (1 - z) / (1 - p)` with `z = sigmoid((logit p + logit u) / t)` and u uniform on (0, 1),
    drawn for each element: z is above 1/2 with probability p, the rate, and 0 or 1 as t, the
    `temperature`, goes to 0. In evaluation `y = x`.

    The rate is a meta-parameter: MAML's inner loop leaves it as it is, unless it is named in
    `adapts`, and the query loss trains it through the inner steps that it disturbed; that takes the
    second derivative. Call `eval()` on the adapted clone before the query, or the query loss has a
    part of its own in the rate, which it would draw to 0. learn2learn's MAML does not know to leave
    it out.

    Args:
        rate: `p` at the start.
        temperature: `t`. The smaller, the closer are the masks to 0 and 1, and the more does the
            rate's gradient vary. At 0.1 their mean is within 0.002 of `1 - p`.

    Attributes:
        log_odds: `logit p`, a scalar, so that p stays between 0 and 1.

    Shapes:
        `(…)` -> `(…)`; `(N, …)` where `log_odds` is `(N,)`.

    Raises:
        ArgumentError: the rate is not between 0 and 1, or the temperature not positive and finite.
        ShapeError: at a call, when there is not one rate for each task.

    Example:
        >>> layer = LearnedDropout(0.5)
        >>> layer(torch.ones(3)).sum().backward()
        >>> layer.eval()(torch.ones(3)), layer.log_odds.grad.shape
        (tensor([1., 1., 1.]), torch.Size([]))

    Source: Y. Gal, J. Hron and A. Kendall, 2017, Concrete Dropout, eq. 5; the relaxation is of C.
    Maddison, A. Mnih and Y. W. Teh, 2017, The Concrete Distribution. There the rate is held up by a
    prior; here by the query loss, whose sequences the inner loop has not seen.
    """

    task_axis: ClassVar[bool] = True
    inner_loop: ClassVar[bool] = False

    def __init__(self, rate: float, temperature: float = 0.1) -> None:
        super().__init__()
        for name, given, above in [("rate", rate, 1.0), ("temperature", temperature, math.inf)]:
            number = isinstance(given, Real) and not isinstance(given, bool)
            if not (number and 0 < given < above):
                bounds = "between 0 and 1" if above == 1 else "positive and finite"
                raise ArgumentError(f"LearnedDropout: {name} must be {bounds}, got {given!r}")
        self.temperature = temperature
        self.log_odds = nn.Parameter(torch.tensor(math.log(rate) - math.log1p(-rate)))

    @property
    def rate(self) -> Tensor:
        """The rate `p`, shaped like `log_odds`."""
        return self.log_odds.sigmoid()

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}"

    def forward(self, x: Tensor) -> Tensor:
        if self.log_odds.shape != x.shape[: self.log_odds.dim()]:
            raise ShapeError(
                f"LearnedDropout: x must be (N, …) with N={len(self.log_odds)} tasks, one for each "
                f"rate, got shape {tuple(x.shape)}"
            )
        if not self.training:
            return x
        shape = *self.log_odds.shape, *[1] * (x.dim() - 1)
        # In half precision the noise would not reach far enough, nor the smallest shares be kept.
        real = torch.promote_types(x.dtype, torch.float32)
        log_odds = self.log_odds.to(real).reshape(shape)
        noise = torch.rand_like(x, dtype=real).logit(eps=torch.finfo(real).eps)
        kept = torch.sigmoid(-(log_odds + noise) / self.temperature)
        return x * (kept / torch.sigmoid(-log_odds)).to(x.dtype)
