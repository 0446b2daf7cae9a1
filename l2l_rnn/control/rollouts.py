"""Rollouts of bodies: recorded transitions, random actions and episodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.control.body import Body

Policy = Callable[[Tensor], Tensor]


class Transitions(NamedTuple):
    """Recorded transitions of bodies.

    Attributes:
        states: `(…, S, state_size)`.
        actions: `(…, S, action_size)`.
        following: the next states, `(…, S, state_size)`.
        rewards: `(…, S)`; 0 after the end of an episode.
    """

    states: Tensor
    actions: Tensor
    following: Tensor
    rewards: Tensor

    def first(self, steps: int) -> Transitions:
        """Return the first transitions."""
        long = self.rewards.dim() - 1
        return Transitions(*(part.narrow(long, 0, steps) for part in self))


class RandomActions:
    """A policy of uniform random actions, each held for some steps.

    Args:
        action_size: number of actions.
        hold: steps for which an action is held.
        generator: random number generator; None uses torch's global one.

    Example:
        >>> RandomActions(2)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self, action_size: int, *, hold: int = 1, generator: Generator | None = None
    ) -> None:
        self.action_size = check_int("RandomActions", "action_size", action_size)
        self.hold = check_int("RandomActions", "hold", hold)
        self.generator = generator
        self.steps, self.actions = 0, torch.empty(0)

    def __call__(self, states: Tensor) -> Tensor:
        if self.steps % self.hold == 0:
            shape = (*states.shape[:-1], self.action_size)
            self.actions = 2 * torch.rand(shape, generator=self.generator).to(states) - 1
        self.steps += 1
        return self.actions


@torch.no_grad()
def record(
    body: Body,
    policy: Policy,
    steps: int,
    *,
    states: Tensor | None = None,
    generator: Generator | None = None,
) -> Transitions:
    """Record transitions of all bodies at once; an episode that ends begins again.

    Args:
        body: the bodies.
        policy: returns actions for states.
        steps: number of transitions per body.
        states: the first states; None draws them by `body.start`.
        generator: random number generator of starts; None uses torch's global one.

    Example:
        >>> from l2l_rnn.control import CartPole
        >>> found = record(CartPole.draw(8), RandomActions(1), 50)
        >>> found.states.shape, found.rewards.shape
        (torch.Size([8, 50, 4]), torch.Size([8, 50]))
    """
    now = body.start(generator) if states is None else states
    parts = []
    for _ in range(check_int("record", "steps", steps)):
        actions = policy(now)
        following = body.step(now, actions)
        parts.append((now, actions, following, body.reward(now, actions, following)))
        alive = body.alive(following)
        now = following
        if not alive.all():
            now = torch.where(alive.unsqueeze(-1), following, body.start(generator))
    long = now.dim() - 1
    return Transitions(*(torch.stack(part, long) for part in zip(*parts, strict=True)))


@torch.no_grad()
def run_episode(
    body: Body,
    policy: Policy,
    *,
    observe: Callable[[Tensor, Tensor, Tensor], None] | None = None,
    states: Tensor | None = None,
    steps: int | None = None,
    generator: Generator | None = None,
) -> Transitions:
    """Run one episode of all bodies at once.

    Args:
        body: the bodies.
        policy: returns actions for states, such as `planner.plan` with a model.
        observe: called with states, actions and next states after each step, to adapt a model.
        states: the first states; None draws them by `body.start`.
        steps: number of steps; None is `body.steps`.
        generator: random number generator of the start; None uses torch's global one.

    Returns:
        The transitions; `rewards.sum(-1)` are the returns.

    Example:
        >>> from l2l_rnn.control import Arm
        >>> run_episode(Arm.draw(4), RandomActions(2), steps=5).rewards.shape
        torch.Size([4, 5])
    """
    now = body.start(generator) if states is None else states
    going = body.alive(now)
    parts = []
    for _ in range(body.steps if steps is None else check_int("run_episode", "steps", steps)):
        actions = policy(now)
        following = body.step(now, actions)
        parts.append((now, actions, following, body.reward(now, actions, following) * going))
        if observe is not None:
            observe(now, actions, following)
        going = going & body.alive(following)
        now = torch.where(going.unsqueeze(-1), following, now)  # a body that fell stays there
    long = now.dim() - 1
    return Transitions(*(torch.stack(part, long) for part in zip(*parts, strict=True)))
