"""Scores of predictions, one for each task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.errors import ShapeError
from l2l_rnn.functional.losses import accuracy, cross_entropy, masked_mean
from l2l_rnn.registry import Registry

Score = Callable[..., Tensor]

_BINS = 15  # as in the paper on calibration


@dataclass(frozen=True)
class Metric:
    """A score of the predictions for a task.

    Attributes:
        function: computes the score of each task, `(N,)`, from outputs, targets and a mask of the
            rows that are examples, which is None if all are.
        of_classes: whether targets are classes and outputs are their scores.
        lower_is_better: whether the score is an error.
    """

    function: Score
    of_classes: bool
    lower_is_better: bool


METRICS: Registry[Metric] = Registry("score")
"""The scores that `evaluate` knows by name."""


def _add(
    name: str, *, of_classes: bool = True, lower_is_better: bool = True
) -> Callable[[Score], Score]:
    def add(function: Score) -> Score:
        METRICS.register(name)(Metric(function, of_classes, lower_is_better))
        return function

    return add


_add("accuracy", lower_is_better=False)(accuracy)
_add("nll")(cross_entropy)


@_add("f1", lower_is_better=False)
def macro_f1(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's F1 score, averaged over the classes of its targets and predictions.

    `F1_c = 2 TP_c / (2 TP_c + FP_c + FN_c)`, as scikit-learn's `f1_score(average="macro")`.

    Args:
        logits: class scores.
        labels: the class of each sequence.
        mask: False where a row is padding; None if there is no padding.

    Shapes:
        logits `(…, B, C)`, labels and mask `(…, B)` -> `(…)`.

    Example:
        >>> macro_f1(torch.eye(2)[[0, 0, 1]], torch.tensor([0, 1, 1]))
        tensor(0.6667)
    """
    classes = logits.shape[-1]
    found, wanted = F.one_hot(logits.argmax(-1), classes), _one_hot(labels, classes, mask)
    if mask is not None:
        found, wanted = found * mask.unsqueeze(-1), wanted * mask.unsqueeze(-1)
    both = found.sum(-2) + wanted.sum(-2)  # 2 TP + FP + FN of each class
    scores = 2 * (found * wanted).sum(-2) / both.clamp(min=1)
    return (scores.sum(-1) / (both > 0).sum(-1).clamp(min=1)).to(logits.dtype)


@_add("brier")
def brier_score(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's mean of `sum_c (p_c - [c = label])^2`, from 0 to 2.

    `p` is the softmax of the outputs. Arguments and shapes are the same as for `macro_f1`.

    Example:
        >>> brier_score(torch.zeros(1, 2), torch.tensor([0]))
        tensor(0.5000)

    Source: G. W. Brier, 1950, Verification of Forecasts Expressed in Terms of Probability.
    """
    wrong = logits.softmax(-1) - _one_hot(labels, logits.shape[-1], mask)
    return masked_mean(wrong.square().sum(-1), mask)


@_add("ece")
def calibration_error(logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's expected calibration error.

    Predictions are grouped by confidence into 15 bins of equal width. The error is the mean over
    predictions of `|accuracy - confidence|` of their bin. With few queries, each bin holds few
    predictions, and the error of even a calibrated model is above 0; `"brier"` and `"nll"` have no
    such bias. Arguments and shapes are the same as for `macro_f1`.

    Example:
        >>> calibration_error(torch.zeros(2, 2), torch.tensor([0, 1]))
        tensor(0.)

    Source: C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, 2017, On Calibration of Modern Neural
    Networks, eq. 3.
    """
    confidence, predicted = logits.softmax(-1).max(-1)
    gap = (predicted == labels).to(confidence.dtype) - confidence
    bins = F.one_hot((confidence * _BINS).ceil().long().sub(1).clamp(0, _BINS - 1), _BINS)
    if mask is not None:
        gap, bins = torch.where(mask, gap, 0.0), bins * mask.unsqueeze(-1)
    sums = (gap.unsqueeze(-1) * bins).sum(-2).abs().sum(-1)
    return sums / bins.sum((-2, -1)).clamp(min=1)


@_add("mse", of_classes=False)
def squared_error(outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's mean squared error over its rows and their values.

    Args:
        outputs: predicted values.
        targets: the correct values, of the same shape.
        mask: False where a row is padding; None if there is no padding.

    Shapes:
        outputs and targets `(N, B, …)`, mask `(N, B)` -> `(N,)`.
    """
    return masked_mean(_of_rows(outputs, targets, "mse").square().mean(-1), mask)


@_add("mae", of_classes=False)
def absolute_error(outputs: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute each task's mean absolute error; arguments and shapes as for `squared_error`."""
    return masked_mean(_of_rows(outputs, targets, "mae").abs().mean(-1), mask)


def _one_hot(labels: Tensor, classes: int, mask: Tensor | None) -> Tensor:
    """Encode labels as one-hot rows; the label of padding may be any number."""
    return F.one_hot(labels if mask is None else torch.where(mask, labels, 0), classes)


def _of_rows(outputs: Tensor, targets: Tensor, who: str) -> Tensor:
    """Return the differences of outputs and targets, `(N, B, values)`."""
    if outputs.shape != targets.shape:
        raise ShapeError(
            f"{who}: outputs must have the shape of the targets, {tuple(targets.shape)}, got "
            f"{tuple(outputs.shape)}; reshape one of them"
        )
    return (outputs - targets).reshape(*outputs.shape[:2], -1)
