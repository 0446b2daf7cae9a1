"""The two-link arm that carries a load to a goal, past an obstacle."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.control.body import BODIES, Body


@BODIES.register("arm")
class Arm(Body):
    """An arm of two links in a vertical plane, with an unknown load in its hand.

    `M(q) q'' + h(q, q') + c q' + G(q) = k u`, where q are the angles of the shoulder (from
    horizontal) and of the elbow (from straight), M the inertia, h the Coriolis and centrifugal
    torques, c the friction, G the torque of gravity and k the motors' gains. The links are uniform
    rods of 0.5 m, and the load is a point at the tip. A step is 5 semi-implicit Euler steps, and
    keeps angular velocities in [-12, 12] rad/s.

    The arm begins hanging, and must bring its tip to `goal` without touching the disc `obstacle`
    that is in the way. The reward after each step is minus the distance of the tip from the goal in
    m, minus 10 times the depth in m at which the points of the arm are inside the disc, minus
    0.01 times the sum of the squared actions. The disc exerts no force. Episodes have 100 steps.

    Args:
        upper_mass, lower_mass: masses of the links, in kg.
        load: in kg.
        gravity: in m/s^2.
        friction: `c` of both joints, in N m s.
        shoulder_motor, elbow_motor: `k`, the motors' gains; with gain 1, the largest torques are
            `max_torque`.

    Shapes:
        states `(…, 4)`: both angles, both angular velocities; actions `(…, 2)` in [-1, 1].

    Raises:
        UnknownNameError, ArgumentError: as in `Body`.

    Example:
        >>> body = Arm(load=1.0, elbow_motor=0.0)  # a broken motor
        >>> body.tip(torch.tensor([0.0, math.pi / 2, 0.0, 0.0])).round(decimals=3)
        tensor([0.5000, 0.5000])

    Source: M. Spong, S. Hutchinson and M. Vidyasagar, 2006, Robot Modeling and Control, section
    7.3.
    """

    ranges: ClassVar = {
        "upper_mass": (0.5, 1.5),
        "lower_mass": (0.5, 1.5),
        "load": (0.0, 2.0),
        "gravity": (7.0, 13.0),
        "friction": (1.0, 3.0),
        "shoulder_motor": (0.7, 1.3),
        "elbow_motor": (0.7, 1.3),
    }
    usual: ClassVar = {
        "upper_mass": 1.0,
        "lower_mass": 1.0,
        "load": 0.0,
        "gravity": 9.81,
        "friction": 1.0,
        "shoulder_motor": 1.0,
        "elbow_motor": 1.0,
    }
    positive: ClassVar = ("upper_mass", "lower_mass")
    motors: ClassVar = ("shoulder_motor", "elbow_motor")
    state_names: ClassVar = ("shoulder", "elbow", "shoulder velocity", "elbow velocity")
    action_names: ClassVar = ("shoulder torque", "elbow torque")
    angles: ClassVar = (0, 1)
    dt: ClassVar = 0.05
    steps: ClassVar = 100
    length: ClassVar = 0.5
    max_torque: ClassVar = (40.0, 20.0)
    max_speed: ClassVar = 12.0
    goal: ClassVar = (0.5, 0.5)
    obstacle: ClassVar = (0.8, -0.1, 0.2)  # center and radius
    inner_steps: ClassVar = 5

    def step(self, states: Tensor, actions: Tensor) -> Tensor:
        p = self._named(states)
        clipped = self._clipped(actions)
        u1, u2 = (
            p[name] * most * action
            for name, most, action in zip(self.motors, self.max_torque, clipped, strict=True)
        )
        m1, m2, load, g, c = (p[name] for name in tuple(self.ranges)[:5])
        long, dt = self.length, self.dt / self.inner_steps
        outer = (m2 / 3 + load) * long**2  # of the lower link and the load around the elbow
        inner = (
            m1 / 3 + m2 + load
        ) * long**2  # of everything around the shoulder, without the bend
        bend = (m2 / 2 + load) * long**2
        pull1, pull2 = (m1 / 2 + m2 + load) * g * long, (m2 / 2 + load) * g * long
        q1, q2, w1, w2 = states.unbind(-1)
        for _ in range(self.inner_steps):
            cos, swing = bend * q2.cos(), bend * q2.sin()
            fall2 = pull2 * (q1 + q2).cos()
            t1 = u1 - c * w1 + swing * w2 * (2 * w1 + w2) - pull1 * q1.cos() - fall2
            t2 = u2 - c * w2 - swing * w1.square() - fall2
            m11, m12 = inner + outer + 2 * cos, outer + cos
            det = m11 * outer - m12.square()
            w1, w2 = (
                (w1 + dt * (outer * t1 - m12 * t2) / det).clamp(-self.max_speed, self.max_speed),
                (w2 + dt * (m11 * t2 - m12 * t1) / det).clamp(-self.max_speed, self.max_speed),
            )
            q1, q2 = q1 + dt * w1, q2 + dt * w2
        return torch.stack([q1, q2, w1, w2], -1)

    def elbow(self, states: Tensor) -> Tensor:
        """Return the position of the elbow, `(…, 2)`."""
        q1 = states[..., 0]
        return self.length * torch.stack([q1.cos(), q1.sin()], -1)

    def tip(self, states: Tensor) -> Tensor:
        """Return the position of the tip, `(…, 2)`."""
        both = states[..., 0] + states[..., 1]
        return self.elbow(states) + self.length * torch.stack([both.cos(), both.sin()], -1)

    def depth(self, states: Tensor) -> Tensor:
        """Return how deep the arm is in the obstacle, `(…)`: 0 if it does not touch it."""
        elbow, tip = self.elbow(states), self.tip(states)
        x, y, radius = self.obstacle
        center = torch.tensor([x, y]).to(states)
        link = tip - elbow
        along = ((center - elbow) * link).sum(-1, keepdim=True) / self.length**2
        nearest = elbow + along.clamp(0, 1) * link
        return (radius - (nearest - center).norm(dim=-1)).clamp_min(0)

    def reward(self, states: Tensor, actions: Tensor, following: Tensor) -> Tensor:
        distance = (self.tip(following) - torch.tensor(self.goal).to(following)).norm(dim=-1)
        effort = torch.stack(self._clipped(actions), -1).square().sum(-1)
        return -distance - 10 * self.depth(following) - 0.01 * effort

    def start(self, generator: Generator | None = None) -> Tensor:
        drawn = self._uniform((0.1, 0.1, 0.1, 0.1), self.parameters.shape[:-1], generator)
        return drawn + torch.tensor([-math.pi / 2, 0.0, 0.0, 0.0]).to(drawn)

    def anywhere(self, count: int, generator: Generator | None = None) -> Tensor:
        lead = (*self.parameters.shape[:-1], count)
        drawn = self._uniform((math.pi, math.pi, 10.0, 10.0), lead, generator)
        slower = torch.rand(*lead, 1, generator=generator).to(drawn)  # slow states are as frequent
        return torch.cat([drawn[..., :2], slower * drawn[..., 2:]], -1)
