"""Rollouts of random actions in environments with modified physics."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.optional import require
from l2l_rnn.tasksets.series.environments import Environment, Floats

_PURPOSE = "the task set 'dynamics'"


def record_transitions(
    environment: Environment,
    variants: Floats,
    transitions: int,
    horizon: int,
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """Record the transitions of each variant under random actions.

    Args:
        environment: the environment.
        variants: parameters of the variants, from `draw_variants`.
        transitions: number of transitions per variant.
        horizon: maximum number of steps per episode; gymnasium may end an episode earlier.
        generator: random number generator.

    Returns:
        `states` and `following` (the next states), (variants, transitions, state); `actions`,
        (variants, transitions, actions); and `episodes`, (variants, transitions), the number of
        each transition's episode.

    Raises:
        MissingExtraError: gymnasium, or a package that the environment needs, is not installed.
    """
    env = _make(environment)
    try:
        return _record(env.unwrapped, environment, variants, transitions, horizon, generator)
    finally:
        env.close()


def simulator_versions(environment: Environment) -> dict[str, str]:
    """Return the versions of the packages that simulate an environment.

    Raises:
        MissingExtraError: a package is not installed.
    """
    require("gymnasium", extra="control", purpose=_PURPOSE)
    if not environment.mujoco:
        return {"gymnasium": importlib.metadata.version("gymnasium")}
    require("mujoco", extra="mujoco", purpose=_PURPOSE)
    require("imageio", extra="mujoco", purpose=_PURPOSE)  # gymnasium imports it along with mujoco
    return {name: importlib.metadata.version(name) for name in ("gymnasium", "mujoco")}


def _make(environment: Environment) -> Any:
    """Make the gymnasium environment, without MuJoCo's warnings about gymnasium's own files."""
    gymnasium = require("gymnasium", extra="control", purpose=_PURPOSE)
    if not environment.mujoco:
        return gymnasium.make(environment.identifier, disable_env_checker=True)
    mujoco = require("mujoco", extra="mujoco", purpose=_PURPOSE)
    usual = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda *_: None)
    try:
        return gymnasium.make(environment.identifier, disable_env_checker=True)
    finally:
        mujoco.set_mju_user_warning(usual)


def _record(
    env: Any,
    environment: Environment,
    variants: Floats,
    transitions: int,
    horizon: int,
    generator: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    columns = slice(None) if environment.columns is None else list(environment.columns)
    discrete = hasattr(env.action_space, "n")
    action_size = 1 if discrete else env.action_space.shape[0]
    shape = (len(variants), transitions)
    states = np.zeros((*shape, len(environment.state)))
    following, actions = np.zeros_like(states), np.zeros((*shape, action_size))
    episodes = np.zeros(shape, dtype=np.int64)
    change = _MujocoChange(env) if environment.mujoco else _CHANGES[environment.identifier]
    for b, variant in enumerate(variants):
        change(env, dict(zip(environment.ranges, variant.tolist(), strict=True)))
        drawn = generator.uniform(-1, 1, (transitions, action_size))
        if discrete:
            drawn = np.where(drawn < 0, -1.0, 1.0)  # two actions, recorded as signs: left, right
        else:
            space = env.action_space
            drawn = (space.low + (space.high - space.low) * (drawn + 1) / 2).astype(np.float32)
        seeds = generator.integers(2**31, size=transitions)
        steps, episode, over = 0, -1, True
        for t in range(transitions):
            if over or steps == horizon:
                state, _ = env.reset(seed=int(seeds[t]))
                steps, episode = 0, episode + 1
            action = int(drawn[t, 0] > 0) if discrete else drawn[t]
            states[b, t], actions[b, t], episodes[b, t] = state[columns], drawn[t], episode
            state, _, over, _, _ = env.step(action)
            following[b, t] = state[columns]
            steps += 1
    return {"states": states, "actions": actions, "following": following, "episodes": episodes}


def _change_pendulum(env: Any, variant: Mapping[str, float]) -> None:
    env.m, env.l, env.g = variant["mass"], variant["length"], variant["gravity"]
    env.max_torque = variant["max_torque"]  # torques are clipped to it


def _change_cartpole(env: Any, variant: Mapping[str, float]) -> None:
    env.masscart, env.masspole = variant["cart mass"], variant["pole mass"]
    env.length, env.gravity = variant["half length"], variant["gravity"]
    env.force_mag = variant["force"]
    env.total_mass = env.masscart + env.masspole
    env.polemass_length = env.masspole * env.length


_CHANGES = {"Pendulum-v1": _change_pendulum, "CartPole-v1": _change_cartpole}


class _MujocoChange:
    """Multiplies the original masses, inertias and motor gears of a MuJoCo model by factors."""

    def __init__(self, env: Any) -> None:
        model = env.model
        self.mass, self.inertia = model.body_mass.copy(), model.body_inertia.copy()
        self.gear = model.actuator_gear.copy()

    def __call__(self, env: Any, variant: Mapping[str, float]) -> None:
        mujoco = require("mujoco", extra="mujoco", purpose=_PURPOSE)
        model = env.model
        for parameter, factor in variant.items():
            what, name = parameter.split()
            if what == "load":
                i = model.body(name).id
                model.body_mass[i] = self.mass[i] * factor
                model.body_inertia[i] = self.inertia[i] * factor
            else:
                joint = model.joint(name).id
                i = int(np.flatnonzero(model.actuator_trnid[:, 0] == joint)[0])
                model.actuator_gear[i] = self.gear[i] * factor
        mujoco.mj_setConst(model, env.data)  # updates what MuJoCo derives from masses
