"""Reading labels off the gradient of a loss, for learners that need them in learn2learn's loop."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.axes import readable_values
from l2l_rnn.errors import AdaptationError, ArgumentError, ArgumentTypeError, ShapeError


def read_labels(who: str, loss: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Tell the label of each sequence from a loss of its scores.

    The gradient of a classification loss is negative in the score of the label alone.

    Args:
        who: the learner, for messages.
        loss: any classification loss of the scores, summed or averaged, scalar or `(N,)`.
        scores: what it was computed from, `(…, B, C)`.

    Returns:
        The labels `(…, B)`, and whether the loss asks for more of them, `(…, B)`. A sequence for
        which it does not has its label's score as high as the loss wants: its largest score.

    Raises:
        ArgumentTypeError: the loss is not a tensor.
        AdaptationError: the loss is not finite or has no graph, does not depend on the scores, or
            asks for several classes of one sequence.
    """
    if not isinstance(loss, Tensor):
        raise ArgumentTypeError(f"{who}: loss must be a tensor, got {type(loss).__name__}")
    if not (torch.is_grad_enabled() and loss.requires_grad and loss.isfinite().all()):
        raise AdaptationError(
            f"{who}: the loss must be finite and have a graph; compute it from the "
            "learner's last outputs, outside of torch.no_grad()"
        )
    (error,) = torch.autograd.grad(loss.sum(), scores, retain_graph=True, allow_unused=True)
    if error is None:
        raise AdaptationError(
            f"{who}: the loss does not depend on the learner's last outputs; compute it from them"
        )
    if ((error < 0).sum(-1) > 1).any():
        raise AdaptationError(
            f"{who}: the loss asks for more than one class of a sequence to score "
            "higher, so its label cannot be told; use cross-entropy, or write(x, y)"
        )
    asks = (error < 0).any(-1)
    return torch.where(asks, error.argmin(-1), scores.argmax(-1)), asks


def check_tensors(who: str, **given: object) -> None:
    """Tell what is no tensor, by its name.

    Raises:
        ArgumentTypeError: there is one.
    """
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise ArgumentTypeError(
                f"{who}: {name} must be a tensor, got {type(value).__name__}; make it one with "
                "torch.as_tensor"
            )


def members_of(who: str, y: Tensor, vectors: Tensor, ways: int) -> Tensor:
    """Turn given labels into 0 and 1: y `(…, B)`, vectors `(…, B, E)` -> `(…, B, C)`.

    Raises:
        ArgumentTypeError: labels are not integers.
        ShapeError: there is not one for each vector.
        ArgumentError: one is not in `0 … ways - 1`.
    """
    if y.is_floating_point() or y.dtype == torch.bool:
        raise ArgumentTypeError(f"{who}: labels must be integers, got {y.dtype}")
    if y.shape != vectors.shape[:-1]:
        raise ShapeError(
            f"{who}: y must have shape {tuple(vectors.shape[:-1])}, one label a sequence, got "
            f"{tuple(y.shape)}"
        )
    values = readable_values(y)
    if values is not None and values.numel():
        low, high = map(int, values.aminmax())
        if low < 0 or high >= ways:
            raise ArgumentError(
                f"{who}: labels must lie in 0 … {ways - 1}, got {low} … {high}; set ways"
            )
    return F.one_hot(y.long(), ways).to(vectors.dtype)
