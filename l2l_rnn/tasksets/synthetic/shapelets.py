"""Classification of drawn series: outlines, shapelets, spectra and trends, warped and noisy."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.tasksets.registration import register_family
from l2l_rnn.tasksets.task_family import TaskFamily

HARMONICS = 16  # of an outline
_KINDS = 4  # outline, shapelet, spectrum, trend
_PER_TASK = _KINDS + 8
_PER_CLASS = 2 * HARMONICS + 8 + 4 + 3


class _Task(NamedTuple):
    """What the classes of a task share, each `(N, 1, 1, 1)`; the weights are `(N, 1, 1, 4)`."""

    weights: Tensor  # of the four kinds of patterns
    decay: Tensor  # of the amplitudes of harmonics, with their number
    warp: Tensor  # strength of the warps
    shift: Tensor  # largest circular shift, as a share of the series
    deformation: Tensor  # smooth differences between series of one class
    noise: Tensor  # standard deviation of the noise
    wander: Tensor  # share of the noise that is a random walk
    drift: Tensor  # how far a shapelet may be from its place
    hidden: Tensor  # probability that a shapelet is missing


class _Classes(NamedTuple):
    """What the series of a class have in common, each `(N, C, 1, ·)`."""

    outline: Tensor  # amplitudes of sines and cosines, (…, 2, HARMONICS)
    shapelet: Tensor  # place, width, frequency, phase, height, slope, and the same of a second one
    spectrum: Tensor  # two frequencies and their amplitudes
    trend: Tensor  # coefficients of a cubic polynomial


@register_family(
    "shapelets",
    TaskCard(
        task="Classify drawn series by their outline, shapelets, spectrum or trend.",
        source="drawn; after the kinds of series in the UCR archive",
        license="none needed",
        classes=None,
        items=None,
        lengths=(128, 128),
        splits="random; classes are drawn independently",
        measure="accuracy",
        chance=0.2,
        baseline=("nearest neighbor by Euclidean distance", 0.64),
    ),
)
class Shapelets(TaskFamily):
    """Classification of drawn series whose classes differ in one or several kinds of patterns.

    A series is a sum of an outline (a smooth periodic curve), one or two shapelets (short
    oscillations at a place), a spectrum (two frequencies with random phases) and a trend (a cubic
    polynomial). A task draws the share of each, and how series of one class differ: by warps of
    time, circular shifts, smooth deformations, moved or missing shapelets, white noise and random
    walks. The classes of a task share a part of their patterns, so that some tasks are fine-grained
    and others are easy. The error is one minus the accuracy.

    A learner for series of unknown kinds can be trained on these tasks, alone or with real ones.

    Args:
        ways: `C`, classes of a task.
        length: `S`, steps of a series.

    Attributes:
        optimum: a lower bound of the error, 0.

    Shapes:
        inputs `(N, B, S, 1)`, targets `(N, B)`; B = shots * ways.

    Raises:
        ArgumentError: `ways` is not an integer of at least 2, or `length` not one of at least 8.

    Example:
        >>> batch = Shapelets(ways=3, length=64).draw(tasks=4, shots=2, queries=5)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 6, 64, 1]), torch.Size([4, 15]))

    Source: the kinds of patterns are those named by A. Bagnall et al., 2017, The Great Time Series
    Classification Bake Off, section 2; the distributions are choices made here.
    """

    input_size, optimum = 1, 0.0

    def __init__(self, ways: int = 5, length: int = 128) -> None:
        self.ways = check_int("Shapelets", "ways", ways, least=2)
        self.length = check_int("Shapelets", "length", length, least=8)
        self.classes = self.output_size = self.ways

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        """Draw what defines N tasks, `(N, 12 + ways * 47)`: one part is shared by the classes."""
        shared = torch.rand(tasks, _PER_TASK, generator=generator)
        base = torch.randn(tasks, 1, _PER_CLASS, generator=generator)
        own = torch.randn(tasks, self.ways, _PER_CLASS, generator=generator)
        # How much of each pattern the classes have of their own.
        share = torch.rand(tasks, 1, 1, generator=generator) * 0.9 + 0.1
        classes = (1 - share).sqrt() * base + share.sqrt() * own
        return torch.cat([shared, classes.flatten(1)], -1)

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        task, classes = self._read(parameters)
        size = (len(parameters), self.ways, count)
        time = self._times(size, task, generator)  # (N, C, B, S)
        parts = [
            self._outlines(time, task, classes, generator),
            self._shapelets(time, task, classes, generator),
            self._spectra(time, classes, generator),
            (classes.trend.unsqueeze(-2) * _powers(time.remainder(1))).sum(-1),
        ]
        x = sum(
            weight * _standard(part)
            for weight, part in zip(task.weights.split(1, -1), parts, strict=True)
        )
        x = _standard(x) + task.noise * self._noises(size, task, generator)
        targets = torch.arange(self.ways).repeat_interleave(count).expand(len(parameters), -1)
        return _standard(x).flatten(1, 2).unsqueeze(-1), targets

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - accuracy(outputs, targets)

    def _read(self, parameters: Tensor) -> tuple[_Task, _Classes]:
        shared = parameters[:, None, None, :_PER_TASK]
        kinds, other = shared.split([_KINDS, _PER_TASK - _KINDS], -1)
        # Few kinds dominate a task, and outlines more often than others.
        odds = (4 * kinds - 2 + torch.tensor([1.5, 0.5, 0.5, -1.0])).mul(1.5).softmax(-1)
        decay, warp, shift, deformation, noise, wander, drift, hidden = other.split(1, -1)
        task = _Task(
            weights=odds,
            decay=0.5 + 1.5 * decay,
            warp=0.06 * warp,
            shift=(1.5 * shift - 0.75).clamp_min(0),  # none in half of the tasks
            deformation=0.1 + 0.7 * deformation,
            noise=0.5 * noise.square(),
            wander=wander,
            drift=0.4 * drift.square(),
            hidden=0.3 * hidden.square(),
        )
        rest = parameters[:, _PER_TASK:].view(len(parameters), self.ways, 1, _PER_CLASS)
        outline, shapelet, spectrum, trend = rest.split([2 * HARMONICS, 8, 4, 3], -1)
        return task, _Classes(outline.unflatten(-1, (2, HARMONICS)), shapelet, spectrum, trend)

    def _times(self, size: tuple[int, ...], task: _Task, generator: Generator | None) -> Tensor:
        """Draw warped and shifted times, from about 0 to 1."""
        time = torch.linspace(0, 1, self.length)
        number = torch.arange(1, 4).unsqueeze(-1)
        waves = torch.sin(math.pi * number * time) / number  # (3, S)
        warps = torch.randn(*size, 3, generator=generator) @ waves
        shift = torch.rand(*size, 1, generator=generator) - 0.5
        return time + task.warp * warps + task.shift * shift

    def _outlines(
        self, time: Tensor, task: _Task, classes: _Classes, generator: Generator | None
    ) -> Tensor:
        number = torch.arange(1, HARMONICS + 1)
        size = number ** -task.decay.unsqueeze(-1)  # (N, 1, 1, 1, K)
        own = torch.randn(*time.shape[:3], 2, HARMONICS, generator=generator)
        deviation = task.deformation.unsqueeze(-1)
        coefficients = size * (classes.outline + deviation * own)  # (N, C, B, 2, K)
        angles = 2 * math.pi * number * time.unsqueeze(-1)  # (N, C, B, S, K)
        waves = torch.stack([angles.sin(), angles.cos()], -2)  # (N, C, B, S, 2, K)
        return (waves.flatten(-2) @ coefficients.flatten(-2).unsqueeze(-1)).squeeze(-1)

    def _shapelets(
        self, time: Tensor, task: _Task, classes: _Classes, generator: Generator | None
    ) -> Tensor:
        total = torch.zeros_like(time)
        for drawn in classes.shapelet.split(4, -1):
            place, width, frequency, phase = drawn.split(1, -1)
            moved = torch.rand(*time.shape[:3], 2, generator=generator)
            center = 0.5 + 0.2 * place + task.drift * (moved[..., :1] - 0.5)
            shown = moved[..., 1:] >= task.hidden
            distance = (time - center.clamp(0.1, 0.9)) / (0.05 * (0.5 * width).exp())
            waves = torch.cos((1 + frequency.abs()) * distance + math.pi * phase)
            total = total + shown * waves * torch.exp(-distance.square() / 4)
        return total

    def _spectra(self, time: Tensor, classes: _Classes, generator: Generator | None) -> Tensor:
        phases = 2 * math.pi * torch.rand(2, *time.shape[:3], 1, generator=generator)
        low, high, one, other = classes.spectrum.split(1, -1)
        first, second = 4 * (0.5 * low).exp(), 12 * (0.5 * high).exp()
        slow = one.exp() * torch.sin(2 * math.pi * first * time + phases[0])
        return slow + other.exp() * torch.sin(2 * math.pi * second * time + phases[1])

    def _noises(self, size: tuple[int, ...], task: _Task, generator: Generator | None) -> Tensor:
        white = torch.randn(*size, self.length, generator=generator)
        walk = _standard(white.cumsum(-1))
        return (1 - task.wander) * white.flip(-1) + task.wander * walk


def _powers(time: Tensor) -> Tensor:
    """Return the first, second and third power of centered times, `(…, 3)`."""
    centered = 2 * time.unsqueeze(-1) - 1
    return torch.cat([centered, centered**2, centered**3], -1)


def _standard(x: Tensor) -> Tensor:
    """Scale series to mean 0 and standard deviation 1."""
    centered = x - x.mean(-1, keepdim=True)
    return centered / centered.square().mean(-1, keepdim=True).sqrt().clamp_min(1e-6)
