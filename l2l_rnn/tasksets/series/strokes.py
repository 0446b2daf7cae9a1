"""Characters told apart by the strokes of a pen: one-shot recognition, as Omniglot asks it."""

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

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.sequence_dataset import SequenceDataset
from l2l_rnn.errors import ArgumentError, UnknownNameError
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.series.stroke_glyphs import MODES, SPLIT_OF, drawings, script, turns

Floats = NDArray[np.float64]


class Strokes(SequenceDataset):
    """Holds characters as a pen draws them, point by point, each labelled with its character.

    The drawings are those of the Hershey vector fonts, as they ship inside the package
    Hershey-Fonts: Latin letters in eleven fonts, digits in seven, Greek and Cyrillic letters in
    one or two. Nothing is downloaded, and nothing is read from `root` or written there. A step is
    `(dx, dy, lift)`: the offset from the point before, x to the right and y upward, and 1 where
    the pen lifts after it. The first offset is from the character's centre, so that its size and
    height on the line are kept. Offsets are divided by `scale`.

    A class is a character at one of the angles 0, 90, 180 and 270 degrees, but those at which it
    looks as another class does. All angles of a character stand in one split, and so do characters
    that look alike (c and C; l, I and 1; b, d, p, q, 6 and 9). Japanese characters, of one font
    each, are in train alone. The samples of a class take its fonts in turn, each time disturbed
    anew: a turn of up to 10 degrees, a shear of up to 0.2, stretches of up to 15 percent, a shift
    of up to 0.08 and noise of 0.01 at each point, in heights of a capital.

    Args:
        root: unused; accepted since learn2learn's datasets take it.
        mode: the split, `"train"`, `"validation"` or `"test"`.
        transform: applied to each sequence at look-up; None leaves it.
        target_transform: applied to each label at look-up; None leaves it.
        download: unused, as `root` is.
        samples: items of each class.
        rotations: whether turned characters are classes too; else there are upright ones alone.
        jitter: factor of all disturbances, more than 0.
        seed: fixes the disturbances.

    Attributes:
        sequences: the steps of each item, padded with NaN.
        labels: the class of each item.
        classes: script, character and angle of each label, such as `"latin/A@90"`.
        fonts: the font of each item.
        scale: the standard deviation of an offset in the undisturbed drawings of train, in heights
            of a capital.

    Shapes:
        sequences: (items, S, 3) float32; S is alike in all splits.
        labels: (items,) int64.

    Raises:
        UnknownNameError: `mode` is not known.
        ArgumentError: `samples` is not a positive integer, `seed` no such integer or 0, `jitter`
            not a finite number above 0, or `rotations` no bool.
        MissingExtraError: Hershey-Fonts is not installed.

    Example:
        >>> dataset = Strokes(mode="test", samples=5)
        >>> dataset.classes[:3]
        ('latin/5@0', 'latin/5@90', 'latin/5@180')
        >>> sequence, label = dataset[0]
        >>> sequence.shape
        torch.Size([124, 3])

    Source: the form of a step: D. Ha and D. Eck, 2017, A Neural Representation of Sketch Drawings,
    section 3.1; classes by rotation: A. Santoro et al., 2016, Meta-Learning with Memory-Augmented
    Neural Networks, section 4; the task: B. Lake, R. Salakhutdinov and J. Tenenbaum, 2015,
    Human-level Concept Learning Through Probabilistic Program Induction.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] = "~/data",
        mode: str = "train",
        transform: Callable[[Tensor], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
        download: bool = False,
        *,
        samples: int = 20,
        rotations: bool = True,
        jitter: float = 1.0,
        seed: int = 0,
    ) -> None:
        _check(mode, samples, rotations, jitter, seed)
        self.root = os.path.expanduser(root)
        self.mode = mode
        self.scale = _scale()
        characters = [c for c in drawings() if SPLIT_OF[c] == mode]
        kept = [(c, turn) for c in characters for turn in (turns(c) if rotations else (0,))]
        chosen = []  # the drawing of each item
        for character, _ in kept:
            own = drawings()[character]
            chosen += [own[i % len(own)] for i in range(samples)]
        self.fonts = tuple(drawing.font for drawing in chosen)
        points = _padded([drawing.points for drawing in chosen])
        angles = np.repeat([math.radians(turn) for _, turn in kept], samples)
        generator = np.random.default_rng([seed, MODES.index(mode)])
        points[..., :2] = _disturbed(points[..., :2], angles, jitter, generator)
        points[..., :2] = np.diff(points[..., :2], axis=1, prepend=0) / self.scale
        super().__init__(
            torch.from_numpy(points.astype(np.float32)),
            torch.arange(len(kept)).repeat_interleave(samples),
            classes=[f"{script(c)}/{c}@{turn}" for c, turn in kept],
            transform=transform,
            target_transform=target_transform,
        )


@register_taskset(
    "strokes",
    TaskCard(
        task="Tell which of five unseen characters the strokes of a pen draw, some of them turned.",
        source="A. V. Hershey's vector fonts, in the package Hershey-Fonts",
        license="MIT",
        classes=(414, 76, 88),
        items=(8280, 1520, 1760),
        lengths=(2, 124),
        splits="character, nor characters that look alike",
        measure="accuracy",
        chance=0.2,
        baseline=("nearest neighbour of 32 points along the strokes", 0.875),
        extra="strokes",
    ),
)
def _strokes(
    root: str = "~/data",
    *,
    samples: int = 20,
    rotations: bool = True,
    jitter: float = 1.0,
    seed: int = 0,
) -> Sources:
    train, validation, test = (
        Strokes(root, mode, samples=samples, rotations=rotations, jitter=jitter, seed=seed)
        for mode in MODES
    )
    return train, validation, test


def _padded(points: list[Floats]) -> Floats:
    """Pad points with NaN to the longest drawing there is, of any split."""
    steps = max(len(drawing.points) for own in drawings().values() for drawing in own)
    padded = np.full((len(points), steps, 3), np.nan)
    for row, drawn in zip(padded, points, strict=True):
        row[: len(drawn)] = drawn
    return padded


def _disturbed(
    points: Floats, angles: Floats, jitter: float, generator: np.random.Generator
) -> Floats:
    """Turn each item `(items, S, 2)` by its angle, then disturb it."""
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


def _check(mode: object, samples: object, rotations: object, jitter: object, seed: object) -> None:
    if mode not in MODES:
        raise UnknownNameError(f"Strokes: unknown mode {mode!r}. Known: {', '.join(MODES)}")
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise ArgumentError(f"Strokes: samples must be a positive integer, got {samples!r}")
    if not isinstance(rotations, bool):
        raise ArgumentError(f"Strokes: rotations must be True or False, got {rotations!r}")
    numeric = isinstance(jitter, int | float) and not isinstance(jitter, bool)
    if not numeric or not 0 < jitter < math.inf:  # type: ignore[operator]
        raise ArgumentError(
            f"Strokes: jitter must be a finite number above 0, got {jitter!r}; "
            "0.1 disturbs a little"
        )
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ArgumentError(f"Strokes: seed must be an integer of 0 or more, got {seed!r}")
