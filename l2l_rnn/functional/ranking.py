"""Measures of rankings, one for each user: recall and normalized discounted cumulative gain."""

from __future__ import annotations

import torch
from torch import Tensor

from l2l_rnn.checks import check_int, check_tensor
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, ShapeError


def recall_at(
    scores: Tensor, relevant: Tensor, count: int = 10, *, seen: Tensor | None = None
) -> Tensor:
    """Compute the share of the relevant items that are among the `count` with the highest scores.

    Args:
        scores: scores of all items of the catalogue.
        relevant: True at the relevant items, such as the next item, or those that the user will
            like. There must be one or more.
        count: length of the ranking.
        seen: True at items that are left out of the ranking, because the user has seen them; None
            leaves none out. No relevant item may be among them.

    Shapes:
        scores `(…, items)` floating point; relevant and seen `(…, items)` bool -> `(…)`.

    Raises:
        ArgumentTypeError: the scores are not floating point, or a mask is not a bool tensor.
        ShapeError: a mask has another shape than the scores.
        ArgumentError: `count` is not a positive integer, a user has no relevant item or a relevant
            item that was seen, or a score is NaN.

    Example:
        >>> scores = torch.tensor([0.9, 0.8, 0.1, 0.7])
        >>> relevant = torch.tensor([False, True, True, False])
        >>> recall_at(scores, relevant, count=2)
        tensor(0.5000)
        >>> recall_at(scores, relevant, count=2, seen=torch.tensor([True, False, False, True]))
        tensor(1.)
    """
    hits, total = _hits("recall_at", scores, relevant, count, seen)
    return hits.sum(-1) / total


def ndcg_at(
    scores: Tensor, relevant: Tensor, count: int = 10, *, seen: Tensor | None = None
) -> Tensor:
    """Compute the normalized discounted cumulative gain of the `count` highest scores.

    `DCG = sum_r rel_r / log2(r + 1)` over the ranks `r = 1 .. count`, with `rel_r` 1 if the item at
    rank r is relevant and 0 otherwise, divided by the DCG of a ranking with the relevant items
    first. With a single relevant item, it is `1 / log2(r + 1)`, or 0 if it is ranked lower.

    Arguments, shapes and errors are those of `recall_at`. Items with equal scores are ranked in
    the order of their ids.

    Example:
        >>> ndcg_at(torch.tensor([0.9, 0.8, 0.1]), torch.tensor([False, True, False]))
        tensor(0.6309)

    Source: K. Järvelin and J. Kekäläinen, 2002, Cumulated Gain-based Evaluation of IR Techniques;
    `sklearn.metrics.ndcg_score`, which averages over ties, gives the same for distinct scores.
    """
    hits, total = _hits("ndcg_at", scores, relevant, count, seen)
    ranks = torch.arange(1, hits.shape[-1] + 1, device=hits.device, dtype=hits.dtype)
    discounts = 1 / (ranks + 1).log2()
    best = torch.where(ranks <= total.unsqueeze(-1), discounts, 0.0)
    return (hits * discounts).sum(-1) / best.sum(-1)


def _hits(
    who: str, scores: Tensor, relevant: Tensor, count: int, seen: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return whether each rank holds a relevant item, `(…, ranks)`, and the relevant ones."""
    count = check_int(who, "count", count)
    check_tensor(who, "scores", scores)
    if not scores.is_floating_point():
        raise ArgumentTypeError(
            f"{who}: scores must be floating point, got {scores.dtype}; use .float()"
        )
    masks = {"relevant": relevant} if seen is None else {"relevant": relevant, "seen": seen}
    for name, mask in masks.items():
        check_tensor(who, name, mask)
        if mask.dtype != torch.bool:
            raise ArgumentTypeError(f"{who}: {name} must be bool, got {mask.dtype}; use .bool()")
        if mask.shape != scores.shape:
            raise ShapeError(
                f"{who}: {name} must have a value for each score, {tuple(scores.shape)}, got "
                f"{tuple(mask.shape)}; pass a mask of the whole catalogue"
            )
    total = relevant.sum(-1)
    if scores.isnan().any():
        raise ArgumentError(f"{who}: scores must not be NaN, got some; check the model")
    if not total.all():
        raise ArgumentError(
            f"{who}: each user must have a relevant item, got {int((total == 0).sum())} without "
            "one; leave those users out"
        )
    if seen is not None:
        if (relevant & seen).any():
            raise ArgumentError(
                f"{who}: relevant items must not be among those seen, got "
                f"{int((relevant & seen).sum())} that are; remove them from one of the masks"
            )
        scores = scores.masked_fill(seen, -torch.inf)
    # A stable sort ranks ties by id, on every device.
    order = scores.sort(dim=-1, descending=True, stable=True).indices[..., :count]
    return relevant.gather(-1, order).to(scores.dtype), total
