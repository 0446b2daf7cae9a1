"""Cached recordings of transitions, and the inputs and targets made from them."""

from __future__ import annotations

import functools
import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.data.cache import cached_arrays
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.tasksets.series.environments import ENVIRONMENTS, draw_variants
from l2l_rnn.tasksets.series.rollouts import record_transitions, simulator_versions

VERSION = 1  # version of the recording code; arrays cached by another version are ignored

Arrays = dict[str, NDArray[Any]]


def recorded_transitions(root: str | os.PathLike[str], options: dict[str, Any]) -> Arrays:
    """Return the transitions of all splits, recorded on first use and cached under `root`.

    Args:
        root: folder of the cache.
        options: the options of `Dynamics` that determine the transitions.

    Returns:
        For each split, named like `"train states"`: the arrays of `record_transitions`, and
        `variants`, the parameters of each variant.

    Raises:
        MissingExtraError: a package that simulates the environment is not installed.
    """
    environment = options["environment"]
    versions = {**simulator_versions(ENVIRONMENTS[environment]), "making": VERSION}
    build = functools.partial(_record_splits, options)
    return cached_arrays(root, f"dynamics-{environment}", {**options, **versions}, build)


def steps_and_changes(arrays: Arrays, split: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the steps of a split, and the change of the state after each step.

    Shapes:
        steps `(variants, transitions, state + action)`, changes `(variants, transitions, state)`.
    """
    states, actions = arrays[f"{split} states"], arrays[f"{split} actions"]
    return np.concatenate([states, actions], -1), arrays[f"{split} following"] - states


def moments(values: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Compute the mean and standard deviation of each feature; a standard deviation of 0 becomes 1.

    Shapes:
        values `(…, F)` -> `(F,)` and `(F,)`.
    """
    flat = values.reshape(-1, values.shape[-1])
    std = flat.std(0)
    return torch.from_numpy(flat.mean(0)), torch.from_numpy(np.where(std > 0, std, 1.0))


def episode_windows(steps: NDArray[Any], episodes: NDArray[Any], history: int) -> NDArray[Any]:
    """Return the last h steps of the episode at each step, padded with NaN at the end.

    Shapes:
        steps `(variants, transitions, F)`, episodes `(variants, transitions)` ->
        `(variants * transitions, h, F)`.
    """
    count, each, features = steps.shape
    begins = np.diff(episodes, axis=1, prepend=-1) != 0
    start = np.maximum.accumulate(np.where(begins, np.arange(each), 0), axis=1)
    first = np.maximum(start, np.arange(each) - history + 1)  # (variants, transitions)
    at = first[..., None] + np.arange(history)
    inside = at <= np.arange(each)[:, None]
    windows = steps[np.arange(count)[:, None, None], np.where(inside, at, 0)]
    windows[~inside] = np.nan
    return windows.reshape(count * each, history, features)


def _record_splits(options: dict[str, Any]) -> Arrays:
    environment = ENVIRONMENTS[options["environment"]]
    arrays = {}
    for number, split in enumerate(SPLITS):
        generator = np.random.default_rng([options["seed"], number])
        count = options["variants"] if split == "train" else options["variants"] // 4
        outside = options["extrapolate"] and split == "test"
        variants = draw_variants(environment, count, options["broken"], outside, generator)
        recorded = record_transitions(
            environment, variants, options["transitions"], options["horizon"], generator
        )
        arrays.update({f"{split} {part}": array for part, array in recorded.items()})
        arrays[f"{split} variants"] = variants
    return arrays
