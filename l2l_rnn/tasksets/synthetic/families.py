"""Families of tasks that are drawn rather than stored, each task with an exact answer.

The tasks of a family share a rule and differ in its parameters, which only the support set shows.
All tasks of a batch are drawn at once, from a generator that fixes them.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Generator, Tensor

from l2l_rnn.data import TaskCard
from l2l_rnn.errors import ArgumentError
from l2l_rnn.functional import accuracy, cross_entropy, mean_squared_error
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.task_family import TaskFamily

MODES = ("train", "validation", "test")


class Sinusoids(TaskFamily):
    """Regression of sine waves `y = a sin(x - p)`; a task is an amplitude and a phase.

    `a` is uniform in [0.1, 5], `p` in [0, pi], `x` in [-5, 5]; there is no noise, so that two
    examples tell the wave, by least squares on `sin x` and `cos x`, and the best error is 0. The
    error is the mean squared error.

    Attributes:
        optimum: the least error there is.

    Shapes:
        inputs `(N, B, 1)`, answers `(N, B, 1)`.

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

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return mean_squared_error(outputs, answers)

    def error(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return mean_squared_error(outputs, answers)


class DelayedRecall(TaskFamily):
    """Recall of a symbol shown `lag` steps before the end, renamed by each task in its own way.

    The first step shows a symbol and raises a flag; the steps after it show others, which do not
    count. The answer is the symbol's name in this task, a permutation of the symbols that the
    support set tells. No permutation is in two splits. Answers are certain: the best error, a share
    of wrong names, is 0, and chance is `1 - 1/symbols`.

    Args:
        lag: `k`, steps from the symbol to the end; a sequence has `k + 1`.
        symbols: how many there are.
        mode: `"train"`, `"validation"` or `"test"`.

    Attributes:
        optimum: the least error there is.

    Shapes:
        inputs `(N, B, k + 1, symbols + 1)`, one-hot symbols and the flag; answers `(N, B)`;
        B = shots * symbols.

    Raises:
        ArgumentError: `lag` is not a positive integer, `symbols` not an integer from 3 to 8, or
            `mode` is not known.

    Example:
        >>> batch = DelayedRecall(lag=20).draw(tasks=4, shots=2, queries=3)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 21, 6]), torch.Size([4, 15]))

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, section 5.2 (long time
    lags with distractors); the names that change with the task are this package's.
    """

    optimum = 0.0

    def __init__(self, lag: int, symbols: int = 5, mode: str = "train") -> None:
        _check_count("DelayedRecall", "lag", lag)
        if isinstance(symbols, bool) or not isinstance(symbols, int) or not 3 <= symbols <= 8:
            raise ArgumentError(
                f"DelayedRecall: symbols must be an integer from 3 to 8, got {symbols!r}"
            )
        if mode not in MODES:
            raise ArgumentError(f"DelayedRecall: mode must be one of {MODES}, got {mode!r}")
        self.lag, self.symbols, self.mode = lag, symbols, mode
        self.input_size, self.output_size, self.classes = symbols + 1, symbols, symbols
        every = torch.tensor(list(itertools.permutations(range(symbols))))
        shuffled = every[torch.randperm(len(every), generator=Generator().manual_seed(0))]
        sixth = len(every) // 6
        bounds = {"train": (2 * sixth, None), "validation": (sixth, 2 * sixth), "test": (0, sixth)}
        self.permutations = shuffled[slice(*bounds[mode])]

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return self.permutations[
            torch.randint(len(self.permutations), (tasks,), generator=generator)
        ]

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        tasks = len(parameters)
        shown = torch.arange(self.symbols).repeat_interleave(count).expand(tasks, -1)
        steps = torch.randint(
            self.symbols, (*shown.shape, self.lag + 1), generator=generator
        )  # (N, B, S)
        steps[..., 0] = shown
        flag = torch.zeros(*steps.shape, 1)
        flag[..., 0, :] = 1
        one_hot = torch.nn.functional.one_hot(steps, self.symbols).to(flag.dtype)
        return torch.cat([one_hot, flag], -1), parameters.gather(1, shown)

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return cross_entropy(outputs, answers)

    def error(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return 1 - accuracy(outputs, answers)


class Adding(TaskFamily):
    """Sum of two marked numbers, the first `lag` steps before the end, weighted by each task.

    A step holds a number uniform in [-1, 1] and a mark: 1 at the first step, -1 at one drawn from
    the others, 0 elsewhere. The answer is `a u + b v` of the two marked numbers u and v, with the
    task's own a and b, uniform in [-1, 1]: two examples tell them, and the best error is 0. The
    error is the mean squared error over that of always answering 0, `2/9`.

    Args:
        lag: `k`, steps from the first marked number to the end; a sequence has `k + 1`.

    Attributes:
        optimum: the least error there is.

    Shapes:
        inputs `(N, B, k + 1, 2)`, answers `(N, B, 1)`.

    Raises:
        ArgumentError: `lag` is not a positive integer.

    Example:
        >>> batch = Adding(lag=20).draw(tasks=4, shots=10, queries=10)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 21, 2]), torch.Size([4, 10, 1]))

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, section 5.4, whose
    task is the one with a = b; the two marks differ here, since they are weighted apart.
    """

    input_size, output_size = 2, 1
    optimum = 0.0
    VARIANCE = 2 / 9  # of an answer: E a^2 E u^2 + E b^2 E v^2

    def __init__(self, lag: int) -> None:
        _check_count("Adding", "lag", lag)
        self.lag = lag

    def parameters(self, tasks: int, generator: Generator | None = None) -> Tensor:
        return 2 * torch.rand(tasks, 2, generator=generator) - 1

    def examples(
        self, parameters: Tensor, count: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        shape = (len(parameters), count)
        numbers = 2 * torch.rand(*shape, self.lag + 1, generator=generator) - 1
        second = torch.randint(1, self.lag + 1, (*shape, 1), generator=generator)
        marks = torch.zeros_like(numbers).scatter_(-1, second, -1.0)
        marks[..., 0] = 1
        pair = torch.cat([numbers[..., :1], numbers.gather(-1, second)], -1)  # (N, B, 2)
        return torch.stack([numbers, marks], -1), pair @ parameters.unsqueeze(-1)

    def loss(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return mean_squared_error(outputs, answers)

    def error(self, outputs: Tensor, answers: Tensor) -> Tensor:
        return mean_squared_error(outputs, answers) / self.VARIANCE


def _check_count(who: str, name: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"{who}: {name} must be a positive integer, got {count!r}")


@register_taskset(
    "sinusoids",
    TaskCard(
        task="Predict a sine wave of unknown height and phase from a few of its points.",
        source="drawn as in C. Finn, P. Abbeel and S. Levine, 2017, Model-Agnostic Meta-Learning "
        "for Fast Adaptation of Deep Networks, section 5.1",
        license="none needed",
        classes=None,
        items=None,
        lengths=(1, 1),
        splits="a wave but by chance: its numbers are continuous",
        measure="mean squared error (best 0)",
        chance=4.25,
        baseline=("the nearest of 5 points", 4.03),
    ),
)
def _sinusoids(root: str = "~/data") -> Sources:
    return Sinusoids(), Sinusoids(), Sinusoids()


@register_taskset(
    "lags",
    TaskCard(
        task="Name the symbol shown 50 steps before, as a task's examples name it.",
        source="drawn after S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, "
        "section 5.2",
        license="none needed",
        classes=None,
        items=None,
        lengths=(51, 51),
        splits="a permutation of the five names",
        measure="accuracy (best 1)",
        chance=0.2,
        baseline=("the name of the same first step in the support set", 1.0),
    ),
)
def _lags(root: str = "~/data", *, lag: int = 50, symbols: int = 5) -> Sources:
    train, validation, test = (DelayedRecall(lag, symbols, mode) for mode in MODES)
    return train, validation, test


@register_taskset(
    "adding",
    TaskCard(
        task="Add two marked numbers of a sequence, weighted as in a task's examples.",
        source="drawn after S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, "
        "section 5.4",
        license="none needed",
        classes=None,
        items=None,
        lengths=(51, 51),
        splits="a pair of weights but by chance: they are continuous",
        measure="squared error over that of answering 0 (best 0)",
        chance=1.0,
        baseline=("least squares on the two marked numbers", 0.0),
    ),
)
def _adding(root: str = "~/data", *, lag: int = 50) -> Sources:
    return Adding(lag), Adding(lag), Adding(lag)
