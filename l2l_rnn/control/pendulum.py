"""The pendulum that swings up."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.control.body import BODIES, Body, wrapped


@BODIES.register("pendulum")
class Pendulum(Body):
    """A rod on a motor that is too weak to lift it, and must swing it up.

    `w' = w + (3 g / (2 l) sin th + (3 / (m l^2)) (k u - c w)) dt` and `th' = th + w' dt`, where th
    is the angle from upright, w the angular velocity, kept in [-8, 8], and `u = max_torque a`.
    The default is gymnasium's `Pendulum-v1` step by step; gravity, mass and length are its `g`, `m`
    and `l`. Its motor gain is 1 and its friction 0. The reward is gymnasium's too:
    `-(th^2 + 0.1 w^2 + 0.001 u^2)` before the step, with the torque of a motor of gain 1. Episodes
    have 200 steps, and begin with the rod hanging.

    Args:
        mass: `m`, in kg.
        length: `l`, in m.
        gravity: `g`, in m/s^2.
        friction: `c`, in N m s.
        motor: `k`, the motor's gain.

    Shapes:
        states `(…, 2)`: angle and angular velocity; actions `(…, 1)` in [-1, 1].

    Raises:
        UnknownNameError, ArgumentError: as in `Body`.

    Example:
        >>> bodies = Pendulum.draw(3, torch.Generator().manual_seed(0))
        >>> states = bodies.start()
        >>> bodies.step(states, torch.zeros(3, 1)).shape
        torch.Size([3, 2])

    Source: M. Towers et al., 2024, Gymnasium.
    """

    ranges: ClassVar = {
        "mass": (0.5, 1.5),
        "length": (0.7, 1.3),
        "gravity": (7.0, 13.0),
        "friction": (0.0, 0.1),
        "motor": (0.6, 1.6),
    }
    usual: ClassVar = {"mass": 1.0, "length": 1.0, "gravity": 10.0, "friction": 0.0, "motor": 1.0}
    positive: ClassVar = ("mass", "length")
    motors: ClassVar = ("motor",)
    state_names: ClassVar = ("angle", "angular velocity")
    action_names: ClassVar = ("torque",)
    angles: ClassVar = (0,)
    dt: ClassVar = 0.05
    steps: ClassVar = 200
    max_torque: ClassVar = 2.0
    max_speed: ClassVar = 8.0

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        p = self._named(states)
        (action,) = self._clipped(actions)
        angle, speed = states.unbind(-1)
        torque = p["motor"] * self.max_torque * action - p["friction"] * speed
        m, length, g = p["mass"], p["length"], p["gravity"]
        change = 3 * g / (2 * length) * angle.sin() + 3 / (m * length**2) * torque
        speed = (speed + change * self.dt).clamp(-self.max_speed, self.max_speed)
        return torch.stack([angle + speed * self.dt, speed], -1)

    def reward(self, states: Tensor, actions: Tensor, following: Tensor) -> Tensor:
        angle, speed = states.unbind(-1)
        (action,) = self._clipped(actions)
        torque = self.max_torque * action
        return -(wrapped(angle).square() + 0.1 * speed.square() + 0.001 * torque.square())

    def start(self, generator: Generator | None = None) -> Tensor:
        drawn = self._uniform((0.2, 0.2), self.parameters.shape[:-1], generator)
        return drawn + torch.tensor([math.pi, 0.0]).to(drawn)

    def anywhere(self, count: int, generator: Generator | None = None) -> Tensor:
        limits = (math.pi, self.max_speed)
        return self._uniform(limits, (*self.parameters.shape[:-1], count), generator)
