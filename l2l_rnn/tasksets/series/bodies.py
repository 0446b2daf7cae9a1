"""Bodies that move: gymnasium's environments with drawn masses, lengths, gravity and motors."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.optional import require

VERSION = 1  # of how bodies are drawn and moved; arrays kept by another are not read

Floats = NDArray[np.float64]
_PURPOSE = "the task set 'dynamics'"


class Kind(NamedTuple):
    """What is drawn of a kind of body, and what is seen of it.

    Attributes:
        identifier: gymnasium's name of the environment.
        ranges: the least and the greatest value of each parameter; of a load, a factor.
        motors: the parameters that are 0 where a motor is broken.
        state: names of the state's values.
        columns: where those stand in gymnasium's observation; None takes all of it.
        broken: share of bodies with a broken motor, by default.
        mujoco: whether the environment is one of MuJoCo's.
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

KINDS = {
    "pendulum": Kind(
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
    "cartpole": Kind(
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
    "halfcheetah": Kind(
        "HalfCheetah-v5",
        {f"load {body}": _LOAD for body in ("torso", *_CHEETAH)}
        | {f"gear {joint}": _GEAR for joint in _CHEETAH},
        tuple(f"gear {joint}" for joint in _CHEETAH),
        (*_CHEETAH_JOINTS, *(f"velocity {joint}" for joint in ("rootx", *_CHEETAH_JOINTS))),
        broken=0.5,
        mujoco=True,
    ),
    "reacher": Kind(
        "Reacher-v5",
        {f"load {body}": _LOAD for body in ("body0", "body1", "fingertip")}
        | {"gear joint0": _GEAR, "gear joint1": _GEAR},
        ("gear joint0", "gear joint1"),
        ("cos 0", "cos 1", "sin 0", "sin 1", "velocity 0", "velocity 1"),
        (0, 1, 2, 3, 6, 7),  # the others tell of the target, which no motor moves
        broken=0.5,
        mujoco=True,
    ),
}


def draw_bodies(
    kind: Kind, count: int, broken: float, outside: bool, generator: np.random.Generator
) -> Floats:
    """Draw parameters, uniform on a logarithmic scale, `(count, parameters)`.

    Args:
        kind: what to draw.
        count: how many bodies.
        broken: the share of bodies, at most, of which one motor is broken: the last ones.
        outside: draws every parameter outside of its range, by a factor of up to 1.5.
        generator: fixes what is drawn.
    """
    low, high = np.log(np.array(list(kind.ranges.values()))).T
    drawn = generator.uniform(low, high, (count, len(low)))
    if outside:
        beyond = generator.uniform(0, np.log(1.5), drawn.shape)
        above = generator.random(drawn.shape) < 0.5
        drawn = np.where(low == high, low, np.where(above, high + beyond, low - beyond))
    bodies: Floats = np.exp(drawn)
    names = list(kind.ranges)
    motors = generator.integers(len(kind.motors), size=count)
    for body in range(count - round(broken * count), count):
        bodies[body, names.index(kind.motors[motors[body]])] = 0.0
    return bodies


def record(
    kind: Kind, bodies: Floats, transitions: int, horizon: int, generator: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Move each body by random actions, and write down what it does.

    Returns:
        `states` and `following`, (bodies, transitions, state), `actions`, (bodies, transitions,
        actions), and `episodes`, (bodies, transitions), which number what lies between two resets.
        A reset comes after `horizon` steps, or where gymnasium ends an episode.

    Raises:
        MissingExtraError: gymnasium, or what the environment needs beside it, is not installed.
    """
    environment = _made(kind)
    try:
        return _record(environment.unwrapped, kind, bodies, transitions, horizon, generator)
    finally:
        environment.close()


def versions(kind: Kind) -> dict[str, str]:
    """Return the versions of the packages that move a body.

    Raises:
        MissingExtraError: one of them is not installed.
    """
    require("gymnasium", extra="control", purpose=_PURPOSE)
    if not kind.mujoco:
        return {"gymnasium": importlib.metadata.version("gymnasium")}
    require("mujoco", extra="mujoco", purpose=_PURPOSE)
    require("imageio", extra="mujoco", purpose=_PURPOSE)  # gymnasium imports it beside mujoco
    return {name: importlib.metadata.version(name) for name in ("gymnasium", "mujoco")}


def _made(kind: Kind) -> Any:
    """Make the environment, without what MuJoCo prints and logs about gymnasium's own files."""
    gymnasium = require("gymnasium", extra="control", purpose=_PURPOSE)
    if not kind.mujoco:
        return gymnasium.make(kind.identifier, disable_env_checker=True)
    mujoco = require("mujoco", extra="mujoco", purpose=_PURPOSE)
    usual = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda *_: None)
    try:
        return gymnasium.make(kind.identifier, disable_env_checker=True)
    finally:
        mujoco.set_mju_user_warning(usual)


def _record(
    environment: Any,
    kind: Kind,
    bodies: Floats,
    transitions: int,
    horizon: int,
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    columns = slice(None) if kind.columns is None else list(kind.columns)
    discrete = hasattr(environment.action_space, "n")
    width = 1 if discrete else environment.action_space.shape[0]
    shape = (len(bodies), transitions)
    states = np.zeros((*shape, len(kind.state)))
    following, actions = np.zeros_like(states), np.zeros((*shape, width))
    episodes = np.zeros(shape, dtype=np.int64)
    change = _Loads(environment) if kind.mujoco else _CHANGES[kind.identifier]
    for b, body in enumerate(bodies):
        change(environment, dict(zip(kind.ranges, body.tolist(), strict=True)))
        # Signs where there are two actions, to the left and to the right.
        drawn = generator.uniform(-1, 1, (transitions, width))
        if discrete:
            drawn = np.where(drawn < 0, -1.0, 1.0)
        else:
            space = environment.action_space
            drawn = (space.low + (space.high - space.low) * (drawn + 1) / 2).astype(np.float32)
        seeds = generator.integers(2**31, size=transitions)
        steps, episode, over = 0, -1, True
        for t in range(transitions):
            if over or steps == horizon:
                state, _ = environment.reset(seed=int(seeds[t]))
                steps, episode = 0, episode + 1
            action = int(drawn[t, 0] > 0) if discrete else drawn[t]
            states[b, t], actions[b, t], episodes[b, t] = state[columns], drawn[t], episode
            state, _, over, _, _ = environment.step(action)
            following[b, t] = state[columns]
            steps += 1
    return {"states": states, "actions": actions, "following": following, "episodes": episodes}


def _change_pendulum(environment: Any, body: Mapping[str, float]) -> None:
    environment.m, environment.l, environment.g = body["mass"], body["length"], body["gravity"]
    environment.max_torque = body["max_torque"]  # torques are clipped to it


def _change_cartpole(environment: Any, body: Mapping[str, float]) -> None:
    environment.masscart, environment.masspole = body["cart mass"], body["pole mass"]
    environment.length, environment.gravity = body["half length"], body["gravity"]
    environment.force_mag = body["force"]
    environment.total_mass = environment.masscart + environment.masspole
    environment.polemass_length = environment.masspole * environment.length


_CHANGES = {"Pendulum-v1": _change_pendulum, "CartPole-v1": _change_cartpole}


class _Loads:
    """Loads the bodies of a MuJoCo model, and gears its motors, by factors of what they were."""

    def __init__(self, environment: Any) -> None:
        model = environment.model
        self.mass, self.inertia = model.body_mass.copy(), model.body_inertia.copy()
        self.gear = model.actuator_gear.copy()

    def __call__(self, environment: Any, body: Mapping[str, float]) -> None:
        mujoco = require("mujoco", extra="mujoco", purpose=_PURPOSE)
        model = environment.model
        for parameter, factor in body.items():
            what, name = parameter.split()
            if what == "load":
                i = model.body(name).id
                model.body_mass[i] = self.mass[i] * factor
                model.body_inertia[i] = self.inertia[i] * factor
            else:
                joint = model.joint(name).id
                i = int(np.flatnonzero(model.actuator_trnid[:, 0] == joint)[0])
                model.actuator_gear[i] = self.gear[i] * factor
        mujoco.mj_setConst(model, environment.data)  # what MuJoCo derives from masses
