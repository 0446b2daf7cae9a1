"""Regression of noisy sums of two sine waves, one at twice the frequency of the other."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_number
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.tasksets.registration import register_family
from l2l_rnn.tasksets.task_family import TaskFamily


@register_family(
    "harmonics",
    TaskCard(
        task="Predict a noisy sum of two sine waves from a few of its points.",
        source="drawn after A. Lacoste et al., 2018, Uncertainty in Multitask Transfer Learning",
        license="none needed",
        classes=None,
        items=None,
        lengths=(1, 1),
        splits="random; waves are drawn independently",
        measure="mean squared error (best 0.01)",
        chance=1.01,
        baseline=("the best linear predictor from 5 points", 0.47),
    ),
)
class Harmonics(TaskFamily):
    """Regression of `y = a1 sin(w x + b1) + a2 sin(2 w x + b2) + e`.

    A task is defined by `a1`, `a2`, `b1`, `b2`, `w` and the mean `m` of its inputs. `a1` and `a2`
    are standard normal, `b1` and `b2` uniform in [0, 2 pi], `w` in [5, 7] and `m` in [-4, 4]. `x`
    is normal with mean `m` and standard deviation 1, and the noise `e` is normal with mean 0. The
    error is the mean squared error. The lowest possible error is the variance of `e`, reached by
    the waves without noise. The error of always predicting 0 is higher by 1.

    Args:
        noise: standard deviation of `e`.

    Attributes:
        optimum: the lowest possible error, `noise ** 2`.

    Shapes:
        inputs `(N, B, 1)`, targets `(N, B, 1)`.

    Raises:
        ArgumentError: `noise` is not a finite number of at least 0.

    Example:
        >>> batch = Harmonics().draw(tasks=4, shots=10, queries=10)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 1]), torch.Size([4, 10, 1]))

    Source: A. Lacoste, B. Oreshkin, W. Chung, T. Boquet, N. Rostamzadeh and D. Krueger, 2018,
    Uncertainty in Multitask Transfer Learning, as implemented in the package torchmeta. The default
    noise of 0.1 is our choice.
    """

    input_size = output_size = 1

    def __init__(self, noise: float = 0.1) -> None:
        self.noise = check_number("Harmonics", "noise", noise, least=0)

    @property
    def optimum(self) -> float:
        return self.noise**2

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        """Draw a1, a2, b1, b2, w and m, `(N, 6)`."""
        amplitudes = torch.randn(tasks, 2, generator=generator)
        uniform = torch.rand(tasks, 4, generator=generator)
        low, span = torch.tensor([[0, 0, 5, -4], [2 * math.pi, 2 * math.pi, 2, 8]])
        return torch.cat([amplitudes, low + span * uniform], -1)

    def signal(self, parameters: Tensor, inputs: Tensor) -> Tensor:
        """Compute the waves without noise, the best possible predictions.

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

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets)
