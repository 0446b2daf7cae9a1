"""The cart that balances a pole."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.control.body import BODIES, Body


@BODIES.register("cart-pole")
class CartPole(Body):
    """A cart on a track, with a pole on it that must not fall.

    The equations are those of gymnasium's `CartPole-v1`, integrated by Euler's method. The force is
    `10 k a` minus the friction times the cart's velocity; the actions 1 and -1 are gymnasium's 1
    and 0. The default is gymnasium's cart step by step.

    An episode has 250 steps, and ends when the pole is more than 12 degrees from upright or the
    cart more than 2.4 m from the middle. Until then, the reward is
    `1 - (th / 12 degrees)^2 / 2 - (x / 2.4)^2 / 2` after the step: between 0 and 1, where
    gymnasium's is always 1.

    Args:
        cart_mass: mass of the cart, in kg.
        pole_mass: mass of the pole, in kg.
        half_length: half of the pole's length, in m.
        gravity: in m/s^2.
        friction: of the cart on the track, in N s/m.
        motor: `k`, the motor's gain.

    Shapes:
        states `(…, 4)`: position, velocity, angle and angular velocity; actions `(…, 1)` in
        [-1, 1].

    Raises:
        UnknownNameError, ArgumentError: as in `Body`.

    Example:
        >>> body = CartPole(pole_mass=0.3, motor=-1.0)
        >>> body.step(torch.zeros(4), torch.ones(1)).round(decimals=3)
        tensor([ 0.0000, -0.1860,  0.0000,  0.2790])

    Source: A. Barto, R. Sutton and C. Anderson, 1983, Neuronlike Adaptive Elements That Can Solve
    Difficult Learning Control Problems; M. Towers et al., 2024, Gymnasium.
    """

    ranges: ClassVar = {
        "cart_mass": (0.5, 2.0),
        "pole_mass": (0.05, 0.5),
        "half_length": (0.25, 1.0),
        "gravity": (5.0, 15.0),
        "friction": (0.0, 1.0),
        "motor": (0.5, 1.5),
    }
    usual: ClassVar = {
        "cart_mass": 1.0,
        "pole_mass": 0.1,
        "half_length": 0.5,
        "gravity": 9.8,
        "friction": 0.0,
        "motor": 1.0,
    }
    positive: ClassVar = ("cart_mass", "half_length")
    motors: ClassVar = ("motor",)
    state_names: ClassVar = ("position", "velocity", "angle", "angular velocity")
    action_names: ClassVar = ("force",)
    angles: ClassVar = (2,)
    dt: ClassVar = 0.02
    steps: ClassVar = 250
    max_force: ClassVar = 10.0
    max_position: ClassVar = 2.4
    max_angle: ClassVar = 12 * 2 * math.pi / 360

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        p = self._named(states)
        (action,) = self._clipped(actions)
        x, v, angle, w = states.unbind(-1)
        force = p["motor"] * self.max_force * action - p["friction"] * v
        total, moment = p["cart_mass"] + p["pole_mass"], p["pole_mass"] * p["half_length"]
        sin, cos = angle.sin(), angle.cos()
        push = (force + moment * w.square() * sin) / total
        turn = (p["gravity"] * sin - cos * push) / (
            p["half_length"] * (4 / 3 - p["pole_mass"] * cos.square() / total)
        )
        pull = push - moment * turn * cos / total
        dt = self.dt
        return torch.stack([x + dt * v, v + dt * pull, angle + dt * w, w + dt * turn], -1)

    def reward(self, states: Tensor, actions: Tensor, following: Tensor) -> Tensor:
        x, angle = following[..., 0], following[..., 2]
        far = (angle / self.max_angle).square() + (x / self.max_position).square()
        return (1 - far / 2).clamp_min(0)

    def alive(self, states: Tensor) -> Tensor:
        x, angle = states[..., 0], states[..., 2]
        return (x.abs() <= self.max_position) & (angle.abs() <= self.max_angle)

    def start(self, generator: Generator | None = None) -> Tensor:
        return self._uniform((0.05,) * 4, self.parameters.shape[:-1], generator)

    def anywhere(self, count: int, generator: Generator | None = None) -> Tensor:
        limits = (self.max_position, 3.0, 1.2 * self.max_angle, 3.0)
        return self._uniform(limits, (*self.parameters.shape[:-1], count), generator)
