"""Gittins indices of Bernoulli arms, and the value of optimal play."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from l2l_rnn.checks import check_int, check_number


def gittins_indices(
    pulls: int,
    *,
    discount: float = 0.99,
    prior: tuple[float, float] = (1.0, 1.0),
    depth: int | None = None,
    resolution: int = 300,
) -> Tensor:
    """Compute the Gittins indices of an arm with discounted rewards.

    The index of an arm is the reward per pull of a known arm that is just as good. A policy that
    always pulls the arm with the largest index has the largest expected discounted reward, if the
    horizon is infinite.

    The retirement problem is solved for `resolution` known arms at once, by dynamic programming
    over the numbers of successes and failures. `depth` pulls beyond the table, the arm is taken to
    have the mean of its posterior for ever. The index is where the advantage of another pull
    changes its sign, by linear interpolation.

    Args:
        pulls: most pulls of an arm in the table.
        discount: discount factor, below 1.
        prior: parameters of the Beta prior of the success probability.
        depth: pulls that are looked ahead; None looks ahead until less than 1e-3 of the discounted
            time is left.
        resolution: number of known arms, `G`. The error is below `1 / G`, and usually far below.

    Returns:
        The indices after `a` successes and `b` failures, `(pulls + 1, pulls + 1)`, float64; NaN
        where `a + b` is above `pulls`.

    Raises:
        ArgumentError: an argument is out of range.

    Example:
        >>> gittins_indices(1, discount=0.9).round(decimals=3)
        tensor([[0.7030, 0.5000],
                [0.8000,    nan]], dtype=torch.float64)

    Source: J. Gittins, 1979, Bandit Processes and Dynamic Allocation Indices; the calibration is
    that of J. Gittins, K. Glazebrook, R. Weber, 2011, Multi-armed Bandit Allocation Indices,
    section 8.4.
    """
    who = "gittins_indices"
    pulls = check_int(who, "pulls", pulls, least=0)
    discount = check_number(who, "discount", discount, above=0, below=1)
    alpha, beta = (check_number(who, "prior", value, above=0) for value in prior)
    if depth is None:
        depth, left = 1, discount
        while left > 1e-3:
            depth, left = depth + 1, left * discount
    depth = check_int(who, "depth", depth)
    known = _known_arms(check_int(who, "resolution", resolution, least=2))
    table = torch.full((pulls + 1, pulls + 1), torch.nan, dtype=torch.float64)
    end = pulls + depth
    successes = torch.arange(end + 1, dtype=torch.float64)
    # Value of the best stopping time above that of the known arm, (G, a), after `total` pulls.
    means = (alpha + successes) / (alpha + beta + end)
    values = (means - known).clamp(min=0) / (1 - discount)
    for total in reversed(range(end)):
        a = successes[: total + 1]
        means = (alpha + a) / (alpha + beta + total)
        later = means * values[:, 1:] + (1 - means) * values[:, :-1]
        more = means - known + discount * later
        if total <= pulls:
            counts = torch.arange(total + 1)
            table[counts, total - counts] = _roots(known, more)
        values = more.clamp(min=0)
    return table


def finite_horizon_indices(
    pulls: int, *, prior: tuple[float, float] = (1.0, 1.0), resolution: int = 200
) -> Tensor:
    """Compute Gittins indices of an arm for a finite number of pulls, without a discount.

    The index after `a` successes and `b` failures, with `n` pulls left, is the reward per pull of a
    known arm that is just as good for these `n` pulls. Pulling the arm with the largest index is
    not quite optimal, but very close to it.

    Args:
        pulls: `T`, number of pulls in a trial.
        prior: parameters of the Beta prior of the success probability.
        resolution: number of known arms, `G`. The error is below `1 / G`.

    Returns:
        The indices by `n`, `a` and `b`, `(T + 1, T + 1, T + 1)`, float32; NaN where `n + a + b` is
        above `pulls`, and where `n` is 0.

    Raises:
        ArgumentError: an argument is out of range.

    Example:
        >>> indices = finite_horizon_indices(2)
        >>> indices[1, 0, 0].item(), indices[2, 0, 0].item()  # the last pull has nothing to explore
        (0.5, 0.5555555820465088)

    Source: J. Niño-Mora, 2011, Computing a Classic Index for Finite-Horizon Bandits; E. Kaufmann,
    2018, On Bayesian Index Policies for Sequential Resource Allocation, section 2.
    """
    who = "finite_horizon_indices"
    pulls = check_int(who, "pulls", pulls)
    alpha, beta = (check_number(who, "prior", value, above=0) for value in prior)
    known = _known_arms(check_int(who, "resolution", resolution, least=2)).unsqueeze(-1).float()
    table = torch.full((pulls + 1,) * 3, torch.nan)
    counts = torch.arange(pulls + 1.0)
    means = (alpha + counts[:, None]) / (alpha + beta + counts[:, None] + counts)
    values = torch.zeros(len(known), pulls + 1, pulls + 1)
    for left in range(1, pulls + 1):
        size = pulls - left + 1  # states with a, b < size; those with a + b >= size are not used
        mean = means[:size, :size]
        later = mean * values[:, 1:, :-1] + (1 - mean) * values[:, :-1, 1:]
        more = mean - known + later
        roots = _roots(known.flatten().double(), more.flatten(1).double())
        inside = counts[:size, None] + counts[:size] < size
        table[left, :size, :size] = torch.where(inside, roots.view(size, size).float(), torch.nan)
        values = more.clamp(min=0)
    return table


def bayes_optimal_reward(
    arms: int, pulls: int, *, prior: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Compute the expected total reward of Bayes-optimal play, by dynamic programming.

    The number of states grows as `pulls ** (2 * arms)`: this is a reference for few arms and pulls.

    Args:
        arms: `K`, number of arms.
        pulls: `T`, number of pulls in a trial.
        prior: parameters of the Beta prior of each success probability.

    Example:
        >>> bayes_optimal_reward(2, 2)  # 1/2, then 2/3 after a success and 1/2 after a failure
        1.0833333333333333

    Source: R. Bellman, 1956, A Problem in the Sequential Design of Experiments.
    """
    arms = check_int("bayes_optimal_reward", "arms", arms)
    pulls = check_int("bayes_optimal_reward", "pulls", pulls)
    alpha, beta = prior

    @functools.cache
    def value(state: tuple[tuple[int, int], ...], left: int) -> float:
        if not left:
            return 0.0
        found = []
        for arm in dict.fromkeys(state):
            others = list(state)
            others.remove(arm)
            a, b = arm
            mean = (alpha + a) / (alpha + beta + a + b)
            won, lost = (tuple(sorted([*others, s])) for s in ((a + 1, b), (a, b + 1)))
            found.append(mean * (1 + value(won, left - 1)) + (1 - mean) * value(lost, left - 1))
        return max(found)

    return value(((0, 0),) * arms, pulls)


def _known_arms(resolution: int) -> Tensor:
    return torch.linspace(0, 1, resolution, dtype=torch.float64).unsqueeze(-1)


def _roots(known: Tensor, more: Tensor) -> Tensor:
    """Return where the columns of `more` `(G, M)`, which decrease with `known`, are 0."""
    known = known.flatten()
    last = ((more > 0).sum(0) - 1).clamp(0, len(known) - 2)
    above, below = (more.gather(0, index.unsqueeze(0))[0] for index in (last, last + 1))
    share = (above / (above - below)).clamp(0, 1)
    return known[last] + share * (known[last + 1] - known[last])
