"""Losses and scores of whole target sequences, which keep the task axis."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from l2l_rnn.checks import check_int
from l2l_rnn.errors import ShapeError
from l2l_rnn.functional.losses import check_mask, masked_mean
from l2l_rnn.functional.padding import step_mask, token_lengths

_END = 2  # the id END of the task set `translation`


def sequence_cross_entropy(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, *, end: int = _END
) -> Tensor:
    """Compute each task's mean cross-entropy over the tokens of its targets.

    `-1/T sum_bt log softmax(logits_bt)[target_bt]`, where the sum is over the T tokens of all
    targets up to their first END, included. What follows END, and padding with 0, affects neither
    the loss nor its gradient.

    Args:
        logits: scores, or log-probabilities, of the tokens at each step.
        targets: token ids, padded with 0.
        mask: False where a pair is padding, whatever its target; None if there is no padding.
        end: the id END; the default is that of the task set `translation`.

    Shapes:
        logits `(…, B, T, V)`, targets `(…, B, T)`, mask `(…, B)` -> `(…)`: a scalar, or `(N,)` with
        a task axis; 0 for a task without pairs.

    Raises:
        ShapeError: the targets do not have the shape of the logits without their last axis, or the
            mask does not fit.
        ArgumentTypeError: the mask is not a bool tensor.
        ArgumentError: `end` is not a positive integer.

    Example:
        >>> targets = torch.tensor([[5, 2, 0], [6, 7, 2]])
        >>> sequence_cross_entropy(torch.zeros(2, 3, 10), targets)
        tensor(2.3026)
    """
    valid = _valid_steps("sequence_cross_entropy", logits.shape[:-1], targets, mask, end)
    logits = torch.where(valid.unsqueeze(-1), logits, 0.0)
    chosen = torch.where(valid, targets, 0).unsqueeze(-1)
    losses = logits.logsumexp(-1) - logits.gather(-1, chosen).squeeze(-1)
    return masked_mean(losses.flatten(-2), valid.flatten(-2))


def sequence_accuracy(
    tokens: Tensor, targets: Tensor, mask: Tensor | None = None, *, end: int = _END
) -> Tensor:
    """Compute each task's share of targets that are predicted exactly, up to END.

    Args:
        tokens: predicted token ids, such as those of `greedy`. Their number of steps may differ
            from that of the targets.
        targets, mask, end: as in `sequence_cross_entropy`.

    Shapes:
        tokens `(…, B, S)`, targets `(…, B, T)`, mask `(…, B)` -> `(…)`.

    Raises:
        ShapeError, ArgumentTypeError, ArgumentError: as in `sequence_cross_entropy`.

    Example:
        >>> targets = torch.tensor([[5, 2, 0], [6, 7, 2]])
        >>> sequence_accuracy(torch.tensor([[5, 2], [6, 2]]), targets)
        tensor(0.5000)
    """
    steps = max(tokens.shape[-1], targets.shape[-1])
    tokens, targets = (F.pad(part, (0, steps - part.shape[-1])) for part in (tokens, targets))
    valid = _valid_steps("sequence_accuracy", tokens.shape, targets, mask, end)
    same = ((tokens == targets) | ~valid).all(-1)
    return masked_mean(same.to(torch.get_default_dtype()), mask)


def _valid_steps(
    who: str, shape: torch.Size, targets: Tensor, mask: Tensor | None, end: int
) -> Tensor:
    """Return where the targets have tokens, up to END, `(…, B, T)`."""
    end = check_int(who, "end", end)
    if targets.dim() < 2 or targets.shape != shape:
        raise ShapeError(
            f"{who}: targets must be (…, B, T), with the axes of the predictions {tuple(shape)}, "
            f"got {tuple(targets.shape)}; pass one target for each pair"
        )
    ended = (targets == end).long()
    valid = (ended.cumsum(-1) - ended == 0) & step_mask(token_lengths(targets), targets.shape[-1])
    if mask is None:
        return valid
    check_mask(who, mask, targets.shape[:-1])
    return valid & mask.unsqueeze(-1)
