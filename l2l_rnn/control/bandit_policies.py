"""Policies for Bernoulli bandits: from random pulls to Gittins indices."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.control.gittins import finite_horizon_indices, gittins_indices
from l2l_rnn.errors import ArgumentError
from l2l_rnn.registry import Registry

BANDIT_POLICIES: Registry[type[BanditPolicy]] = Registry("bandit policy")


class BanditPolicy(ABC):
    """A policy that pulls the arm with the largest index, with random choices among equal ones.

    It is called with observations of bandits, as `run_trial` does. It counts successes and failures
    of each arm; `reset` forgets them.

    Args:
        arms: `K`, number of arms.
        pulls: `T`, number of pulls in a trial.
        generator: random number generator; None uses torch's global one.

    Attributes:
        successes, failures: counts of each arm, `(…, K)`, float.
        pulled: number of pulls so far.
    """

    def __init__(self, arms: int, pulls: int, *, generator: Generator | None = None) -> None:
        who = type(self).__name__
        self.arms, self.pulls = check_int(who, "arms", arms), check_int(who, "pulls", pulls)
        self.generator = generator
        self.reset()

    def reset(self) -> None:
        """Forget all pulls, before a trial with other bandits."""
        self.pulled = 0
        self.successes = self.failures = torch.zeros(self.arms)

    @abstractmethod
    def indices(self) -> Tensor:
        """Compute the index of each arm, `(…, K)`."""

    def __call__(self, observations: Tensor) -> Tensor:
        """Count the last reward, and return the next pulls `(…)` for observations `(…, O)`."""
        last, reward = observations[..., : self.arms], observations[..., self.arms, None]
        if self.pulled == 0:
            self.successes = self.failures = torch.zeros_like(last)
        if self.pulled >= self.pulls:
            raise ArgumentError(
                f"{type(self).__name__}: expected {self.pulls} pulls, got another one; "
                "call reset() before the next trial"
            )
        self.successes = self.successes + last * reward
        self.failures = self.failures + last * (1 - reward)
        self.pulled += 1
        found = self.indices()
        noise = torch.rand(found.shape, generator=self.generator).to(found)
        best = found >= found.amax(-1, keepdim=True) - 1e-6
        return (best * (1 + noise)).argmax(-1)

    @property
    def means(self) -> Tensor:
        """The posterior means of the success probabilities with the prior Beta(1, 1), `(…, K)`."""
        return (1 + self.successes) / (2 + self.successes + self.failures)


@BANDIT_POLICIES.register("random")
class RandomPulls(BanditPolicy):
    """Pull arms at random.

    Example:
        >>> RandomPulls(5, 10)(torch.zeros(8, 8)).shape
        torch.Size([8])
    """

    def indices(self) -> Tensor:
        return torch.zeros_like(self.successes)


@BANDIT_POLICIES.register("greedy")
class Greedy(BanditPolicy):
    """Pull the arm with the largest posterior mean.

    Example:
        >>> policy = Greedy(2, 10)
        >>> seen = policy(torch.zeros(2 + 3))  # the start
        >>> policy(torch.tensor([0.0, 1.0, 1.0, 0.0, 0.1]))  # the second arm gave a reward
        tensor(1)
    """

    def indices(self) -> Tensor:
        return self.means


@BANDIT_POLICIES.register("ucb1")
class UCB1(BanditPolicy):
    """Pull the arm with the largest upper confidence bound, `mean + c sqrt(2 ln t / n)`.

    Here, `n` counts the pulls of the arm and `t` all pulls. Each arm is pulled once first.

    Args:
        arms, pulls, generator: as in `BanditPolicy`.
        scale: `c`. 1 has the guarantee of the source; smaller values are better in short trials.

    Example:
        >>> policy = UCB1(2, 10)
        >>> first = policy(torch.zeros(5))
        >>> seen = torch.nn.functional.one_hot(first, 5).float()
        >>> policy(seen).item() == 1 - first.item()  # the arm that was not pulled
        True

    Source: P. Auer, N. Cesa-Bianchi, P. Fischer, 2002, Finite-time Analysis of the Multiarmed
    Bandit Problem, figure 1.
    """

    def __init__(
        self, arms: int, pulls: int, *, scale: float = 1.0, generator: Generator | None = None
    ) -> None:
        super().__init__(arms, pulls, generator=generator)
        self.scale = check_number("UCB1", "scale", scale, least=0)

    def indices(self) -> Tensor:
        count = self.successes + self.failures
        bonus = self.scale * (2 * math.log(max(1, self.pulled - 1)) / count.clamp(min=1)).sqrt()
        return torch.where(count > 0, self.successes / count.clamp(min=1) + bonus, torch.inf)


@BANDIT_POLICIES.register("thompson")
class ThompsonSampling(BanditPolicy):
    """Draw success probabilities from their posteriors, and pull the arm with the largest.

    Example:
        >>> ThompsonSampling(5, 10)(torch.zeros(8, 8)).shape
        torch.Size([8])

    Source: W. Thompson, 1933, On the Likelihood that One Unknown Probability Exceeds Another in
    View of the Evidence of Two Samples.
    """

    def indices(self) -> Tensor:
        counts = torch.stack([self.successes, self.failures])
        won, lost = torch._standard_gamma(1 + counts, generator=self.generator)
        return won / (won + lost)


@BANDIT_POLICIES.register("gittins")
class GittinsIndex(BanditPolicy):
    """Pull the arm with the largest Gittins index, see `gittins_indices`.

    Args:
        arms, pulls, generator: as in `BanditPolicy`.
        discount: discount factor; None uses the indices of the pulls that are left, see
            `finite_horizon_indices`.

    Example:
        >>> policy = GittinsIndex(2, 10)
        >>> seen = policy(torch.zeros(5))
        >>> policy.indices()  # both arms are unknown
        tensor([0.6981, 0.6981])

    Source: J. Gittins, 1979, Bandit Processes and Dynamic Allocation Indices.
    """

    _tables: ClassVar[dict[tuple[int, float | None], Tensor]] = {}

    def __init__(
        self,
        arms: int,
        pulls: int,
        *,
        discount: float | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__(arms, pulls, generator=generator)
        self.discount = discount
        key = (self.pulls, discount)
        if key not in self._tables:
            self._tables[key] = (
                finite_horizon_indices(pulls)
                if discount is None
                else gittins_indices(pulls, discount=discount).float()
            )
        self.table = self._tables[key]

    def indices(self) -> Tensor:
        table = self.table if self.discount else self.table[self.pulls + 1 - max(1, self.pulled)]
        a, b = self.successes.long().cpu(), self.failures.long().cpu()
        return table[a, b].to(self.successes)
