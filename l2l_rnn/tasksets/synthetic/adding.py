"""The adding problem with weights that change from task to task."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.functional import mean_squared_error
from l2l_rnn.tasksets.registration import register_family
from l2l_rnn.tasksets.task_family import TaskFamily


@register_family(
    "adding",
    TaskCard(
        task="Predict a weighted sum of the two marked numbers of a sequence, with weights "
        "inferred from a few examples.",
        source="drawn after S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, "
        "section 5.4",
        license="none needed",
        classes=None,
        items=None,
        lengths=(51, 51),
        splits="random; weights are drawn independently",
        measure="mean squared error relative to predicting 0 (best 0)",
        chance=1.0,
        baseline=("least squares on the two marked numbers", 0.0),
    ),
)
class Adding(TaskFamily):
    """Weighted sum of two marked numbers, with the first one `lag` steps before the end.

    A step holds a number, uniform in [-1, 1], and a mark: 1 at the first step, -1 at a random later
    step, 0 elsewhere. The target is `a u + b v`, where u and v are the marked numbers and a and b
    are the weights of the task, uniform in [-1, 1]. Two examples determine the weights. The error
    is the mean squared error divided by `2/9`, the mean squared error of always predicting 0.

    Args:
        lag: `k`, steps from the first marked number to the end; a sequence has `k + 1` steps.

    Attributes:
        optimum: the lowest possible error, 0.

    Shapes:
        inputs `(N, B, k + 1, 2)`, targets `(N, B, 1)`.

    Raises:
        ArgumentError: `lag` is not a positive integer.

    Example:
        >>> batch = Adding(lag=20).draw(tasks=4, shots=10, queries=10)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 21, 2]), torch.Size([4, 10, 1]))

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, section 5.4. In the
    paper a = b, and both marks are the same. Here the marks differ, because the weights do.
    """

    input_size, output_size = 2, 1
    optimum = 0.0
    VARIANCE = 2 / 9  # variance of a target: E a^2 E u^2 + E b^2 E v^2

    def __init__(self, lag: int = 50) -> None:
        self.lag = check_int("Adding", "lag", lag)

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return 2 * torch.rand(tasks, 2, generator=generator) - 1

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        shape = (len(parameters), count)
        numbers = 2 * torch.rand(*shape, self.lag + 1, generator=generator) - 1  # (N, B, S)
        second = torch.randint(1, self.lag + 1, (*shape, 1), generator=generator)
        marks = torch.zeros_like(numbers).scatter_(-1, second, -1.0)
        marks[..., 0] = 1
        pair = torch.cat([numbers[..., :1], numbers.gather(-1, second)], -1)  # (N, B, 2)
        return torch.stack([numbers, marks], -1), pair @ parameters.unsqueeze(-1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return mean_squared_error(outputs, targets) / self.VARIANCE
