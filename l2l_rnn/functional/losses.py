"""Losses and scores that keep the task axis: means within each task, never over tasks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError

# torch ignores labels of -100 by default and would count their loss as 0.
_NO_LABEL = torch.iinfo(torch.int64).min


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's mean cross-entropy `-1/B sum_b log softmax(logits_b)[label_b]`.

    Args:
        logits: class scores.
        labels: the class of each sequence, from 0 to `C - 1`.
        mask: True where a row is a sequence and False where it is padding, which changes neither
            the loss nor its gradient, whatever its values; None if there is no padding.

    Shapes:
        logits `(…, B, C)`, labels and mask `(…, B)` -> `(…)`: a scalar, or `(N,)` with a task axis;
        0 for a task without sequences.

    Raises:
        ShapeError: the labels or the mask do not have the shape of the logits without their last
            axis.
        ArgumentTypeError: the mask is not a bool tensor.
        ArgumentError: a label is out of range (checked on a CPU only).

    Example:
        >>> cross_entropy(torch.zeros(3, 4, 2), torch.zeros(3, 4, dtype=torch.long)).shape
        torch.Size([3])
    """
    _check(logits, labels, mask, "cross_entropy")
    if mask is not None:
        logits = torch.where(mask.unsqueeze(-1), logits, 0.0)
        labels = torch.where(mask, labels, 0)
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
    return masked_mean(losses.reshape(labels.shape), mask)


def accuracy(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's accuracy: the fraction of sequences for which the label scores highest.

    Arguments, shapes and errors are the same as for `cross_entropy`.

    Example:
        >>> accuracy(torch.eye(2), torch.tensor([0, 0])).item()
        0.5
    """
    _check(logits, labels, mask, "accuracy")
    return masked_mean((logits.argmax(-1) == labels).to(logits.dtype), mask)


def mean_squared_error(predictions: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's mean squared error over its sequences and values.

    Args:
        predictions: the model's outputs.
        targets: the correct values.
        mask: as in `cross_entropy`.

    Shapes:
        predictions and targets `(…, B, values)`, mask `(…, B)` -> `(…)`: a scalar, or `(N,)` with a
        task axis; 0 for a task without sequences.

    Raises:
        ShapeError: the targets do not have the shape of the predictions, or the mask does not have
            it without the last axis.
        ArgumentTypeError: the mask is not a bool tensor.

    Example:
        >>> mean_squared_error(torch.zeros(3, 4, 1), torch.ones(3, 4, 1))
        tensor([1., 1., 1.])
    """
    if predictions.shape != targets.shape:
        raise ShapeError(
            f"mean_squared_error: targets must have shape {tuple(predictions.shape)}, like the "
            f"predictions, got {tuple(targets.shape)}; reshape one of them"
        )
    if mask is None:
        return (predictions - targets).square().mean((-2, -1))
    check_mask("mean_squared_error", mask, predictions.shape[:-1])
    errors = torch.where(mask.unsqueeze(-1), predictions - targets, 0.0)
    return masked_mean(errors.square().mean(-1), mask)


def binary_cross_entropy(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's mean binary cross-entropy over the bits that have a target.

    `-(t log s + (1 - t) log(1 - s))` with `s = sigmoid(logit)`. Outputs without a target affect
    neither the loss nor its gradient, even if they are NaN.

    Args:
        logits: the model's outputs.
        targets: the correct bits, or the probability that a bit is 1; NaN where there is no target.
        mask: as in `cross_entropy`.

    Shapes:
        logits and targets `(…, B, S, bits)`, mask `(…, B)` -> `(…)`: a scalar, or `(N,)` with a
        task axis; 0 for a task without targets.

    Raises:
        ShapeError: logits and targets differ in shape, or have fewer than three axes; or the mask
            does not have their shape without the last two axes.
        ArgumentTypeError: the mask is not a bool tensor.

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
    if mask is not None:
        check_mask("binary_cross_entropy", mask, targets.shape[:-2])
        known = known & mask[..., None, None]
    losses = F.binary_cross_entropy_with_logits(
        torch.where(known, logits, 0.0),
        torch.where(known, targets, 0.0).to(logits.dtype),
        reduction="none",
    )
    axes = (-3, -2, -1)
    return torch.where(known, losses, 0.0).sum(axes) / known.sum(axes).clamp(min=1)


def masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    """Compute the mean over the last axis, without padding; 0 where everything is padding.

    Args:
        values: one value for each row. Values of padding change nothing, even if they are NaN.
        mask: False where a row is padding; None if there is no padding.

    Shapes:
        both `(…, B)` -> `(…)`.

    Example:
        >>> masked_mean(torch.tensor([1.0, 3.0, torch.nan]), torch.tensor([True, True, False]))
        tensor(2.)
    """
    if mask is None:
        return values.mean(-1)
    return torch.where(mask, values, 0.0).sum(-1) / mask.sum(-1).clamp(min=1)


def check_mask(who: str, mask: Tensor, shape: torch.Size) -> None:
    """Check that a mask is a bool tensor of a shape.

    Raises:
        ArgumentTypeError: it is something else.
        ShapeError: it has another shape.
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        came = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ArgumentTypeError(
            f"{who}: mask must be a bool tensor, True where a row is a sequence, got {came}; "
            "convert it with .bool()"
        )
    if mask.shape != shape:
        raise ShapeError(
            f"{who}: mask must have shape {tuple(shape)}, one value per sequence, got "
            f"{tuple(mask.shape)}; pass batch.support_mask or batch.query_mask"
        )


def _check(logits: Tensor, labels: Tensor, mask: Tensor | None, who: str) -> None:
    if logits.shape[:-1] != labels.shape:
        raise ShapeError(
            f"{who}: labels must have shape {tuple(logits.shape[:-1])} for logits "
            f"{tuple(logits.shape)}, got {tuple(labels.shape)}; pass one label per sequence"
        )
    if mask is not None:
        check_mask(who, mask, labels.shape)
