"""Bodies whose motion is foretold: a dynamics model that adapts to an unseen body."""

from __future__ import annotations

import functools
import os
import random
from typing import Any

import numpy as np
import torch
from learn2learn.data.task_dataset import DataDescription
from numpy.typing import NDArray
from torch import Generator, Tensor

from l2l_rnn.data.cache import cached_arrays
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, check_counts
from l2l_rnn.errors import ArgumentError, DataError, UnknownNameError
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.series.bodies import KINDS, VERSION, draw_bodies, record, versions
from l2l_rnn.tasksets.series.support_query import deal_episodes, most_samples

MODES = ("train", "validation", "test")


class Dynamics(GroupedDataset):
    """Holds steps of bodies that random actions move, and how each step changes the state.

    A body is a task: a pendulum or a cart with a pole, whose masses, lengths, gravity and force
    are drawn anew, uniform on a logarithmic scale; or one of MuJoCo's with drawn loads and gears.
    From k of its transitions the change of the state is to be foretold of others. Nothing but the
    transitions tells which body it is.

    Support and query of a task are of different episodes: a transition's answer is the start of the
    next one, and would tell it. Where tasks come one at a time, as from learn2learn's `Taskset`,
    the first half of the samples is of other episodes than the rest: take half of them as shots. A
    task can have `transitions - horizon + 1` samples, support and query together.

    Each split draws bodies of its own; they are from the same ranges, unless `extrapolate` puts
    every parameter of the test bodies outside of them, by a factor of up to 1.5. (A pendulum's
    greatest torque and a factor of 0, a broken motor, stay as they are.)

    Args:
        root: the folder of the cache, where the steps are kept once they are made.
        mode: the split, `"train"`, `"validation"` or `"test"`.
        environment: `"pendulum"`, `"cartpole"`, or, where mujoco is installed, `"halfcheetah"` or
            `"reacher"`.
        bodies: how many there are in train; validation and test have a quarter of it.
        transitions: how many there are of each body.
        horizon: steps after which a body is put back to a random start, and an episode ends.
        history: `h`, the most steps of an input: the last ones before the change, of one episode.
        broken: the share of bodies with one broken motor, whose action has no effect; None takes
            the environment's, 0.5 of MuJoCo's and 0 of the others'.
        extrapolate: whether test bodies are unlike all that were trained on.
        seed: fixes bodies, starts and actions.

    Attributes:
        inputs: the steps, a state and an action each, standardised; padded with NaN where an
            episode has begun fewer than `h` steps ago.
        targets: the change of the state after the last step, standardised.
        groups: the body of each item.
        episodes: the episode of each transition of each body.
        bodies: the parameters of each body.
        parameter_names, state_names: what they are.
        input_mean, input_std, answer_mean, answer_std: of train, by which all splits are
            standardised; `x * input_std + input_mean` gives back the raw values.

    Shapes:
        inputs (items, h, state + action) float32; targets (items, state) float32; groups (items,);
        episodes (G, transitions) int64; bodies (G, parameters) float64.

    Raises:
        UnknownNameError: `mode` or `environment` is not known.
        ArgumentError: a count is not a positive integer, `bodies` is less than 4, `broken` no share
            from 0 to 1, `seed` no integer of 0 or more, or `extrapolate` no bool.
        MissingExtraError: gymnasium, or mujoco where it is needed, is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     dataset = Dynamics(root, "test", bodies=8, transitions=40)
        >>> dataset.parameter_names
        ('mass', 'length', 'gravity', 'max_torque')
        >>> batch = dataset.draw(tasks=4, shots=10, queries=5)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 1, 4]), torch.Size([4, 5, 3]))

    Source: the task: A. Nagabandi et al., 2019, Learning to Adapt in Dynamic, Real-World
    Environments Through Meta-Reinforcement Learning, whose loads and crippled motors change within
    an episode too; the environments: M. Towers et al., 2024, Gymnasium.
    """

    support_is_half = True

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        mode: str = "train",
        *,
        environment: str = "pendulum",
        bodies: int = 200,
        transitions: int = 100,
        horizon: int = 20,
        history: int = 1,
        broken: float | None = None,
        extrapolate: bool = False,
        seed: int = 0,
    ) -> None:
        _check_name("mode", mode, MODES)
        _check_name("environment", environment, KINDS)
        _check_numbers(bodies, transitions, horizon, history, broken, extrapolate, seed)
        kind = KINDS[environment]
        key = {
            "environment": environment,
            "bodies": bodies,
            "transitions": transitions,
            "horizon": horizon,
            "broken": kind.broken if broken is None else float(broken),
            "extrapolate": extrapolate,
            "seed": seed,
        }
        arrays = _arrays(root, key)
        self.root, self.mode, self.environment = os.path.expanduser(root), mode, environment
        steps, changes = _steps(arrays, "train")
        self.input_mean, self.input_std = _moments(steps)
        self.answer_mean, self.answer_std = _moments(changes)
        self.parameter_names, self.state_names = tuple(kind.ranges), kind.state
        self.bodies = torch.from_numpy(arrays[f"{mode} bodies"])
        steps, changes = _steps(arrays, mode)
        standard = (steps - self.input_mean.numpy()) / self.input_std.numpy()
        answers = (changes - self.answer_mean.numpy()) / self.answer_std.numpy()
        inputs = _windows(standard, arrays[f"{mode} episodes"], history)
        self.episodes = torch.from_numpy(arrays[f"{mode} episodes"])
        count, each = self.episodes.shape
        super().__init__(
            torch.from_numpy(inputs.astype(np.float32)),
            torch.from_numpy(answers.reshape(count * each, -1).astype(np.float32)),
            torch.arange(count).repeat_interleave(each),
            group_names=[f"{mode} body {i}" for i in range(count)],
        )
        self._most = most_samples(self.episodes)

    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        tasks, shots, queries, _ = check_counts("Dynamics.draw", tasks, shots, queries, ways)
        items = self.draw_items(tasks, shots, queries, generator).unsqueeze(1)  # (N, 1, samples)
        return TaskBatch(*self._part(items[..., :shots]), *self._part(items[..., shots:]))

    def recipe(self, ways: int, samples: int) -> Recipe:
        self._check_samples(samples)
        return self.meta(), [_OneBody(self, samples)]

    def draw_items(
        self, tasks: int, shots: int, queries: int, generator: Generator | None = None
    ) -> Tensor:
        """Choose the items of N tasks, `(N, shots + queries)`, the support's first."""
        self._check_samples(shots + queries)
        bodies = torch.randint(len(self.episodes), (tasks,), generator=generator)
        places = deal_episodes(self.episodes[bodies], shots, queries, generator)
        return bodies.unsqueeze(-1) * self.episodes.shape[1] + places

    def _check_samples(self, samples: int) -> None:
        if samples > self._most:
            raise DataError(
                f"Dynamics: samples must be at most {self._most} where support and query are of "
                f"different episodes of a body's {self.episodes.shape[1]} transitions, got "
                f"{samples}; raise transitions, or shorten the horizon"
            )


