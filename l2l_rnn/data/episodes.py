"""Episodes of Santoro et al.: the items of a task in sequence, each with the previous label."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError


@dataclass(frozen=True)
class Episodes:
    """N episodes of T items each.

    At time t, a learner reads item t and the label of item t - 1, and predicts the label of item t.
    On the first instance of a class it can only guess; later it can recall what it has read.

    Attributes:
        x: the items; each may be a sequence.
        previous: the label of the previous item, one-hot; zeros at the first item.
        y: the label of the item.
        instance: how many items of this class have been shown, this one included: 1, 2, …
        indices: position of the item in the dataset that it was drawn from; None if it is unknown.

    Shapes:
        x (N, T, …), such as (N, T, S, F) where items are sequences; previous (N, T, C) float32;
        y, instance, indices (N, T) int64.
    """

    x: Tensor
    previous: Tensor
    y: Tensor
    instance: Tensor
    indices: Tensor | None = None

    def __len__(self) -> int:
        """Return `N`."""
        return len(self.x)

    def accuracy_by_instance(self, outputs: Tensor) -> Tensor:
        """Compute the accuracy over the 1st, 2nd, … instance of each class.

        Args:
            outputs: scores of the classes, or predicted classes as int64.

        Shapes:
            outputs (N, T, C) or (N, T); returns (I,), where I is the most instances of a class.

        Raises:
            ShapeError: the outputs do not match the items.

        Example:
            >>> x, y = torch.randn(2, 6, 3), torch.tensor([0, 0, 0, 1, 1, 1]).expand(2, 6)
            >>> episodes = santoro_episodes(x, y)
            >>> episodes.accuracy_by_instance(episodes.y)
            tensor([1., 1., 1.])
        """
        predicted = outputs.argmax(-1) if outputs.ndim == 3 else outputs
        if predicted.shape != self.y.shape:
            raise ShapeError(
                f"Episodes: outputs must be {tuple(self.y.shape)} or "
                f"{tuple(self.previous.shape)}, got {tuple(outputs.shape)}; pass one for each item"
            )
        instance = self.instance.flatten() - 1
        correct = (predicted == self.y).flatten().float()
        return torch.bincount(instance, correct).float() / torch.bincount(instance)


def santoro_episodes(
    x: Tensor | TaskBatch,
    y: Tensor | None = None,
    generator: Generator | None = None,
    *,
    classes: int | None = None,
) -> Episodes:
    """Turn N tasks into N episodes, with items in random order and labels delayed by one step.

    Each episode has its own random order of the items, and its own random permutation of the
    labels, so that labels cannot be learned across episodes.

    Args:
        x: the items of the tasks, or a batch; its support and query sets are then concatenated.
        y: the classes of the items, 0 .. C-1; None with a batch.
        generator: CPU random number generator; None uses torch's global generator.
        classes: `C`; None infers it from the largest label.

    Shapes:
        x (N, T, …), y (N, T) int64; a batch as in `TaskBatch`, with T = ways * (shots + queries).

    Raises:
        ArgumentTypeError: `x` is neither a tensor nor a batch, or `y` is not an int64 tensor.
        ShapeError: the labels do not match the items, or there are no items.
        ArgumentError: a label lies outside 0 .. C-1, `classes` is not a positive integer, or the
            batch has padding.

    Example:
        >>> x = torch.randn(4, 10, 7, 3)  # 4 tasks of 10 items, of 7 steps with 3 features each
        >>> y = torch.arange(5).repeat_interleave(2).expand(4, -1)
        >>> episodes = santoro_episodes(x, y)
        >>> episodes.x.shape, episodes.previous.shape, episodes.y.shape
        (torch.Size([4, 10, 7, 3]), torch.Size([4, 10, 5]), torch.Size([4, 10]))

    Source: A. Santoro et al., 2016, Meta-Learning with Memory-Augmented Neural Networks, sections 2
    and 4.1 (one-hot labels). In the paper, items are flattened to vectors. Here they keep their
    steps, and an encoder reads them first.
    """
    indices = None
    if isinstance(x, TaskBatch):
        if y is not None:
            raise ArgumentError(
                "santoro_episodes: y must be None with a TaskBatch, which has labels, got "
                f"{type(y).__name__}; leave y out"
            )
        if x.support_mask is not None or x.query_mask is not None:
            raise ArgumentError(
                "santoro_episodes: all rows of a TaskBatch must be examples, got one with padding; "
                "draw tasks of one size"
            )
        if x.support_indices is not None and x.query_indices is not None:
            indices = torch.cat([x.support_indices, x.query_indices], 1)
        support_x, support_y, query_x, query_y = x
        x, y = torch.cat([support_x, query_x], 1), torch.cat([support_y, query_y], 1)
    labels, count = _check(x, y, classes)
    permuted = torch.rand(len(x), count, generator=generator).argsort(-1).to(labels.device)
    order = torch.rand(labels.shape, generator=generator).argsort(-1).to(labels.device)
    y = permuted.gather(1, labels).gather(1, order)
    one_hot = torch.nn.functional.one_hot(y, count)
    instance = one_hot.cumsum(1).gather(-1, y.unsqueeze(-1)).squeeze(-1)
    previous = torch.cat([torch.zeros_like(one_hot[:, :1]), one_hot[:, :-1]], 1)
    rows = torch.arange(len(x), device=x.device).unsqueeze(-1)
    if indices is not None:
        indices = indices.gather(1, order.to(indices.device))
    return Episodes(x[rows, order.to(x.device)], previous.float(), y, instance, indices)


def _check(x: object, y: object, classes: object) -> tuple[Tensor, int]:
    """Return the labels and C, or raise the errors of `santoro_episodes`."""
    if not isinstance(x, Tensor):
        raise ArgumentTypeError(
            f"santoro_episodes: x must be a tensor or a TaskBatch, got {type(x).__name__}; "
            "use torch.as_tensor"
        )
    if not isinstance(y, Tensor) or y.dtype != torch.int64:
        came = y.dtype if isinstance(y, Tensor) else type(y).__name__
        raise ArgumentTypeError(
            f"santoro_episodes: y must be an int64 tensor of classes, got {came}; use y.long()"
        )
    if x.ndim < 2 or y.shape != x.shape[:2] or y.numel() == 0:
        raise ShapeError(
            "santoro_episodes: expected items (N, T, …) and labels (N, T), at least one each, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}; add the task axis"
        )
    low, high = int(y.min()), int(y.max())
    classes = max(high + 1, 1) if classes is None else classes
    count = check_int("santoro_episodes", "classes", classes)
    if low < 0 or high >= count:
        raise ArgumentError(
            f"santoro_episodes: labels must lie in 0 .. {count - 1}, got {low} .. {high}; "
            "renumber the classes of each task, or raise classes"
        )
    return y, count
