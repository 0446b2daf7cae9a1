"""Few-shot recognition of characters from pen strokes, in the style of Omniglot."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.data.splits import SPLITS, check_split
from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets.registration import register_dataset
from l2l_rnn.tasksets.series.stroke_glyphs import SPLIT_OF, drawings, script, turns

Floats = NDArray[np.float64]


@register_dataset(
    "strokes",
    TaskCard(
        task="Classify a pen drawing into one of five unseen characters, given a few of each.",
        source="A. V. Hershey's vector fonts, in the package Hershey-Fonts",
        license="MIT",
        classes=(414, 76, 88),
        items=(8280, 1520, 1760),
        lengths=(2, 124),
        splits="disjoint by character, look-alikes included",
        measure="accuracy",
        chance=0.2,
        baseline=("nearest neighbor of 32 points along the strokes", 0.875),
        extra="strokes",
    ),
)
class Strokes(SequenceDataset):
    """Characters as sequences of pen movements, each labeled with its character.

    The drawings come from the Hershey vector fonts, which ship with the package Hershey-Fonts:
    Latin letters in eleven fonts, digits in seven, Greek and Cyrillic letters in one or two.
    Nothing is downloaded, and nothing is read from or written to `root`. A step is
    `(dx, dy, lift)`: the offset from the previous point, with x to the right and y up, and 1 if the
    pen is lifted after the point. The first offset starts at the center of the character, which
    preserves the character's size and its height above the baseline. Offsets are divided by
    `scale`.

    A class is a character at one of the angles 0, 90, 180 and 270 degrees, except for angles at
    which it looks like another class. All angles of a character are in the same split, and so are
    characters that look alike (c and C; l, I and 1; b, d, p, q, 6 and 9). Japanese characters,
    which exist in one font, are in train only. The samples of a class cycle through its fonts. Each
    sample is augmented at random: a rotation of up to 10 degrees, a shear of up to 0.2, scaling of
    up to 15 percent along each axis, a shift of up to 0.08 and noise with standard deviation 0.01
    at each point, in cap heights.

    Args:
        root: ignored; accepted for compatibility with learn2learn's datasets.
        split: `"train"`, `"validation"` or `"test"`.
        transform: function applied to each sequence on access; None leaves it unchanged.
        target_transform: function applied to each label on access; None leaves it unchanged.
        download: ignored, like `root`.
        samples: number of items per class.
        rotations: whether rotated characters are classes too; otherwise every class is upright.
        jitter: strength of all augmentations, a factor above 0.
        seed: random seed of the augmentations.

    Attributes:
        sequences: steps of each item, padded with NaN.
        labels: class of each item.
        classes: script, character and angle of each label, such as `"latin/A@90"`.
        fonts: font of each item.
        scale: standard deviation of the offsets in the train drawings before augmentation, in cap
            heights.

    Shapes:
        sequences: (items, S, 3) float32; S is the same in all splits.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `split` is unknown.
        ArgumentError: `samples` is not a positive integer, `seed` is not a non-negative integer,
            `jitter` is not a finite number above 0, or `rotations` is not a bool.
        MissingExtraError: Hershey-Fonts is not installed.

    Example:
        >>> dataset = Strokes(split="test", samples=5)
        >>> dataset.classes[:3]
        ('latin/5@0', 'latin/5@90', 'latin/5@180')
        >>> sequence, label = dataset[0]
        >>> sequence.shape
        torch.Size([124, 3])

    Source: the format of a step: D. Ha and D. Eck, 2017, A Neural Representation of Sketch
    Drawings, section 3.1; rotations as classes: A. Santoro et al., 2016, Meta-Learning with
    Memory-Augmented Neural Networks, section 4; the task: B. Lake, R. Salakhutdinov and
    J. Tenenbaum, 2015, Human-level Concept Learning Through Probabilistic Program Induction.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        split: str = "train",
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
        *,
        samples: int = 20,
        rotations: bool = True,
        jitter: float = 1.0,
        seed: int = 0,
    ) -> None:
        who = "Strokes"
        self.root = os.path.expanduser(root)
        self.split = check_split(who, split)
        samples = check_int(who, "samples", samples)
        if not isinstance(rotations, bool):
            raise ArgumentError(
                f"{who}: rotations must be True or False, got {rotations!r}; pass a bool"
            )
        fix = "pass a small value such as 0.1 for weak augmentation"
        jitter = check_number(who, "jitter", jitter, above=0, fix=fix)
        seed = check_int(who, "seed", seed, least=0)
        self.scale = _scale()
        characters = [c for c in drawings() if SPLIT_OF[c] == split]
        kept = [(c, turn) for c in characters for turn in (turns(c) if rotations else (0,))]
        chosen = []  # the drawing of each item
        for character, _ in kept:
            own = drawings()[character]
            chosen += [own[i % len(own)] for i in range(samples)]
        self.fonts = tuple(drawing.font for drawing in chosen)
        points = _padded([drawing.points for drawing in chosen])
        angles = np.repeat([math.radians(turn) for _, turn in kept], samples)
        generator = np.random.default_rng([seed, SPLITS.index(self.split)])
        points[..., :2] = _augmented(points[..., :2], angles, jitter, generator)
        points[..., :2] = np.diff(points[..., :2], axis=1, prepend=0) / self.scale
        super().__init__(
            torch.from_numpy(points.astype(np.float32)),
            torch.arange(len(kept)).repeat_interleave(samples),
            classes=[f"{script(c)}/{c}@{turn}" for c, turn in kept],
            transform=transform,
            target_transform=target_transform,
        )


def _padded(points: list[Floats]) -> Floats:
    """Pad points with NaN to the length of the longest drawing in all splits."""
    steps = max(len(drawing.points) for own in drawings().values() for drawing in own)
    padded = np.full((len(points), steps, 3), np.nan)
    for row, drawn in zip(padded, points, strict=True):
        row[: len(drawn)] = drawn
    return padded


def _augmented(
    points: Floats, angles: Floats, jitter: float, generator: np.random.Generator
) -> Floats:
    """Rotate each item of `(items, S, 2)` by its angle in radians, then augment it."""
    items = len(points)
    amount = jitter * generator.uniform(-1, 1, (items, 6))
    stretch, shear, turn, shift = amount[:, :2], amount[:, 2], amount[:, 3], amount[:, 4:]
    affine = np.zeros((items, 2, 2))
    affine[:, [0, 1], [0, 1]] = np.exp(0.15 * stretch)
    affine[:, 0, 1] = 0.2 * shear
    affine = _rotation(math.radians(10) * turn) @ affine @ _rotation(angles)
    noise = 0.01 * jitter * generator.standard_normal(points.shape)
    moved: Floats = points @ affine.swapaxes(1, 2) + 0.08 * shift[:, None] + noise
    return moved


def _rotation(angles: Floats) -> Floats:
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)


@functools.lru_cache(maxsize=1)
def _scale() -> float:
    offsets = [
        np.diff(drawing.points[:, :2], axis=0, prepend=0)
        for character, own in drawings().items()
        if SPLIT_OF[character] == "train"
        for drawing in own
    ]
    return float(np.concatenate(offsets).std())
