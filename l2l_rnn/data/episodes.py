"""Episodes in Santoro's order: a task's items one after another, each with the label before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError


@dataclass(frozen=True)
class Episodes:
    """Holds N episodes, each of them T items in a row.

    At time t a learner sees item t together with the label of item t - 1, and is to tell the label
    of item t. It can only guess the first item of a class, and may remember it for the others.

    Attributes:
        x: the items; each may itself be a sequence.
        previous: the label of the item before, one-hot; 0 at the first item.
        y: the label of the item.
        instance: how often the item's class has been shown, itself included: 1, 2, …

    Shapes:
        x (N, T, …), such as (N, T, S, F) where items are sequences; previous (N, T, C) float32;
        y, instance (N, T) int64.
    """

    x: Tensor
    previous: Tensor
    y: Tensor
    instance: Tensor

    def __len__(self) -> int:
        """Return `N`."""
        return len(self.x)

    def accuracy_by_instance(self, outputs: Tensor) -> Tensor:
        """Compute the share of items named rightly, of those shown for the 1st, 2nd, … time.

        Args:
            outputs: a score of each class, or the class that is named, int64.

        Shapes:
            outputs (N, T, C) or (N, T); returns (I,), where a class is shown I times at most.

        Raises:
            ShapeError: the outputs are not one for each item.

        Example:
            >>> x, y = torch.randn(2, 6, 3), torch.tensor([0, 0, 0, 1, 1, 1]).expand(2, 6)
            >>> episodes = santoro_episodes(x, y)
            >>> episodes.accuracy_by_instance(episodes.y)
            tensor([1., 1., 1.])
        """
        named = outputs.argmax(-1) if outputs.ndim == 3 else outputs
        if named.shape != self.y.shape:
            raise ShapeError(
                f"Episodes: outputs must be {tuple(self.y.shape)} or "
                f"{tuple(self.previous.shape)}, got {tuple(outputs.shape)}; give one for each item"
            )
        place = self.instance.flatten() - 1
        right = (named == self.y).flatten().float()
        return torch.bincount(place, right).float() / torch.bincount(place)


def santoro_episodes(
    x: Tensor | TaskBatch,
    y: Tensor | None = None,
    generator: Generator | None = None,
    *,
    classes: int | None = None,
) -> Episodes:
    """Lay out N tasks as N episodes: items in random order, the labels shifted by one step.

    Each episode has an order of its own, and its classes are named anew by a random permutation,
    so that no name can be learned from one episode to another.

    Args:
        x: the items of the tasks; or a batch, whose support and query then stand in one row.
        y: the classes of the items, 0 .. C-1; None with a batch.
        generator: fixes the orders and the names, the same on any device; None draws from torch's
            own.
        classes: `C`; None takes one more than the largest label.

    Shapes:
        x (N, T, …), y (N, T) int64; a batch as in `TaskBatch`, T = ways * (shots + queries).

    Raises:
        ArgumentTypeError: `x` is no tensor or batch, or `y` no int64 tensor where one is needed.
        ShapeError: there is not one label for each item, or no item.
        ArgumentError: a label lies outside 0 .. C-1.

    Example:
        >>> x = torch.randn(4, 10, 7, 3)  # 4 tasks of 10 items, of 7 steps with 3 features each
        >>> y = torch.arange(5).repeat_interleave(2).expand(4, -1)
        >>> episodes = santoro_episodes(x, y)
        >>> episodes.x.shape, episodes.previous.shape, episodes.y.shape
        (torch.Size([4, 10, 7, 3]), torch.Size([4, 10, 5]), torch.Size([4, 10]))

    Source: A. Santoro et al., 2016, Meta-Learning with Memory-Augmented Neural Networks, sections 2
    and 4.1 (one-hot labels). There an item is flattened to a vector; here it keeps its steps, for
    an encoder to read first.
    """
    if isinstance(x, TaskBatch):
        if y is not None:
            raise ArgumentError("santoro_episodes: a TaskBatch has its labels; leave y out")
        batch, y = x, torch.cat([x.support_y, x.query_y], 1)
        x = torch.cat([batch.support_x, batch.query_x], 1)
    labels, count = _check(x, y, classes)
    assigned = torch.rand(len(x), count, generator=generator).argsort(-1).to(labels.device)
    order = torch.rand(labels.shape, generator=generator).argsort(-1).to(labels.device)
    named = assigned.gather(1, labels).gather(1, order)
    one_hot = torch.nn.functional.one_hot(named, count)
    instance = one_hot.cumsum(1).gather(-1, named.unsqueeze(-1)).squeeze(-1)
    previous = torch.cat([torch.zeros_like(one_hot[:, :1]), one_hot[:, :-1]], 1)
    rows = torch.arange(len(x), device=x.device).unsqueeze(-1)
    return Episodes(x[rows, order.to(x.device)], previous.float(), named, instance)


def _check(x: object, y: object, classes: object) -> tuple[Tensor, int]:
    """Return the labels and C, or raise what `santoro_episodes` says."""
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(
            f"santoro_episodes: x must be a tensor or a TaskBatch, got {type(x).__name__}"
        )
    if not isinstance(y, Tensor) or y.dtype != torch.int64:
        came = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise ArgumentTypeError(
            f"santoro_episodes: y must be an int64 tensor of classes, got {came}; use y.long()"
        )
    if x.ndim < 2 or y.shape != x.shape[:2] or y.numel() == 0:
        raise ShapeError(
            "santoro_episodes: expected items (N, T, …) and labels (N, T), one item or more, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}; add the axis of tasks"
        )
    low, high = int(y.min()), int(y.max())
    count = high + 1 if classes is None else classes
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ArgumentError(f"santoro_episodes: classes must be a positive integer, got {count!r}")
    if low < 0 or high >= count:
        raise ArgumentError(
            f"santoro_episodes: labels must lie in 0 .. {count - 1}, got {low} .. {high}; "
            "rename the classes of each task, or raise classes"
        )
    return y, count
