"""Regression of noisy sums of two waves, one at twice the frequency of the other."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Generator, Tensor

from l2l_rnn.data import TaskCard
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.task_family import TaskFamily


class Harmonics(TaskFamily):
    """Regression of `y = a1 sin(w x + b1) + a2 sin(2 w x + b2) + e`; a task is a, b, w and a place.

    `a1` and `a2` are standard normal, `b1` and `b2` uniform in [0, 2 pi], `w` in [5, 7]; `x` is
    normal with deviation 1 about the task's own mean, uniform in [-4, 4]; the noise `e` is normal.
    The error is the mean squared error: the waves without their noise get its variance, and nobody
    can get less; always answering 0 gets 1 more.

    Args:
        noise: the deviation of `e`.

    Attributes:
        optimum: the least error there is, `noise ** 2`.

    Shapes:
        inputs `(N, B, 1)`, answers `(N, B, 1)`.

    Raises:
        ArgumentError: `noise` is not a finite number of 0 or more.

    Example:
        >>> batch = Harmonics().draw(tasks=4, shots=10, queries=10)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 1]), torch.Size([4, 10, 1]))

    Source: A. Lacoste, B. Oreshkin, W. Chung, T. Boquet, N. Rostamzadeh and D. Krueger, 2018,
    Uncertainty in Multitask Transfer Learning: the harmonic functions, drawn as the package
    torchmeta draws them after that paper. The size of the noise, 0.1, is this package's.
    """

    input_size = output_size = 1
    _shown: ClassVar[tuple[str, ...]] = ("noise",)

    def __init__(self, noise: float = 0.1) -> None:
        number = isinstance(noise, (int, float)) and not isinstance(noise, bool)
        if not number or not 0 <= noise < math.inf:
            raise ArgumentError(
                f"Harmonics: noise must be a finite number of 0 or more, got {noise!r}"
            )
        self.noise = noise

    @property
    def optimum(self) -> float:
        return self.noise**2

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        """Draw a1, a2, b1, b2, w and the inputs' mean, `(N, 6)`."""
        amplitudes = torch.randn(tasks, 2, generator=generator)
        uniform = torch.rand(tasks, 4, generator=generator)
        low, width = torch.tensor([[0, 0, 5, -4], [2 * math.pi, 2 * math.pi, 2, 8]])
        return torch.cat([amplitudes, low + width * uniform], -1)

    def signal(self, parameters: Tensor, inputs: Tensor) -> Tensor:
        """Compute the waves without noise, which no prediction is better than.

        Shapes:
            parameters `(N, 6)`, inputs `(N, B, 1)` -> `(N, B, 1)`.
        """
        a1, a2, b1, b2, w, _ = parameters[..., None, None].unbind(1)
        return a1 * torch.sin(w * inputs + b1) + a2 * torch.sin(2 * w * inputs + b2)

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        drawn = torch.randn(2, len(parameters), count, 1, generator=generator)
        inputs = parameters[:, 5, None, None] + drawn[0]
        return inputs, self.signal(parameters, inputs) + self.noise * drawn[1]

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return mean_squared_error(outputs, answers)

    def error(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return mean_squared_error(outputs, answers)


@register_taskset(
    "harmonics",
    TaskCard(
        task="Predict a noisy sum of two waves from a few of its points.",
        source="drawn after A. Lacoste et al., 2018, Uncertainty in Multitask Transfer Learning",
        license="none needed",
        classes=None,
        items=None,
        lengths=(1, 1),
        splits="a wave but by chance: its numbers are continuous",
        measure="mean squared error (best 0.01)",
        chance=1.01,
        baseline=("the best linear predictor from 5 points", 0.47),
    ),
)
def _harmonics(root: str = "~/data", *, noise: float = 0.1) -> Sources:
    family = Harmonics(noise)
    return family, family, family
