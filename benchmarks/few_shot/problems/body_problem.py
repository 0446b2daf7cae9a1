"""Problems with simulated bodies of unknown physics: prediction of their dynamics, and control."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from benchmarks.few_shot.columns import Experience
from benchmarks.few_shot.problems.problem import Problem, generator_of
from benchmarks.few_shot.spec import Spec
from l2l_rnn.control import BODIES, Body, RandomActions, Transitions, record

NAMES = ("pendulum", "cart-pole", "arm")
WIDE = 200  # transitions per training body from states all over the state space


@dataclass(frozen=True)
class BodySpec(Spec):
    """Bodies whose parameters are drawn; a task is a body.

    Attributes:
        columns: the columns of the table.
        train_bodies: number of training bodies of each kind.
        seconds: experience of each body, in seconds of random actions from the start of an episode;
            an episode that ends begins again.
        hold: steps for which a random action is held.
        reversed_motors: probability that a motor is reversed.
    """

    columns: tuple[Experience, ...]
    train_bodies: int
    seconds: float
    hold: int
    reversed_motors: float


class BodyTasks(NamedTuple):
    """Bodies, what each has experienced, and transitions for evaluation.

    Attributes:
        bodies: the bodies, `(N,)`.
        experience: transitions of random actions, one after another, `(N, S, …)`.
        wide: transitions from states all over the state space, `(N, B, …)`.
    """

    bodies: Body
    experience: Transitions
    wide: Transitions

    def some(self, index: Tensor | slice) -> BodyTasks:
        """Return some of the bodies."""
        parts = (Transitions(*(x[index] for x in part)) for part in self[1:])
        return BodyTasks(self.bodies[index], *parts)


class BodyProblem(Problem):
    """The bodies of a spec.

    Args:
        spec: the experiment.
        seed: random seed of all bodies.
        device: device of the tensors.
        test_tasks: number of test bodies of each kind.
    """

    spec: BodySpec

    @property
    def columns(self) -> tuple[Experience, ...]:
        return self.spec.columns

    def description(self) -> dict[str, Any]:
        return {
            name: {
                "parameters": {n: list(limits) for n, limits in BODIES[name].ranges.items()},
                "experience": self.steps(name),
                "training bodies": self.spec.train_bodies,
            }
            for name in self.names
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds of bodies."""
        return tuple(dict.fromkeys(column.body for column in self.columns))

    def steps(self, name: str) -> int:
        """Return the number of transitions in a body's experience."""
        return round(self.spec.seconds / BODIES[name].dt)

    def generator(self, *parts: object) -> Generator:
        """Return a seeded random number generator."""
        return generator_of(self.seed, *parts)

    def tasks(self, name: str, split: str, count: int) -> BodyTasks:
        """Return the bodies of a split, the same in every call."""
        key = ("tasks", name, split, count)
        if key not in self.memo:
            generator = self.generator(name, split)
            bodies = BODIES[name].draw(count, generator, reversed_motors=self.spec.reversed_motors)
            bodies = bodies.to(self.device)
            policy = RandomActions(bodies.action_size, hold=self.spec.hold, generator=generator)
            experience = record(bodies, policy, self.steps(name), generator=generator)
            self.memo[key] = BodyTasks(bodies, experience, wide_transitions(bodies, generator))
        return self.memo[key]

    @functools.cached_property
    def train_bodies(self) -> dict[str, BodyTasks]:
        """The training bodies of each kind."""
        return {name: self.tasks(name, "train", self.spec.train_bodies) for name in self.names}


@torch.no_grad()
def wide_transitions(bodies: Body, generator: Generator) -> Transitions:
    """Return transitions of random actions in states all over the state space."""
    states = bodies.anywhere(WIDE, generator)
    actions = RandomActions(bodies.action_size, generator=generator)(states)
    following = bodies.step(states, actions)
    return Transitions(states, actions, following, bodies.reward(states, actions, following))
