"""Gymnasium environments with modified masses, lengths, gravity and motors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Environment(NamedTuple):
    """A gymnasium environment with its modified parameters and its recorded state.

    Attributes:
        identifier: name of the environment in gymnasium.
        ranges: smallest and largest value of each parameter. Parameters named "load" multiply the
            mass and inertia of a MuJoCo body; parameters named "gear" multiply a motor's gear.
        motors: the parameters that are 0 if a motor is broken.
        state: names of the state variables.
        columns: positions of the state variables in gymnasium's observation; None uses all of it.
        broken: default share of variants with a broken motor.
        mujoco: whether the environment is simulated by MuJoCo.
    """

    identifier: str
    ranges: Mapping[str, tuple[float, float]]
    motors: tuple[str, ...]
    state: tuple[str, ...]
    columns: tuple[int, ...] | None = None
    broken: float = 0.0
    mujoco: bool = False


_LOAD, _GEAR = (0.5, 2.0), (0.7, 1.3)
_CHEETAH = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
_CHEETAH_JOINTS = ("rootz", "rooty", *_CHEETAH)

ENVIRONMENTS = {
    "pendulum": Environment(
        "Pendulum-v1",
        {
            "mass": (0.5, 2.0),
            "length": (0.5, 1.5),
            "gravity": (5.0, 15.0),
            "max_torque": (2.0, 2.0),
        },
        ("max_torque",),
        ("cos", "sin", "angular velocity"),
    ),
    "cartpole": Environment(
        "CartPole-v1",
        {
            "cart mass": (0.5, 2.0),
            "pole mass": (0.05, 0.5),
            "half length": (0.25, 1.0),
            "gravity": (5.0, 15.0),
            "force": (5.0, 15.0),
        },
        ("force",),
        ("position", "velocity", "angle", "angular velocity"),
    ),
    "halfcheetah": Environment(
        "HalfCheetah-v5",
        {f"load {body}": _LOAD for body in ("torso", *_CHEETAH)}
        | {f"gear {joint}": _GEAR for joint in _CHEETAH},
        tuple(f"gear {joint}" for joint in _CHEETAH),
        (*_CHEETAH_JOINTS, *(f"velocity {joint}" for joint in ("rootx", *_CHEETAH_JOINTS))),
        broken=0.5,
        mujoco=True,
    ),
    "reacher": Environment(
        "Reacher-v5",
        {f"load {body}": _LOAD for body in ("body0", "body1", "fingertip")}
        | {"gear joint0": _GEAR, "gear joint1": _GEAR},
        ("gear joint0", "gear joint1"),
        ("cos 0", "cos 1", "sin 0", "sin 1", "velocity 0", "velocity 1"),
        (0, 1, 2, 3, 6, 7),  # the others describe the fixed target
        broken=0.5,
        mujoco=True,
    ),
}


def draw_variants(
    environment: Environment,
    count: int,
    broken: float,
    outside: bool,
    generator: np.random.Generator,
) -> Floats:
    """Draw the parameters of variants, uniform on a logarithmic scale, `(count, parameters)`.

    Args:
        environment: the environment.
        count: number of variants.
        broken: share of variants with one broken motor; these come last.
        outside: whether every parameter is drawn outside its range, by a factor of up to 1.5.
        generator: random number generator.
    """
    low, high = np.log(np.array(list(environment.ranges.values()))).T
    drawn = generator.uniform(low, high, (count, len(low)))
    if outside:
        beyond = generator.uniform(0, np.log(1.5), drawn.shape)
        above = generator.random(drawn.shape) < 0.5
        drawn = np.where(low == high, low, np.where(above, high + beyond, low - beyond))
    variants: Floats = np.exp(drawn)
    names = list(environment.ranges)
    motors = generator.integers(len(environment.motors), size=count)
    for variant in range(count - round(broken * count), count):
        variants[variant, names.index(environment.motors[motors[variant]])] = 0.0
    return variants
