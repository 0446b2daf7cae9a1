"""Losses and scores that keep the task axis: means within each task, never over tasks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ShapeError

# torch ignores labels of -100 by default and would count their loss as 0.
_NO_LABEL = torch.iinfo(torch.int64).min


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute each task's mean cross-entropy `-1/B sum_b log softmax(logits_b)[label_b]`.

    Args:
        logits: class scores.
        labels: the class of each sequence, from 0 to `C - 1`.

    Shapes:
        logits `(…, B, C)`, labels `(…, B)` -> `(…)`: a scalar, or `(N,)` with a task axis.

    Raises:
        ShapeError: the labels do not have the shape of the logits without their last axis.
        ArgumentError: a label is out of range (checked on a CPU only).

    Example:
        >>> cross_entropy(torch.zeros(3, 4, 2), torch.zeros(3, 4, dtype=torch.long)).shape
        torch.Size([3])
    """
    _check(logits, labels, "cross_entropy")
    try:
        losses = F.cross_entropy(
            logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=_NO_LABEL
        )
    except IndexError as error:  # torch's own message does not say which labels are valid
        values = readable_values(labels)
        found = "others" if values is None else f"{int(values.min())} to {int(values.max())}"
        raise ArgumentError(
            f"cross_entropy: labels must be from 0 to {logits.shape[-1] - 1} for "
            f"C={logits.shape[-1]} classes, got {found}; check the labels, or set ways"
        ) from error
    return losses.reshape(labels.shape).mean(-1)


def accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute each task's accuracy: the fraction of sequences for which the label scores highest.

    Arguments, shapes and errors are the same as for `cross_entropy`.

    Example:
        >>> accuracy(torch.eye(2), torch.tensor([0, 0])).item()
        0.5
    """
    _check(logits, labels, "accuracy")
    return (logits.argmax(-1) == labels).to(logits.dtype).mean(-1)


def mean_squared_error(predictions: Tensor, targets: Tensor) -> Tensor:
    """Compute each task's mean squared error over its sequences and values.

    Args:
        predictions: the model's outputs.
        targets: the correct values.

    Shapes:
        both `(…, B, values)` -> `(…)`: a scalar, or `(N,)` with a task axis.

    Raises:
        ShapeError: the targets do not have the shape of the predictions.

    Example:
        >>> mean_squared_error(torch.zeros(3, 4, 1), torch.ones(3, 4, 1))
        tensor([1., 1., 1.])
    """
    if predictions.shape != targets.shape:
        raise ShapeError(
            f"mean_squared_error: targets must have shape {tuple(predictions.shape)}, like the "
            f"predictions, got {tuple(targets.shape)}; reshape one of them"
        )
    return (predictions - targets).square().mean((-2, -1))


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute each task's mean binary cross-entropy over the bits that have a target.

    `-(t log s + (1 - t) log(1 - s))` with `s = sigmoid(logit)`. Outputs without a target affect
    neither the loss nor its gradient, even if they are NaN.

    Args:
        logits: the model's outputs.
        targets: the correct bits, or the probability that a bit is 1; NaN where there is no target.

    Shapes:
        both `(…, B, S, bits)` -> `(…)`: a scalar, or `(N,)` with a task axis; 0 for a task without
        targets.

    Raises:
        ShapeError: logits and targets differ in shape, or have fewer than three axes.

    Example:
        >>> bits = torch.tensor([1.0, 0.0, float("nan")]).reshape(1, 3, 1)
        >>> binary_cross_entropy(torch.zeros(1, 3, 1), bits)
        tensor(0.6931)
    """
    if logits.shape != targets.shape or logits.dim() < 3:
        raise ShapeError(
            "binary_cross_entropy: logits and targets must have one shape, (…, B, S, bits), got "
            f"{tuple(logits.shape)} and {tuple(targets.shape)}; reshape one of them"
        )
    known = ~targets.isnan()
    losses = F.binary_cross_entropy_with_logits(
        torch.where(known, logits, 0.0),
        torch.where(known, targets, 0.0).to(logits.dtype),
        reduction="none",
    )
    axes = (-3, -2, -1)
    return torch.where(known, losses, 0.0).sum(axes) / known.sum(axes).clamp(min=1)


def _check(logits: Tensor, labels: Tensor, who: str) -> None:
    if logits.shape[:-1] != labels.shape:
        raise ShapeError(
            f"{who}: labels must have shape {tuple(logits.shape[:-1])} for logits "
            f"{tuple(logits.shape)}, got {tuple(labels.shape)}; pass one label per sequence"
        )
