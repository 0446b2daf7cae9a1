"""Targets of a support set in regression: given, or recovered from a squared error."""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.algorithms.inner_loop.checks import unchanged_error, unrelated_loss_error
from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_tensor
from l2l_rnn.errors import ArgumentTypeError, ShapeError


def check_targets(who: str, y: Tensor, vectors: Tensor, outputs: int) -> Tensor:
    """Return targets in the dtype of the vectors.

    Args:
        who: begins error messages.
        y: the targets.
        vectors: the vectors of the same sequences.
        outputs: `D`, numbers in a target.

    Shapes:
        y `(…, D)`, vectors `(…, E)`, with the same axes before.

    Raises:
        ArgumentTypeError: y is not a floating-point tensor.
        ShapeError: it has another shape.
    """
    check_tensor(who, "y", y)
    if not y.is_floating_point():
        raise ArgumentTypeError(
            f"{who}: targets must be floating-point numbers, got {y.dtype}; convert with .float()"
        )
    expected = (*vectors.shape[:-1], outputs)
    if y.shape != expected:
        raise ShapeError(f"{who}: y must have shape {expected}, got {tuple(y.shape)}; reshape y")
    return y.to(vectors.dtype)


def read_targets(who: str, loss: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Recover the targets from a squared error of outputs.

    A squared error is `L = sum_i c_i (o_i - y_i)^2`, with the gradient `g_i = 2 c_i (o_i - y_i)`
    and the second derivative `h_i = 2 c_i`. So `y_i = o_i - g_i / h_i`, whatever the c_i, and
    `L = sum_i g_i^2 / (2 h_i)`, which no other usual loss satisfies.

    Args:
        who: begins error messages.
        loss: a scalar or `(N,)`.
        outputs: the outputs that the loss was computed from, `(…, B, D)`.

    Returns:
        The targets `(…, B, D)`, without gradients, and a mask `(…, B)` of the rows that enter the
        loss.

    Raises:
        ArgumentTypeError: the loss is not a tensor.
        AdaptationError: the loss is not finite, has no graph, does not depend on the outputs, or is
            not a squared error of them.

    Example:
        >>> outputs, y = torch.zeros(3, 1, requires_grad=True), torch.tensor([[1.0], [2.0], [3.0]])
        >>> read_targets("doctest", (outputs - y).square().mean(), outputs)[0].flatten()
        tensor([1., 2., 3.])
    """
    check_tensor(who, "loss", loss, fix="pass the loss itself, not loss.item()")
    if not (torch.is_grad_enabled() and loss.requires_grad and loss.isfinite().all()):
        raise unchanged_error(
            who,
            "the loss must be finite and have a graph; compute it from the learner's last outputs, "
            "outside torch.no_grad()",
        )
    total = loss.sum()
    (slope,) = torch.autograd.grad(total, outputs, create_graph=True, allow_unused=True)
    if slope is None:
        raise unrelated_loss_error(who)
    curvature = None
    if slope.requires_grad:
        (curvature,) = torch.autograd.grad(
            slope.sum(), outputs, retain_graph=True, allow_unused=True
        )
    slope = slope.detach()
    if curvature is not None:
        known = curvature > 0
        steps = torch.where(known, slope / curvature, 0.0)
        values = readable_values((slope * steps).sum() / 2 - total.detach())
        scale = total.detach().abs() + torch.finfo(loss.dtype).tiny
        close = values is None or bool(values.abs() <= 1e-3 * scale)
        if close and not (slope[~known] != 0).any():
            return (outputs - steps).detach(), known.all(-1)
    raise unchanged_error(
        who,
        "the loss must be a squared error of the outputs, which reveals their targets, got another "
        "one; use mean_squared_error, or write(x, y)",
    )
