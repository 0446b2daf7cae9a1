"""Losses and scores that keep the task axis: the mean within a task, never over tasks."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.errors import ShapeError


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute each task's mean cross-entropy `-1/B sum_b log softmax(logits_b)[label_b]`.

    Args:
        logits: class scores.
        labels: class of each sequence, `0 … C - 1`.

    Shapes:
        logits `(…, B, C)`, labels `(…, B)` -> `(…)`: a scalar, or `(N,)` with a task axis.

    Raises:
        ShapeError: labels are not shaped like the logits without their last axis.

    Example:
        >>> import torch
        >>> cross_entropy(torch.zeros(3, 4, 2), torch.zeros(3, 4, dtype=torch.long)).shape
        torch.Size([3])
    """
    _check(logits, labels, "cross_entropy")
    losses = F.cross_entropy(logits.flatten(0, -2), labels.flatten(), reduction="none")
    return losses.reshape(labels.shape).mean(-1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the share of sequences, in each task, whose largest score is their label's.

    Args and shapes are those of `cross_entropy`.

    Example:
        >>> import torch
        >>> accuracy(torch.eye(2), torch.tensor([0, 0])).item()
        0.5
    """
    _check(logits, labels, "accuracy")
    return (logits.argmax(-1) == labels).to(logits.dtype).mean(-1)


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Compute each task's mean squared error, over its sequences and the values of each.

    Args:
        predictions: what a model gave out.
        targets: what is right.

    Shapes:
        both `(…, B, values)` -> `(…)`: a scalar, or `(N,)` with a task axis.

    Raises:
        ShapeError: targets are not shaped like the predictions.

    Example:
        >>> import torch
        >>> mean_squared_error(torch.zeros(3, 4, 1), torch.ones(3, 4, 1))
        tensor([1., 1., 1.])
    """
    if predictions.shape != targets.shape:
        raise ShapeError(
            f"mean_squared_error: targets must be shaped {tuple(predictions.shape)}, like the "
            f"predictions, got {tuple(targets.shape)}"
        )
    return (predictions - targets).square().mean((-2, -1))


def _check(logits: Tensor, labels: Tensor, who: str) -> None:
    if logits.shape[:-1] != labels.shape:
        raise ShapeError(
            f"{who}: labels must be shaped {tuple(logits.shape[:-1])}, like logits "
            f"{tuple(logits.shape)} without their last axis, got {tuple(labels.shape)}"
        )
