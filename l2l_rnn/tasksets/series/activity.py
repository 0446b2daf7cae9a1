"""Exercises told apart by a smart watch: a person is a task, and unseen persons are meta-test."""

from __future__ import annotations

import functools
import os
import random
from typing import Any, NamedTuple

import numpy as np
import torch
from learn2learn.data.task_dataset import DataDescription
from numpy.typing import NDArray
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.sampling import Grouping
from l2l_rnn.data.series.arrays import channel_moments
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, check_counts
from l2l_rnn.errors import ArgumentError, DataError, UnknownNameError
from l2l_rnn.optional import require
from l2l_rnn.tasksets.catalog import Sources, register_taskset

# Persons, by their numbers in the recordings.
PERSONS = {"train": (1, 2, 3, 4, 5, 6), "validation": (7, 8), "test": (9, 10)}
ARMS = {"both": (0, 1), "left": (0,), "right": (1,)}
CHANNELS = 6


class Activity(GroupedDataset):
    """Holds windows of smart-watch recordings, each labelled with the exercise and of one person.

    Ten persons did seven shoulder exercises with either arm while a watch kept the acceleration
    and the rate of turn along three axes, 50 times a second. The recordings ship inside the
    package seglearn: nothing is downloaded, and nothing is read from `root` or written there.

    A task is a person, with some of the exercises: the support shows how this one does them.
    Persons 1-6 are train, 7 and 8 validation, 9 and 10 test. Each recording is cut into windows
    from its start; what is left at its end is dropped. Windows never share a step, but those of
    one recording may stand in support and query alike, even side by side, as each person did each
    exercise once with either arm. A stride longer than the window leaves a gap between them, and
    `across_arms` asks for the other arm, which is harder: five exercises are told apart by nearest
    centroids of means and standard deviations, from 5 windows each, with an accuracy of 0.95
    within the recordings of one arm, 0.79 where both are mixed, and 0.59 across.

    Args:
        root: unused; accepted since learn2learn's datasets take it.
        mode: the split, `"train"`, `"validation"` or `"test"`.
        window: steps of a window, and S; 50 are a second.
        stride: steps from the start of a window to that of the next, `window` or more; None takes
            `window`.
        arms: whose recordings: of the `"left"` arm, the `"right"`, or `"both"`.
        standardise: whether each channel is brought to mean 0 and standard deviation 1, both taken
            of the train persons' windows.
        across_arms: whether the support of a task is of one arm, and its queries of the other.
            Where tasks come one at a time, as from learn2learn's `Taskset`, the first half of each
            class's samples is of one arm: take half of them as shots.

    Attributes:
        inputs: the windows.
        targets: the exercise of each.
        groups: the person of each.
        classes: the exercises as the recordings name them: PEN (pendulum), ABD (abduction), FEL
            (forward elevation), IR and ER (internal and external rotation), TRAP, ROW.
        group_names: the persons.
        recordings: the recording of each window.
        by_arm: the windows of each arm, of each exercise, of each person.

    Shapes:
        inputs (items, S, 6) float32; targets, groups, recordings (items,) int64.

    Raises:
        UnknownNameError: `mode` or `arms` is not known.
        ArgumentError: `window` is not a positive integer, or `stride` less than that; or
            `across_arms` is asked of one arm.
        DataError: no recording is as long as the window.
        MissingExtraError: seglearn is not installed.

    Example:
        >>> dataset = Activity(mode="test")
        >>> dataset.group_names, dataset.inputs.shape
        (('person 9', 'person 10'), torch.Size([506, 100, 6]))

    Source: D. M. Burns et al., 2018, Shoulder physiotherapy exercise recognition: machine learning
    the inertial signals from a smartwatch; D. M. Burns and C. M. Whyne, 2018, Seglearn.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        mode: str = "train",
        *,
        window: int = 100,
        stride: int | None = None,
        arms: str = "both",
        standardise: bool = True,
        across_arms: bool = False,
    ) -> None:
        for what, value, known in (("mode", mode, PERSONS), ("arms", arms, ARMS)):
            if value not in known:
                raise UnknownNameError(
                    f"Activity: unknown {what} {value!r}. Known: {', '.join(known)}"
                )
        window = check_int("Activity", "window", window)
        stride = window if stride is None else check_int("Activity", "stride", stride)
        if stride < window:
            raise ArgumentError(
                f"Activity: stride must be at least window={window}, or support and query could "
                f"share steps, got {stride}; raise it"
            )
        if across_arms and arms != "both":
            raise ArgumentError(
                f"Activity: across_arms needs arms='both', got {arms!r}; leave one of them out"
            )
        self.mode, self.across_arms = mode, across_arms
        self.support_is_half = across_arms
        persons = PERSONS[mode]
        windows, self.recordings = _windows(persons, window, stride, arms)
        if standardise:
            mean, deviation = _train_moments(window, stride, arms)
            windows = (windows - mean) / deviation
        recorded = _recorded()
        owners = torch.tensor([persons.index(p) if p in persons else -1 for p in recorded.persons])
        super().__init__(
            windows,
            torch.from_numpy(recorded.exercises)[self.recordings],
            owners[self.recordings],
            recorded.names,
            [f"person {person}" for person in persons],
        )
        # A cell holds the windows of one arm, one exercise and one person.
        kinds = len(recorded.names)
        cells = (self.groups * kinds + self.targets) * 2
        cells += torch.tensor(recorded.arms)[self.recordings]
        self.by_arm = Grouping(cells, len(persons) * kinds * 2)

    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        if not self.across_arms:
            return super().draw(tasks, shots, queries, generator, ways=ways)
        tasks, shots, queries, ways = check_counts("Activity.draw", tasks, shots, queries, ways)
        ways = self._ways(ways)
        eligible = self.eligible_across(ways, max(shots, queries))  # (G, kinds)
        able = (eligible.sum(-1) >= ways).nonzero().squeeze(-1)
        groups = able[torch.randint(len(able), (tasks,), generator=generator)]
        kinds = self._draw_kinds(eligible[groups], ways, generator)  # (N, C)
        cells = (groups.unsqueeze(-1) * eligible.shape[1] + kinds) * 2
        arm = torch.randint(2, (tasks, 1), generator=generator)
        support = self.by_arm.draw(cells + arm, shots, generator)
        query = self.by_arm.draw(cells + 1 - arm, queries, generator)
        return TaskBatch(*self._part(support), *self._part(query))

    def recipe(self, ways: int, samples: int) -> Recipe:
        if not self.across_arms:
            return super().recipe(ways, samples)
        return self.meta(), [_AcrossArms(self, self._ways(ways), samples)]

    def eligible_across(self, ways: int, each: int) -> Tensor:
        """Which exercises of which persons have windows enough of either arm; `(G, kinds)`."""
        counts = self.by_arm.counts.view(len(self.group_names), -1, 2)
        eligible = counts.amin(-1) >= each
        if int(eligible.sum(-1).max()) < ways:
            raise DataError(
                f"Activity: no person has {each} windows of either arm of each of {ways} "
                "exercises; ask for fewer samples or ways, or shorten the window"
            )
        return eligible


class _AcrossArms:
    """A learn2learn task transform: half of each class's samples of one arm, then the rest."""

    def __init__(self, dataset: Activity, ways: int, samples: int) -> None:
        self.dataset, self.ways = dataset, ways
        self.halves = samples // 2, samples - samples // 2
        self.eligible = dataset.eligible_across(ways, self.halves[1])
        self.able = (self.eligible.sum(-1) >= ways).nonzero().squeeze(-1).tolist()

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task by Python's `random`, as learn2learn's transforms do."""
        grouping = self.dataset.by_arm
        group, arm = random.choice(self.able), random.randrange(2)
        kinds = self.eligible[group].nonzero().flatten().tolist()
        description = []
        for label, kind in enumerate(sorted(random.sample(kinds, self.ways))):
            cell = (group * self.eligible.shape[1] + kind) * 2
            for side, count in zip((arm, 1 - arm), self.halves, strict=True):
                start = int(grouping.starts[cell + side])
                for place in random.sample(range(int(grouping.counts[cell + side])), count):
                    item = DataDescription(int(grouping.order[start + place]))
                    item.transforms.append(functools.partial(self._load, label))
                    description.append(item)
        return description

    def _load(self, label: int, index: int) -> tuple[Tensor, int]:
        return self.dataset.inputs[index], label


@register_taskset(
    "activity",
    TaskCard(
        task="Tell which of five exercises an unseen person does, from a few windows of each.",
        source="smart-watch recordings of Burns et al., 2018, in the package seglearn",
        license="BSD-3-Clause",
        classes=(6, 2, 2),
        items=(1355, 508, 506),
        lengths=(100, 100),
        splits="person",
        measure="accuracy",
        chance=0.2,
        baseline=("nearest centroid of channel means and standard deviations", 0.79),
        counted="persons",
        extra="series",
    ),
)
def _activity(
    root: str = "~/data",
    *,
    window: int = 100,
    stride: int | None = None,
    arms: str = "both",
    standardise: bool = True,
    across_arms: bool = False,
) -> Sources:
    train, validation, test = (
        Activity(
            root,
            mode,
            window=window,
            stride=stride,
            arms=arms,
            standardise=standardise,
            across_arms=across_arms,
        )
        for mode in PERSONS
    )
    return train, validation, test


class _Recorded(NamedTuple):
    steps: tuple[Tensor, ...]  # of each recording, (S, 6)
    exercises: NDArray[np.int64]
    persons: list[int]
    arms: list[int]  # 0 left, 1 right
    names: tuple[str, ...]


@functools.lru_cache(maxsize=1)
def _recorded() -> _Recorded:
    datasets = require("seglearn.datasets", extra="series", purpose="the task set 'activity'")
    found = datasets.load_watch()
    return _Recorded(
        tuple(torch.from_numpy(np.asarray(steps, dtype=np.float32)) for steps in found["X"]),
        np.asarray(found["y"], dtype=np.int64),
        [int(person) for person in found["subject"]],
        [int(arm) for arm in found["side"]],
        tuple(map(str, found["y_labels"])),
    )


def _windows(
    persons: tuple[int, ...], window: int, stride: int, arms: str
) -> tuple[Tensor, Tensor]:
    """Cut the recordings of some persons; returns windows and the recording of each."""
    recorded = _recorded()
    cuts, recordings = [torch.empty(0, window, CHANNELS)], []
    for i, steps in enumerate(recorded.steps):
        chosen = recorded.persons[i] in persons and recorded.arms[i] in ARMS[arms]
        if chosen and len(steps) >= window:
            cuts.append(steps.unfold(0, window, stride).mT)
            recordings += [i] * len(cuts[-1])
    if not recordings:
        longest = max(map(len, recorded.steps))
        raise DataError(
            f"Activity: no recording has window={window} steps, the longest has {longest}; "
            "shorten the window"
        )
    return torch.cat(cuts).contiguous(), torch.tensor(recordings)


@functools.lru_cache(maxsize=8)
def _train_moments(window: int, stride: int, arms: str) -> tuple[Tensor, Tensor]:
    return channel_moments(_windows(PERSONS["train"], window, stride, arms)[0])
