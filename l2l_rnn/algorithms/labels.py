"""Labels of a support set: given as integers, or recovered from the gradient of a loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.algorithms.inner_loop.checks import unchanged_error, unrelated_loss_error
from l2l_rnn.axes import readable_values
from l2l_rnn.checks import check_tensor
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError
from l2l_rnn.functional.losses import check_mask

# How far the score of an absent class is below all others; exp(-100) is 0 in float32.
_MARGIN = 100.0


def read_labels(who: str, loss: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Recover the label of each sequence from a classification loss of its scores.

    The gradient of such a loss is negative only with respect to the score of the label.

    Args:
        who: begins the error message.
        loss: a scalar or `(N,)`, summed or averaged over sequences.
        scores: the class scores that the loss was computed from, `(…, B, C)`.

    Returns:
        The labels `(…, B)`, and a mask `(…, B)` of the sequences with a nonzero loss gradient.
        If the gradient is zero, the loss is already minimal, and the label is the class with the
        largest score.

    Raises:
        ArgumentTypeError: the loss is not a tensor.
        AdaptationError: the loss is not finite, has no graph, does not depend on the scores, or
            rewards several classes of one sequence.
    """
    check_tensor(who, "loss", loss, fix="pass the loss itself, not loss.item()")
    if not (torch.is_grad_enabled() and loss.requires_grad and loss.isfinite().all()):
        raise unchanged_error(
            who,
            "the loss must be finite and have a graph; compute it from the learner's last outputs, "
            "outside torch.no_grad()",
        )
    (gradient,) = torch.autograd.grad(loss.sum(), scores, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise unrelated_loss_error(who)
    if ((gradient < 0).sum(-1) > 1).any():
        raise unchanged_error(
            who,
            "the loss rewards several classes of one sequence, so its label is ambiguous; use "
            "cross-entropy, or write(x, y)",
        )
    labeled = (gradient < 0).any(-1)
    return torch.where(labeled, gradient.argmin(-1), scores.argmax(-1)), labeled


def one_hot(
    who: str, y: Tensor, vectors: Tensor, ways: int, fix: str, mask: Tensor | None = None
) -> Tensor:
    """Encode labels as one-hot rows of the vectors' dtype, and padding as rows of zeros.

    Args:
        who: begins the error message.
        y: labels, integers from 0 to `ways - 1`.
        vectors: the vectors of the labeled sequences.
        ways: `C`, the number of classes.
        fix: ends the message about a label that is out of range.
        mask: False where a row is padding, whose label may be any number; None for no padding.

    Shapes:
        y and mask `(…, B)`, vectors `(…, B, E)` -> `(…, B, C)`.

    Raises:
        ArgumentTypeError: the labels are not an integer tensor.
        ShapeError: the number of labels is not the number of vectors.
        ArgumentError: a label is out of range.
    """
    check_tensor(who, "y", y)
    if y.is_floating_point() or y.dtype == torch.bool:
        raise ArgumentTypeError(
            f"{who}: labels must be integers, got {y.dtype}; convert with .long()"
        )
    if y.shape != vectors.shape[:-1]:
        raise ShapeError(
            f"{who}: y must have shape {tuple(vectors.shape[:-1])}, got {tuple(y.shape)}; pass one "
            "label per sequence"
        )
    if mask is not None:
        check_mask(who, mask, y.shape)
        y = torch.where(mask, y, 0)
    values = readable_values(y)
    if values is not None and values.numel():
        low, high = map(int, values.aminmax())
        if low < 0 or high >= ways:
            raise ArgumentError(
                f"{who}: labels must be from 0 to {ways - 1}, got {low} to {high}; {fix}"
            )
    members = F.one_hot(y.long(), ways).to(vectors.dtype)
    return members if mask is None else members * mask.unsqueeze(-1)


def mask_absent(scores: Tensor, present: Tensor) -> Tensor:
    """Set the scores of classes without support sequences below those of all other classes.

    Such a class is never predicted, and its probability is 0 to rounding. Its score is finite, so a
    loss of a sequence with this label is large but finite, and its gradient lowers the scores of
    the other classes. If no class is present, the scores are returned unchanged.

    Args:
        scores: class scores.
        present: whether each class has support sequences.

    Shapes:
        scores `(…, B, C)`, present `(…, C)`, bool -> `(…, B, C)`.

    Example:
        >>> mask_absent(torch.tensor([[-1.0, 0.0, -3.0]]), torch.tensor([True, False, True]))
        tensor([[  -1., -106.,   -3.]])
    """
    absent = ~present.unsqueeze(-2)
    lowest = scores.detach().masked_fill(absent, torch.inf).amin(-1, keepdim=True)
    # Without a present class, the lowest score is infinite.
    floor = torch.where(lowest.isposinf(), scores.detach(), lowest - lowest.abs() - _MARGIN)
    return torch.where(absent, floor.clamp_min(torch.finfo(scores.dtype).min), scores)
