"""Classification of exercises from smartwatch recordings, one person per task."""

from __future__ import annotations

import functools
import os
import random
from typing import Any

import torch
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor

from l2l_rnn.checks import check_choice, check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.sampling import Grouping
from l2l_rnn.data.splits import check_split
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, check_counts
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.series.watch_recordings import (
    ARMS,
    PAIRS,
    cut_windows,
    load_recordings,
    persons_of,
    train_moments,
)


@register_dataset(
    "activity",
    TaskCard(
        task="Classify exercises of an unseen person from a few windows of smartwatch data.",
        source="smartwatch recordings of Burns et al., 2018, in the package seglearn",
        license="BSD-3-Clause",
        classes=(6, 2, 2),
        items=(1355, 508, 506),
        lengths=(100, 100),
        splits="disjoint by person",
        measure="accuracy",
        chance=0.2,
        baseline=("nearest centroid of channel means and standard deviations", 0.79),
        counted="persons",
        extra="series",
    ),
)
class Activity(GroupedDataset):
    """Windows of smartwatch recordings, labeled by exercise; a task is a person.

    Ten people did seven shoulder exercises with each arm. A watch recorded acceleration and angular
    velocity along three axes at 50 Hz. The recordings ship with the package seglearn: nothing is
    downloaded, and `root` is neither read nor written.

    A task has some of the exercises of one person; the support set shows how this person does them.
    Persons 1-6 are train, 7 and 8 validation, 9 and 10 test. The option `fold` rotates them, so
    that a cross-validation can test on all persons.

    Each recording is cut into windows that do not overlap; an incomplete last window is dropped.
    Each person did each exercise once per arm, so windows of one recording, even adjacent ones, can
    be in both the support and the query set. Two options make tasks harder: a stride longer than
    the window leaves gaps between windows, and `across_arms` takes support and query from different
    arms. With 5 exercises and 5 windows each, the nearest centroid of channel means and standard
    deviations has an accuracy of 0.95 for a single arm, 0.79 for both arms mixed, and 0.59 across
    arms.

    Args:
        root: ignored; accepted for compatibility with learn2learn's datasets.
        split: `"train"`, `"validation"` or `"test"`.
        window: `S`, steps per window, at 50 steps per second.
        stride: steps from the start of one window to the start of the next, at least `window`; None
            uses `window`.
        arms: arms whose recordings are used: `"left"`, `"right"` or `"both"`.
        standardize: whether to standardize each channel by the mean and standard deviation of the
            train windows.
        across_arms: whether to take the support set of a task from one arm, and its query set from
            the other. In tasks from a learn2learn `Taskset`, the first half of each class's samples
            is from one arm, so set shots to half of the samples.

        fold: the pair of persons that is test, from 0 for persons 1 and 2 to 4 for 9 and 10. The
            pair before it is validation, and before the first comes the last.

    Attributes:
        inputs: the windows.
        targets: exercise of each window.
        groups: person of each window.
        classes: names of the exercises: PEN (pendulum), ABD (abduction), FEL (forward elevation),
            IR and ER (internal and external rotation), TRAP, ROW.
        group_names: the persons.
        recordings: recording of each window.
        by_arm: windows grouped by person, exercise and arm.

    Shapes:
        inputs (items, S, 6) float32; targets, groups, recordings (items,) int64.

    Raises:
        UnknownNameError: `split` or `arms` is unknown.
        ArgumentError: `window` is not a positive integer, `stride` is less than `window`,
            `across_arms` is set with a single arm, or `fold` is not from 0 to 4.
        DataError: all recordings are shorter than the window.
        MissingExtraError: seglearn is not installed.

    Example:
        >>> dataset = Activity(split="test")
        >>> dataset.group_names, dataset.inputs.shape
        (('person 9', 'person 10'), torch.Size([506, 100, 6]))

    Source: D. M. Burns et al., 2018, Shoulder physiotherapy exercise recognition: machine learning
    the inertial signals from a smartwatch; D. M. Burns and C. M. Whyne, 2018, Seglearn.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
        *,
        window: int = 100,
        stride: int | None = None,
        arms: str = "both",
        standardize: bool = True,
        across_arms: bool = False,
        fold: int = len(PAIRS) - 1,
    ) -> None:
        check_split("Activity", split)
        fold = check_int("Activity", "fold", fold, least=0, most=len(PAIRS) - 1)
        check_choice("Activity", "arms", arms, ARMS)
        window = check_int("Activity", "window", window)
        stride = window if stride is None else check_int("Activity", "stride", stride)
        if stride < window:
            raise ArgumentError(
                f"Activity: stride must be at least window={window}, so that support and query "
                f"share no steps, got {stride}; raise stride"
            )
        if across_arms and arms != "both":
            raise ArgumentError(
                f"Activity: across_arms=True requires arms='both', got {arms!r}; drop one of them"
            )
        self.split, self.across_arms = split, across_arms
        self.support_is_half = across_arms
        persons = persons_of(split, fold)
        windows, self.recordings = cut_windows(persons, window, stride, arms)
        if standardize:
            mean, std = train_moments(window, stride, arms, fold)
            windows = (windows - mean) / std
        recorded = load_recordings()
        owners = torch.tensor([persons.index(p) if p in persons else -1 for p in recorded.persons])
        super().__init__(
            windows,
            torch.from_numpy(recorded.exercises)[self.recordings],
            owners[self.recordings],
            recorded.names,
            [f"person {person}" for person in persons],
        )
        # A cell holds the windows of one person, one exercise and one arm.
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
        return self._batch(support, query)

    def recipe(self, ways: int, samples: int) -> Recipe:
        if not self.across_arms:
            return super().recipe(ways, samples)
        return self.meta(), [_AcrossArms(self, self._ways(ways), samples)]

    def eligible_across(self, ways: int, each: int) -> Tensor:
        """Return whether each person has enough windows per arm of each exercise, `(G, kinds)`."""
        counts = self.by_arm.counts.view(len(self.group_names), -1, 2)
        eligible = counts.amin(-1) >= each
        if int(eligible.sum(-1).max()) < ways:
            raise DataError(
                f"Activity: a person must have {each} windows of each arm for {ways} exercises, "
                "got no such person; lower the samples or ways, or shorten the window"
            )
        return eligible


class _AcrossArms:
    """Task transform for learn2learn: half of each class's samples from each arm."""

    def __init__(self, dataset: Activity, ways: int, samples: int) -> None:
        self.dataset, self.ways = dataset, ways
        self.halves = samples // 2, samples - samples // 2
        self.eligible = dataset.eligible_across(ways, self.halves[1])
        self.able = (self.eligible.sum(-1) >= ways).nonzero().squeeze(-1).tolist()

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task with Python's `random`, as learn2learn's transforms do."""
        grouping = self.dataset.by_arm
        group, arm = random.choice(self.able), random.randrange(2)
        kinds = self.eligible[group].nonzero().flatten().tolist()
        description = []
        for label, kind in enumerate(sorted(random.sample(kinds, self.ways))):
            cell = (group * self.eligible.shape[1] + kind) * 2
            for chosen, count in zip((arm, 1 - arm), self.halves, strict=True):
                start = int(grouping.starts[cell + chosen])
                for place in random.sample(range(int(grouping.counts[cell + chosen])), count):
                    item = DataDescription(int(grouping.order[start + place]))
                    item.transforms.append(functools.partial(self._load, label))
                    description.append(item)
        return description

    def _load(self, label: int, index: int) -> tuple[Tensor, int]:
        return self.dataset.inputs[index], label
