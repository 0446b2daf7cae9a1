"""Prediction of dynamics: each task is a pendulum, cart or MuJoCo model with modified physics."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor

from l2l_rnn.checks import check_choice, check_int, check_number
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.splits import check_split
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, check_counts
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.series.environments import ENVIRONMENTS
from l2l_rnn.tasksets.series.episode_partition import max_samples, partition_episodes
from l2l_rnn.tasksets.series.transitions import (
    episode_windows,
    moments,
    recorded_transitions,
    steps_and_changes,
)


@register_dataset(
    "dynamics",
    TaskCard(
        task="Predict the next state of an unseen pendulum from a few observed transitions.",
        source="the environments of the package gymnasium (M. Towers et al., 2024, Gymnasium)",
        license="MIT",
        classes=(200, 50, 50),
        items=(20000, 5000, 5000),
        lengths=(1, 1),
        splits="disjoint by environment",
        measure="mean squared error",
        chance=0.863,
        baseline=("ridge regression on quadratic features of 10 transitions", 0.382),
        counted="environments",
        extra="control",
    ),
)
class Dynamics(GroupedDataset):
    """Transitions of simulated environments under random actions; a task is one variant.

    A variant is an environment with modified masses, lengths, gravity or motors. For a pendulum, or
    a cart with a pole, these parameters are drawn uniformly on a logarithmic scale. For a MuJoCo
    model, its masses and motor gears are multiplied by factors drawn in this way. The target is the
    change of the state in one step. It depends on the variant's parameters, which can only be
    inferred from the support set.

    The support and query set of a task come from different episodes, because the next step of an
    episode reveals the target of the current one. In tasks from a learn2learn `Taskset`, the two
    halves of the samples come from different episodes, so set shots to half of the samples. A task
    can have up to `transitions - horizon + 1` samples, support and query together.

    Each split draws its own variants, from the same ranges. With `extrapolate=True`, every
    parameter of the test variants is outside its range, by a factor of up to 1.5, except for a
    pendulum's maximum torque and broken motors.

    Args:
        root: folder where the recorded transitions are cached.
        split: `"train"`, `"validation"` or `"test"`.
        environment: `"pendulum"`, `"cartpole"`, or, with mujoco installed, `"halfcheetah"` or
            `"reacher"`.
        variants: number of train variants, at least 4; validation and test have a quarter of this
            number each.
        transitions: transitions per variant.
        horizon: steps per episode; the state is then reset at random.
        history: `h`, steps per input: the current step and up to `h - 1` earlier ones of its
            episode.
        broken: share of variants with one broken motor, which ignores its action; None uses the
            default of the environment, 0.5 for MuJoCo and 0 otherwise.
        extrapolate: whether test variants are outside the ranges of train variants.
        seed: random seed of variants, initial states and actions.

    Attributes:
        inputs: steps, each a state and an action, standardized; padded with NaN if the episode has
            fewer than `h` steps so far.
        targets: change of the state in the last step, standardized.
        groups: variant of each item.
        episodes: episode of each transition of each variant.
        variants: parameters of each variant.
        parameter_names, state_names: names of the parameters and of the state variables.
        input_mean, input_std, target_mean, target_std: mean and standard deviation of the train
            split, used to standardize all splits; `x * input_std + input_mean` restores raw inputs.

    Shapes:
        inputs (items, h, state + action) float32; targets (items, state) float32; groups (items,);
        episodes (G, transitions) int64; variants (G, parameters) float64.

    Raises:
        UnknownNameError: `split` or `environment` is unknown.
        ArgumentError: a number is out of range, or `extrapolate` is not a bool.
        MissingExtraError: gymnasium, or mujoco if the environment needs it, is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     dataset = Dynamics(root, "test", variants=8, transitions=40)
        >>> dataset.parameter_names
        ('mass', 'length', 'gravity', 'max_torque')
        >>> batch = dataset.draw(tasks=4, shots=10, queries=5)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 1, 4]), torch.Size([4, 5, 3]))

    Source: A. Nagabandi et al., 2019, Learning to Adapt in Dynamic, Real-World Environments Through
    Meta-Reinforcement Learning, where loads and crippled motors also change within an episode. The
    environments: M. Towers et al., 2024, Gymnasium.
    """

    support_is_half = True

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
        *,
        environment: str = "pendulum",
        variants: int = 200,
        transitions: int = 100,
        horizon: int = 20,
        history: int = 1,
        broken: float | None = None,
        extrapolate: bool = False,
        seed: int = 0,
    ) -> None:
        check_split("Dynamics", split)
        check_choice("Dynamics", "environment", environment, ENVIRONMENTS)
        spec = ENVIRONMENTS[environment]
        if broken is not None:
            broken = check_number("Dynamics", "broken", broken, least=0, most=1)
        if not isinstance(extrapolate, bool):
            raise ArgumentError(
                f"Dynamics: extrapolate must be True or False, got {extrapolate!r}; pass a bool"
            )
        history = check_int("Dynamics", "history", history)
        options = {
            "environment": environment,
            "variants": check_int("Dynamics", "variants", variants, least=4),
            "transitions": check_int("Dynamics", "transitions", transitions),
            "horizon": check_int("Dynamics", "horizon", horizon),
            "broken": spec.broken if broken is None else broken,
            "extrapolate": extrapolate,
            "seed": check_int("Dynamics", "seed", seed, least=0),
        }
        arrays = recorded_transitions(root, options)
        self.root, self.split, self.environment = os.path.expanduser(root), split, environment
        steps, changes = steps_and_changes(arrays, "train")
        self.input_mean, self.input_std = moments(steps)
        self.target_mean, self.target_std = moments(changes)
        self.parameter_names, self.state_names = tuple(spec.ranges), spec.state
        self.variants = torch.from_numpy(arrays[f"{split} variants"])
        self.episodes = torch.from_numpy(arrays[f"{split} episodes"])
        steps, changes = steps_and_changes(arrays, split)
        steps = (steps - self.input_mean.numpy()) / self.input_std.numpy()
        changes = (changes - self.target_mean.numpy()) / self.target_std.numpy()
        inputs = episode_windows(steps, arrays[f"{split} episodes"], history)
        count, each = self.episodes.shape
        super().__init__(
            torch.from_numpy(inputs.astype(np.float32)),
            torch.from_numpy(changes.reshape(count * each, -1).astype(np.float32)),
            torch.arange(count).repeat_interleave(each),
            group_names=[f"{split} variant {i}" for i in range(count)],
        )
        self._max_samples = max_samples(self.episodes)

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
        return self._batch(items[..., :shots], items[..., shots:])

    def recipe(self, ways: int, samples: int) -> Recipe:
        self._check_samples(samples)
        return self.meta(), [_OneVariant(self, samples)]

    def draw_items(
        self, tasks: int, shots: int, queries: int, generator: Generator | None = None
    ) -> Tensor:
        """Draw the items of N tasks, `(N, shots + queries)`, the support items first."""
        self._check_samples(shots + queries)
        variants = torch.randint(len(self.episodes), (tasks,), generator=generator)
        places = partition_episodes(self.episodes[variants], shots, queries, generator)
        return variants.unsqueeze(-1) * self.episodes.shape[1] + places

    def _check_samples(self, samples: int) -> None:
        if samples > self._max_samples:
            raise DataError(
                f"Dynamics: samples must be at most {self._max_samples}, so that support and query "
                f"come from different episodes of {self.episodes.shape[1]} transitions, got "
                f"{samples}; raise transitions, or lower horizon"
            )


class _OneVariant:
    """learn2learn task transform: two halves of a variant's samples, from different episodes."""

    def __init__(self, dataset: Dynamics, samples: int) -> None:
        self.dataset, self.halves = dataset, (samples // 2, samples - samples // 2)

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task as `draw` does, with a seed from Python's `random`."""
        generator = Generator().manual_seed(random.getrandbits(32))
        (items,) = self.dataset.draw_items(1, *self.halves, generator).tolist()
        description = []
        for index in items:
            item = DataDescription(index)
            item.transforms.append(self.dataset.__getitem__)
            description.append(item)
        return description
