"""Base class of batched environments with a choice of actions, and trials in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from l2l_rnn.checks import check_tensor
from l2l_rnn.errors import ArgumentError, ShapeError


class Outcome(NamedTuple):
    """What follows an action.

    Attributes:
        states: the next states, `(…, D)`.
        rewards: `(…)`.
        ends: whether an episode ended with the action, `(…)` bool.
    """

    states: Tensor
    rewards: Tensor
    ends: Tensor


class Trial(NamedTuple):
    """Trials of many tasks, step by step.

    Attributes:
        observations: what the policy saw, `(…, S, O)`.
        actions: `(…, S)`.
        rewards: `(…, S)`; 0 after the end of the trial.
        ends: whether an episode ended with the action, `(…, S)` bool.
        going: whether the trial still went on before the action, `(…, S)` bool.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    ends: Tensor
    going: Tensor


class Environment(ABC):
    """One or many tasks of a kind, in each of which one of `action_size` actions is chosen.

    A trial is all that happens in one task. It may consist of several episodes, between which the
    task stays the same. An environment is a value: `step` stores nothing.

    Attributes:
        lead: leading axes, one entry per task.
        action_size: `A`, number of actions.
        position_size: features of `position`.
        steps: most steps of a trial.
    """

    lead: tuple[int, ...]
    action_size: int
    position_size: int
    steps: int

    @property
    def observation_size(self) -> int:
        """`O`, features of an observation: the last action, its reward and end, the position."""
        return self.action_size + 2 + self.position_size

    @abstractmethod
    def start(self) -> Tensor:
        """Return the states in which trials begin, `(…, D)`."""

    @abstractmethod
    def position(self, states: Tensor) -> Tensor:
        """Return what a policy sees of the states, `(…, position_size)`."""

    @abstractmethod
    def step(self, states: Tensor, actions: Tensor, generator: Generator | None = None) -> Outcome:
        """Return what follows actions.

        Args:
            states: states `(…, D)`, from `start` or the last outcome.
            actions: numbers of the actions, `(…)`, from 0 to `action_size - 1`.
            generator: random number generator; None uses torch's global one.

        Raises:
            ShapeError: the actions do not have the shape `lead`.
            ArgumentError: an action is out of range.
        """

    def going(self, states: Tensor) -> Tensor:
        """Return whether trials go on in these states, `(…)` bool. The default always goes on."""
        return torch.ones(self.lead, dtype=torch.bool, device=states.device)

    def training_rewards(self, actions: Tensor, rewards: Tensor) -> Tensor:
        """Return rewards to train a policy with, `(…, S)`; the default returns the rewards.

        They may have less noise, as they may depend on what no policy sees.
        """
        return rewards

    def observe(
        self, states: Tensor, actions: Tensor | None = None, outcome: Outcome | None = None
    ) -> Tensor:
        """Return observations, `(…, O)`.

        An observation is the last action as a one-hot vector, its reward, whether it ended an
        episode, and the position. The first three are 0 at the start of a trial.

        Args:
            states: the states.
            actions, outcome: the last actions and what followed; None at the start.
        """
        position = self.position(states)
        if actions is None or outcome is None:
            return torch.cat([position.new_zeros(*self.lead, self.action_size + 2), position], -1)
        last = one_hot(actions, self.action_size).to(position)
        rewards, ends = (x.to(position).unsqueeze(-1) for x in (outcome.rewards, outcome.ends))
        return torch.cat([last, rewards, ends, position], -1)

    def _checked(self, actions: Tensor) -> Tensor:
        who = type(self).__name__
        check_tensor(who, "actions", actions)
        if tuple(actions.shape) != self.lead or actions.is_floating_point():
            raise ShapeError(
                f"{who}: actions must be integers of shape {self.lead}, got {actions.dtype} "
                f"of shape {tuple(actions.shape)}; pass one number for each task"
            )
        if actions.numel() and not 0 <= int(actions.min()) <= int(actions.max()) < self.action_size:
            raise ArgumentError(
                f"{who}: actions must be from 0 to {self.action_size - 1}, got "
                f"{int(actions.min())} to {int(actions.max())}; choose one of the actions"
            )
        return actions


@torch.no_grad()
def run_trial(
    environment: Environment,
    policy: Callable[[Tensor], Tensor],
    *,
    generator: Generator | None = None,
) -> Trial:
    """Run one trial of all tasks at once, until it is over in all of them.

    Args:
        environment: the tasks.
        policy: returns actions `(…)` for observations `(…, O)`; it keeps its own memory.
        generator: random number generator of the environment; None uses torch's global one.

    Example:
        >>> from l2l_rnn.control import BernoulliBandit
        >>> bandit = BernoulliBandit.draw(8, arms=5, pulls=10)
        >>> trial = run_trial(bandit, lambda seen: torch.randint(5, (8,)))
        >>> trial.observations.shape, trial.rewards.shape
        (torch.Size([8, 10, 8]), torch.Size([8, 10]))
    """
    states = environment.start()
    seen, parts = environment.observe(states), []
    for _ in range(environment.steps):
        going = environment.going(states)
        if not going.any():
            break
        actions = policy(seen)
        outcome = environment.step(states, actions, generator)
        parts.append((seen, actions, outcome.rewards, outcome.ends, going))
        states = outcome.states
        seen = environment.observe(states, actions, outcome)
    long = len(environment.lead)
    return Trial(*(torch.stack(part, long) for part in zip(*parts, strict=True)))
