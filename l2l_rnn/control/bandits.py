"""Bernoulli bandits with drawn success probabilities."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int, check_tensor
from l2l_rnn.control.environment import Environment, Outcome
from l2l_rnn.errors import ArgumentError


class BernoulliBandit(Environment):
    """Arms that give reward 1 with an unknown probability, and otherwise 0.

    The state is the number of pulls so far, and the position is its share of all pulls.

    Args:
        probabilities: success probability of each arm, `(…, K)`.
        pulls: `T`, number of pulls in a trial.

    Raises:
        ArgumentError: a probability is not between 0 and 1, or `pulls` is not positive.

    Example:
        >>> bandit = BernoulliBandit(torch.tensor([0.0, 1.0]), pulls=3)
        >>> bandit.step(bandit.start(), torch.tensor(1)).rewards
        tensor(1.)
        >>> bandit.regret(torch.tensor([0, 1]))
        tensor([1., 0.])

    Source: H. Robbins, 1952, Some Aspects of the Sequential Design of Experiments; the drawn tasks
    are those of Y. Duan et al., 2016, RL^2, section 3.1.
    """

    position_size = 1

    def __init__(self, probabilities: Tensor, pulls: int) -> None:
        who = "BernoulliBandit"
        check_tensor(who, "probabilities", probabilities)
        inside = (probabilities >= 0) & (probabilities <= 1)
        if not probabilities.dim() or not inside.all():
            raise ArgumentError(
                f"{who}: probabilities must be (…, K) between 0 and 1, got shape "
                f"{tuple(probabilities.shape)} with {int((~inside).sum())} outside; fix them"
            )
        self.probabilities = probabilities
        self.steps = check_int(who, "pulls", pulls)
        self.lead, self.action_size = tuple(probabilities.shape[:-1]), probabilities.shape[-1]

    @classmethod
    def draw(
        cls, tasks: int, *, arms: int, pulls: int, generator: Generator | None = None
    ) -> BernoulliBandit:
        """Draw bandits whose probabilities are uniform in [0, 1], which is Beta(1, 1).

        Args:
            tasks: number of bandits, `N`.
            arms: `K`, number of arms.
            pulls: `T`, number of pulls in a trial.
            generator: random number generator; None uses torch's global one.
        """
        who = "BernoulliBandit.draw"
        shape = check_int(who, "tasks", tasks), check_int(who, "arms", arms)
        return cls(torch.rand(shape, generator=generator), pulls)

    def start(self) -> Tensor:
        return self.probabilities.new_zeros(*self.lead, 1)

    def position(self, states: Tensor) -> Tensor:
        return states / self.steps

    def step(self, states: Tensor, actions: Tensor, generator: Generator | None = None) -> Outcome:
        chances = self.expected_rewards(self._checked(actions).unsqueeze(-1)).squeeze(-1)
        drawn = torch.rand(self.lead, generator=generator).to(chances)
        following = states + 1
        ends = following[..., 0] >= self.steps
        return Outcome(following, (drawn < chances).to(chances), ends)

    def regret(self, actions: Tensor) -> Tensor:
        """Return by how much the expected reward of actions `(…, S)` is below the best arm's."""
        return self.probabilities.amax(-1, keepdim=True) - self.expected_rewards(actions)

    def expected_rewards(self, actions: Tensor) -> Tensor:
        """Return the success probability of the pulled arms `(…, S)`."""
        return self.probabilities.gather(-1, actions)

    def training_rewards(self, actions: Tensor, rewards: Tensor) -> Tensor:
        """Return the negative regret: the expected reward up to a constant of the task."""
        return -self.regret(actions)
