"""Recall of a symbol across a long time lag, with labels that change from task to task."""

from __future__ import annotations

import itertools

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.data.splits import check_split
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.tasksets.registration import register_family
from l2l_rnn.tasksets.task_family import TaskFamily


@register_family(
    "lags",
    TaskCard(
        task="Recall the symbol shown 50 steps ago, under labels inferred from a few examples.",
        source="drawn after S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, "
        "section 5.2",
        license="none needed",
        classes=None,
        items=None,
        lengths=(51, 51),
        splits="disjoint by permutation of the five labels",
        measure="accuracy (best 1)",
        chance=0.2,
        baseline=("the label of the support example with the same first step", 1.0),
    ),
)
class DelayedRecall(TaskFamily):
    """Recall of a symbol shown `lag` steps before the end; a task is a relabeling of the symbols.

    The first step shows a symbol and sets a flag. The later steps show distractors: random symbols
    without the flag. The target is the label of the first symbol under the task's permutation,
    which the support set reveals. The splits have no permutation in common. The error is one minus
    the accuracy; at chance level it is `1 - 1/symbols`.

    Args:
        lag: `k`, steps from the symbol to the end; a sequence has `k + 1` steps.
        symbols: number of symbols, from 3 to 8.
        split: `"train"`, `"validation"` or `"test"`.

    Attributes:
        optimum: the lowest possible error, 0.
        permutations: the permutations of the split, one per row.

    Shapes:
        inputs `(N, B, k + 1, symbols + 1)`, one-hot symbols and the flag; targets `(N, B)`;
        B = shots * symbols.

    Raises:
        ArgumentError: `lag` is not a positive integer, or `symbols` not an integer from 3 to 8.
        UnknownNameError: `split` is unknown.

    Example:
        >>> batch = DelayedRecall(lag=20).draw(tasks=4, shots=2, queries=3)
        >>> batch.support_x.shape, batch.query_y.shape
        (torch.Size([4, 10, 21, 6]), torch.Size([4, 15]))

    Source: S. Hochreiter and J. Schmidhuber, 1997, Long Short-Term Memory, section 5.2 (long time
    lags with distractors). Labels that change from task to task are not in the paper.
    """

    optimum = 0.0

    def __init__(self, lag: int = 50, symbols: int = 5, split: str = "train") -> None:
        self.lag = check_int("DelayedRecall", "lag", lag)
        self.symbols = symbols = check_int("DelayedRecall", "symbols", symbols, least=3, most=8)
        self.split = check_split("DelayedRecall", split)
        self.input_size, self.output_size, self.classes = symbols + 1, symbols, symbols
        every = torch.tensor(list(itertools.permutations(range(symbols))))
        shuffled = every[torch.randperm(len(every), generator=Generator().manual_seed(0))]
        sixth = len(every) // 6
        bounds = {"train": (2 * sixth, None), "validation": (sixth, 2 * sixth), "test": (0, sixth)}
        self.permutations = shuffled[slice(*bounds[self.split])]

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

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(outputs, targets)

    def error(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - accuracy(outputs, targets)
