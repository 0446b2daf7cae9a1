"""The weights of a pool of classifiers, as a function of shots and ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from l2l_rnn.functional.losses import cross_entropy

_ANY = 100.0  # no logarithm of a number of examples or classes is as large
_START_OF_SHARE = 0.01  # the weight of the class shares before training


class PoolInputs(NamedTuple):
    """What a pool computes its scores from.

    Attributes:
        logs: the log probabilities of each member, `(…, B, C)`.
        counts: the number of support examples of each class, `(…, C)`.
    """

    logs: Sequence[Tensor]
    counts: Tensor


class LogLinearPool(nn.Module):
    """Sum the log probabilities of members, with weights that depend on the support set.

    `score = sum_m w_m(k, C) log p_m + w_0(k, C) log(share)`, where `share` is the fraction of the
    support examples that belong to a class. `w = softplus(v . (1, log k, log C, (log k)^2))`, with
    k, the mean number of support examples per present class, and C, the number of present classes.
    Both are clipped to the range that `fit` has seen.

    Args:
        members: the number of members.

    Attributes:
        coefficients: `v`, a row for each member and, last, the class shares, `(members + 1, 4)`. At
            the start, each member has the weight `1 / members` at any k and C.
        low, high: the smallest and the largest `log k` and `log C`, `(2,)`.

    Shapes:
        forward: `PoolInputs` -> `(…, B, C)`.
    """

    low: Tensor
    high: Tensor

    def __init__(self, members: int) -> None:
        super().__init__()
        start = torch.zeros(members + 1, 4)
        start[:, 0] = torch.tensor([1 / members] * members + [_START_OF_SHARE]).expm1().log()
        self.coefficients = nn.Parameter(start)
        self.register_buffer("low", torch.full((2,), -_ANY))
        self.register_buffer("high", torch.full((2,), _ANY))

    def weights(self, counts: Tensor) -> Tensor:
        """Return the weights for support sets: counts `(…, C)` -> `(…, members + 1)`."""
        sizes = _sizes(counts).to(self.low).clamp(self.low, self.high)
        shots, ways = sizes.unbind(-1)
        features = torch.stack([torch.ones_like(shots), shots, ways, shots.square()], -1)
        return F.softplus(features @ self.coefficients.mT)

    def forward(self, inputs: PoolInputs) -> Tensor:
        weights = self.weights(inputs.counts)[..., None, None, :]  # (…, 1, 1, members + 1)
        total = inputs.counts.sum(-1, keepdim=True).clamp_min(1)
        # Classes without examples, which are never predicted, only need a finite share.
        share = (inputs.counts.clamp_min(0.5) / total).log().unsqueeze(-2).to(weights)
        scores = weights[..., -1] * share
        for number, log in enumerate(inputs.logs):
            scores = scores + weights[..., number] * log
        return scores

    def fit(
        self,
        inputs: Sequence[PoolInputs],
        labels: Sequence[Tensor],
        masks: Sequence[Tensor | None],
        *,
        penalty: float,
        steps: int,
    ) -> list[float]:
        """Minimize the cross-entropy of the scores with L-BFGS, and return its values.

        The objective is the mean over batches, plus `penalty / 2` times the squared distance of the
        coefficients from those before the call.

        Args:
            inputs, labels, masks: those of each batch; masks are False where a query is padding.
            penalty: see above.
            steps: the largest number of steps.
        """
        sizes = torch.cat([_sizes(each.counts).reshape(-1, 2) for each in inputs])
        self.low.copy_(sizes.amin(0))
        self.high.copy_(sizes.amax(0))
        before = self.coefficients.detach().clone()
        optimizer = torch.optim.LBFGS(
            [self.coefficients], max_iter=steps, history_size=20, line_search_fn="strong_wolfe"
        )
        values: list[float] = []

        def objective() -> float:
            optimizer.zero_grad()
            losses = [
                cross_entropy(self(each), y, mask).mean()
                for each, y, mask in zip(inputs, labels, masks, strict=True)
            ]
            distance = (self.coefficients - before).square().sum()
            loss = torch.stack(losses).mean()
            total = loss + penalty / 2 * distance
            total.backward()
            values.append(loss.item())
            return total.item()

        optimizer.step(objective)
        self.coefficients.grad = None
        if not all(map(math.isfinite, values)):
            with torch.no_grad():
                self.coefficients.copy_(before)
        return values


def _sizes(counts: Tensor) -> Tensor:
    """Return `log k` and `log C` of support sets: counts `(…, C)` -> `(…, 2)`."""
    present = (counts > 0).sum(-1).clamp_min(1)
    shots = counts.sum(-1) / present
    return torch.stack([shots.clamp_min(1).log(), present.to(shots).log()], -1)
