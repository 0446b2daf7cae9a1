"""Generalized advantage estimates, and the loss of proximal policy optimization."""

from __future__ import annotations

import torch
from torch import Tensor


def advantages(
    rewards: Tensor, values: Tensor, ends: Tensor, *, discount: float = 0.99, trace: float = 0.95
) -> Tensor:
    """Compute generalized advantage estimates.

    `A_t = sum_k (discount trace)^k e_{t+k}` with the errors
    `e_t = r_t + discount V_{t+1} - V_t`. The sum and `V_{t+1}` stop at the end of an episode. After
    the last step, the value is taken to be that of the last step.

    Args:
        rewards: rewards.
        values: values of the states before the steps.
        ends: whether the episode ends with the step.
        discount: discount factor.
        trace: weight of later errors; 0 has the least variance, 1 the least bias.

    Shapes:
        all `(…, S)`.

    Example:
        >>> ends = torch.tensor([False, False, True])
        >>> advantages(torch.ones(3), torch.zeros(3), ends, discount=0.5, trace=1.0)
        tensor([1.7500, 1.5000, 1.0000])

    Source: J. Schulman et al., 2016, High-Dimensional Continuous Control Using Generalized
    Advantage Estimation, equation 16.
    """
    going = 1 - ends.to(values.dtype)
    following = torch.cat([values[..., 1:], values[..., -1:]], -1)
    errors = rewards + discount * following * going - values
    found, last = [], torch.zeros_like(values[..., 0])
    for step in reversed(range(errors.shape[-1])):
        last = errors[..., step] + discount * trace * going[..., step] * last
        found.append(last)
    return torch.stack(found[::-1], -1)


def clipped_policy_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    gains: Tensor,
    *,
    clip: float = 0.2,
    mask: Tensor | None = None,
) -> Tensor:
    """Compute the loss of proximal policy optimization, a scalar.

    `-mean(min(r A, clip(r, 1 - clip, 1 + clip) A))`, where `r` is the ratio of the probabilities of
    the actions to those when they were drawn, and `A` are the standardized advantages.

    Args:
        log_probs: log-probabilities of the actions.
        old_log_probs: the same, when the actions were drawn.
        gains: advantages.
        clip: limit of the change of a ratio.
        mask: steps that count; None for all.

    Shapes:
        all `(…, S)` -> `()`.

    Example:
        >>> old = torch.zeros(2)
        >>> clipped_policy_loss(torch.tensor([5.0, 0.0]), old, torch.tensor([1.0, -1.0])).item() < 0
        True

    Source: J. Schulman et al., 2017, Proximal Policy Optimization Algorithms, equation 7.
    """
    if mask is not None:
        log_probs, old_log_probs, gains = log_probs[mask], old_log_probs[mask], gains[mask]
    gains = (gains - gains.mean()) / (gains.std() + 1e-8)
    ratio = (log_probs - old_log_probs).exp()
    return -torch.minimum(ratio * gains, ratio.clamp(1 - clip, 1 + clip) * gains).mean()
