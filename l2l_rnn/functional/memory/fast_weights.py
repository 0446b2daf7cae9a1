"""Fast weights: a matrix updated by outer products of values and keys, all steps at once."""

from __future__ import annotations

import torch
from torch import Tensor

# Steps per block. The work within a block grows with the square of this number.
_BLOCK = 64


def hebbian_rule(
    keys: Tensor, values: Tensor, weights: Tensor, *, decay: float = 1.0, lr: float = 1.0
) -> Tensor:
    """Compute `A_t = decay A_{t-1} + lr v_t k_t^T` after the last step.

    Args:
        keys: `k`.
        values: `v`.
        weights: `A` before the first step.
        decay: the factor by which `A` decays at each step.
        lr: the learning rate, which scales the outer products.

    Shapes:
        keys `(…, S, K)`, values `(…, S, V)`, weights `(…, V, K)` -> `(…, V, K)`.

    Example:
        >>> k, v = torch.eye(2), torch.tensor([[4.0], [6.0]])
        >>> hebbian_rule(k, v, torch.zeros(1, 2), decay=0.5)
        tensor([[2., 6.]])

    Source: J. Ba, G. Hinton, V. Mnih, J. Z. Leibo and C. Ionescu, 2016, Using Fast Weights to
    Attend to the Recent Past, eq. 1.
    """
    steps = keys.shape[-2]
    if steps == 0:
        return weights
    if decay != 1:
        ages = torch.arange(steps - 1, -1, -1, device=keys.device, dtype=keys.dtype)
        values = values * (decay**ages).unsqueeze(-1)
        weights = decay**steps * weights
    return torch.add(weights, values.mT @ keys, alpha=lr)


def delta_rule(
    queries: Tensor, keys: Tensor, values: Tensor, gates: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute `W_t = W_{t-1} + b_t (v_t - W_{t-1} k_t) k_t^T` and the read `y_t = W_t q_t`.

    Steps are computed in blocks. The updates of a block, `u_t = b_t (v_t - W_{t-1} k_t)`, depend on
    each other only through the products of their keys. They are therefore the solution of one
    triangular system, and `W` is updated by one product per block.

    Args:
        queries: `q`.
        keys: `k`.
        values: `v`.
        gates: `b`, from 0 (no write) to 1 (a key of norm 1 then reads `v`).
        weights: `W` before the first step.

    Returns:
        The reads `y` and the last `W`.

    Shapes:
        queries and keys `(…, S, K)`, values `(…, S, V)`, gates `(…, S)`, weights `(…, V, K)` ->
        `(…, S, V)` and `(…, V, K)`.

    Example:
        >>> k, v = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[3.0], [7.0]])
        >>> delta_rule(k, k, v, torch.ones(2), torch.zeros(1, 2))
        (tensor([[3.],
                [7.]]), tensor([[7., 0.]]))

    Source: I. Schlag, K. Irie and J. Schmidhuber, 2021, Linear Transformers Are Secretly Fast
    Weight Programmers, eq. 24; the blocks are from S. Yang et al., 2024, Parallelizing Linear
    Transformers with the Delta Rule over Sequence Length, section 3.
    """
    outputs = []
    parts = (x.split(_BLOCK, -2) for x in (queries, keys, values, gates.unsqueeze(-1)))
    for q, k, v, b in zip(*parts, strict=True):
        system = (b * (k @ k.mT)).tril(-1)  # its diagonal is taken to be 1
        u = torch.linalg.solve_triangular(
            system, b * (v - k @ weights.mT), upper=False, unitriangular=True
        )
        outputs.append(q @ weights.mT + (q @ k.mT).tril() @ u)
        weights = weights + u.mT @ k
    return torch.cat(outputs, -2), weights


def delta_rule_of_set(keys: Tensor, values: Tensor, gates: Tensor, weights: Tensor) -> Tensor:
    """Compute one delta-rule update for all steps at once, which does not depend on their order.

    `W' = argmin |W' - W|^2 + sum_t c_t |v_t - W' k_t|^2`, with `c_t = b_t / (1 - b_t |k_t|^2)`.

    With one step, `W'` is the update of `delta_rule`, `W + b (v - W k) k^T`. With more, each update
    `u_t` takes all others into account, not only the earlier ones:

    Setting the derivative to 0 gives `W' = W + sum_t u_t k_t^T` with `u_t = c_t (v_t - W' k_t)`,
    hence `u_t / c_t + sum_s (k_s . k_t) u_s = v_t - W k_t`. As `1 / c_t + |k_t|^2 = 1 / b_t`, this
    is a system with the diagonal `1 / b` and the products of different keys elsewhere. It is
    positive definite. `delta_rule` solves the same system with its upper triangle set to 0.

    Args:
        keys: `k`, of norm at most 1.
        values: `v`.
        gates: `b`, from 0 (no write) to 1 (a key of norm 1 then reads `v`).
        weights: `W` before the update.

    Shapes:
        keys `(…, B, K)`, values `(…, B, V)`, gates `(…, B)`, weights `(…, V, K)` -> `(…, V, K)`.

    Example:
        >>> k, v = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[3.0], [7.0]])
        >>> delta_rule_of_set(k, v, torch.tensor([0.5, 0.5]), torch.zeros(1, 2))
        tensor([[3.3333, 0.0000]])
    """
    most = 1 - torch.finfo(gates.dtype).eps ** 0.5  # equal keys and gates of 1 would be singular
    b = gates.clamp(max=most).unsqueeze(-1)
    products = keys @ keys.mT
    squares = keys.square().sum(-1, keepdim=True)
    # Multiplied by b from the left, so that a gate of 0 gives an update of 0.
    system = b * products + torch.diag_embed((1 - b * squares).squeeze(-1))
    u = torch.linalg.solve(system, b * (values - keys @ weights.mT))
    return weights + u.mT @ keys