class _OneBody:
    """A learn2learn task transform: half of a body's samples of some episodes, then of others."""

    def __init__(self, dataset: Dynamics, samples: int) -> None:
        self.dataset, self.halves = dataset, (samples // 2, samples - samples // 2)

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task by a seed of Python's `random`, as `draw` does."""
        generator = Generator().manual_seed(random.getrandbits(32))
        (items,) = self.dataset.draw_items(1, *self.halves, generator).tolist()
        description = []
        for index in items:
            item = DataDescription(index)
            item.transforms.append(self.dataset.__getitem__)
            description.append(item)
        return description


@register_taskset(
    "dynamics",
    TaskCard(
        task="Foretell how an unseen pendulum's state changes in a step, from some of its steps.",
        source="the environments of the package gymnasium (M. Towers et al., 2024, Gymnasium)",
        license="MIT",
        classes=(200, 50, 50),
        items=(20000, 5000, 5000),
        lengths=(1, 1),
        splits="body",
        measure="mean squared error",
        chance=0.863,
        baseline=("ridge regression on squares and products of 10 steps", 0.382),
        counted="bodies",
        extra="control",
    ),
)
def _dynamics(
    root: str = "~/data",
    *,
    environment: str = "pendulum",
    bodies: int = 200,
    transitions: int = 100,
    horizon: int = 20,
    history: int = 1,
    broken: float | None = None,
    extrapolate: bool = False,
    seed: int = 0,
) -> Sources:
    train, validation, test = (
        Dynamics(
            root,
            mode,
            environment=environment,
            bodies=bodies,
            transitions=transitions,
            horizon=horizon,
            history=history,
            broken=broken,
            extrapolate=extrapolate,
            seed=seed,
        )
        for mode in MODES
    )
    return train, validation, test


def _arrays(root: str | os.PathLike[str], key: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The recorded steps of all splits, from the cache under `root`."""
    needed = {**versions(KINDS[key["environment"]]), "making": VERSION}
    build = functools.partial(_build, key)
    return cached_arrays(root, f"dynamics-{key['environment']}", {**key, **needed}, build)


def _build(key: dict[str, Any]) -> dict[str, NDArray[Any]]:
    kind = KINDS[key["environment"]]
    arrays = {}
    for number, mode in enumerate(MODES):
        generator = np.random.default_rng([key["seed"], number])
        count = key["bodies"] if mode == "train" else key["bodies"] // 4
        outside = key["extrapolate"] and mode == "test"
        bodies = draw_bodies(kind, count, key["broken"], outside, generator)
        moved = record(kind, bodies, key["transitions"], key["horizon"], generator)
        arrays.update({f"{mode} {part}": array for part, array in moved.items()})
        arrays[f"{mode} bodies"] = bodies
    return arrays


def _steps(arrays: dict[str, NDArray[Any]], mode: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Steps `(bodies, transitions, state + action)`, and the change of state after each."""
    states, actions = arrays[f"{mode} states"], arrays[f"{mode} actions"]
    return np.concatenate([states, actions], -1), arrays[f"{mode} following"] - states


def _moments(values: NDArray[Any]) -> tuple[Tensor, Tensor]:
    flat = values.reshape(-1, values.shape[-1])
    std = flat.std(0)
    return torch.from_numpy(flat.mean(0)), torch.from_numpy(np.where(std > 0, std, 1.0))


def _windows(steps: NDArray[Any], episodes: NDArray[Any], history: int) -> NDArray[Any]:
    """The last steps up to each, of its episode: `(items, h, F)`, padded with NaN."""
    count, each, width = steps.shape
    begins = np.diff(episodes, axis=1, prepend=-1) != 0
    start = np.maximum.accumulate(np.where(begins, np.arange(each), 0), axis=1)
    first = np.maximum(start, np.arange(each) - history + 1)  # (bodies, transitions)
    at = first[..., None] + np.arange(history)
    inside = at <= np.arange(each)[:, None]
    windows = steps[np.arange(count)[:, None, None], np.where(inside, at, 0)]
    windows[~inside] = np.nan
    return windows.reshape(count * each, history, width)


def _check_name(what: str, value: object, known: Any) -> None:
    if value not in tuple(known):
        raise UnknownNameError(f"Dynamics: unknown {what} {value!r}. Known: {', '.join(known)}")


def _check_numbers(
    bodies: object,
    transitions: object,
    horizon: object,
    history: object,
    broken: object,
    extrapolate: object,
    seed: object,
) -> None:
    least = {"bodies": (bodies, 4), "transitions": (transitions, 1), "horizon": (horizon, 1)}
    least |= {"history": (history, 1), "seed": (seed, 0)}
    for name, (value, lowest) in least.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ArgumentError(
                f"Dynamics: {name} must be an integer of {lowest} or more, got {value!r}"
            )
    share = isinstance(broken, int | float) and not isinstance(broken, bool) and 0 <= broken <= 1
    if broken is not None and not share:
        raise ArgumentError(
            f"Dynamics: broken must be a share from 0 to 1, or None for the usual, got {broken!r}"
        )
    if not isinstance(extrapolate, bool):
        raise ArgumentError(f"Dynamics: extrapolate must be True or False, got {extrapolate!r}")
