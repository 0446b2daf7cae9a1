"""Smartwatch recordings of shoulder exercises, cut into windows."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.data.series.moments import channel_moments
from l2l_rnn.errors import DataError
from l2l_rnn.optional import require

PAIRS = ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10))  # of persons, by their number
ARMS = {"both": (0, 1), "left": (0,), "right": (1,)}
CHANNELS = 6


class Recordings(NamedTuple):
    """All recordings, with the exercise, person and arm of each.

    Attributes:
        steps: the recordings, `(S, 6)` each.
        exercises: class of each recording.
        persons: person of each recording, 1 .. 10.
        arms: arm of each recording: 0 left, 1 right.
        names: names of the exercises.
    """

    steps: tuple[Tensor, ...]
    exercises: NDArray[np.int64]
    persons: list[int]
    arms: list[int]
    names: tuple[str, ...]


@functools.lru_cache(maxsize=1)
def load_recordings() -> Recordings:
    """Load the recordings that ship in the package seglearn.

    Raises:
        MissingExtraError: seglearn is not installed.
    """
    datasets = require("seglearn.datasets", extra="series", purpose="the task set 'activity'")
    watch = datasets.load_watch()
    return Recordings(
        tuple(torch.from_numpy(np.asarray(steps, dtype=np.float32)) for steps in watch["X"]),
        np.asarray(watch["y"], dtype=np.int64),
        [int(person) for person in watch["subject"]],
        [int(arm) for arm in watch["side"]],
        tuple(map(str, watch["y_labels"])),
    )


def cut_windows(
    persons: tuple[int, ...], window: int, stride: int, arms: str
) -> tuple[Tensor, Tensor]:
    """Cut the recordings of some persons into windows.

    Shapes:
        returns windows `(items, window, 6)` and the recording of each `(items,)`.

    Raises:
        DataError: all recordings are shorter than the window.
    """
    recorded = load_recordings()
    cuts, recordings = [torch.empty(0, window, CHANNELS)], []
    for i, steps in enumerate(recorded.steps):
        chosen = recorded.persons[i] in persons and recorded.arms[i] in ARMS[arms]
        if chosen and len(steps) >= window:
            cuts.append(steps.unfold(0, window, stride).mT)
            recordings += [i] * len(cuts[-1])
    if not recordings:
        longest = max(map(len, recorded.steps))
        raise DataError(
            f"Activity: window must be at most {longest}, the length of the longest recording, got "
            f"{window}; shorten the window"
        )
    return torch.cat(cuts).contiguous(), torch.tensor(recordings)


def persons_of(split: str, fold: int) -> tuple[int, ...]:
    """Return the persons of a split: a pair is test, the pair before it validation."""
    place = {"test": fold, "validation": (fold - 1) % len(PAIRS)}
    if split in place:
        return PAIRS[place[split]]
    return tuple(p for n, pair in enumerate(PAIRS) if n not in place.values() for p in pair)


@functools.lru_cache(maxsize=16)
def train_moments(window: int, stride: int, arms: str, fold: int) -> tuple[Tensor, Tensor]:
    """Compute the mean and standard deviation of each channel over the train windows."""
    return channel_moments(cut_windows(persons_of("train", fold), window, stride, arms)[0])
