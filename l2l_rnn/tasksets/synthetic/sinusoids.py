"""Regression of sine waves with unknown amplitude and phase."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from l2l_rnn.data.cards import TaskCard
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.tasksets.registration import register_family
from l2l_rnn.tasksets.task_family import TaskFamily


@register_family(
    "sinusoids",
    TaskCard(
        task="Predict a sine wave of unknown amplitude and phase from a few of its points.",
        source="drawn as in C. Finn, P. Abbeel and S. Levine, 2017, Model-Agnostic Meta-Learning "
        "for Fast Adaptation of Deep Networks, section 5.1",
        license="none needed",
        classes=None,
        items=None,
        lengths=(1, 1),
        splits="random; waves are drawn independently",
        measure="mean squared error (best 0)",
        chance=4.25,
        baseline=("the nearest of 5 points", 4.03),
    ),
)
class Sinusoids(TaskFamily):
    """Regression of sine waves `y = a sin(x - p)`; a task is an amplitude and a phase.

    `a` is uniform in [0.1, 5], `p` in [0, pi] and `x` in [-5, 5]. There is no noise: two examples
    determine the wave, by least squares on `sin x` and `cos x`. The error is the mean squared
    error.

    Attributes:
        optimum: the lowest possible error, 0.

    Shapes:
        inputs `(N, B, 1)`, targets `(N, B, 1)`.

    Example:
        >>> batch = Sinusoids().draw(tasks=4, shots=5, queries=10)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 5, 1]), torch.Size([4, 10, 1]))

    Source: C. Finn, P. Abbeel and S. Levine, 2017, Model-Agnostic Meta-Learning for Fast Adaptation
    of Deep Networks, section 5.1.
    """

    input_size = output_size = 1
    optimum = 0.0

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        a = 0.1 + 4.9 * torch.rand(tasks, generator=generator)
        return torch.stack([a, math.pi * torch.rand(tasks, generator=generator)], -1)

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        x = 10 * torch.rand(len(parameters), count, 1, generator=generator) - 5
        a, p = parameters[:, :, None, None].unbind(1)
        return x, a * torch.sin(x - p)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets)
