"""Draws without replacement for many tasks at once: classes of a task, items of a class."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


class Grouping:
    """Knows which items belong to which group, and draws from many groups at once.

    Args:
        labels: the group of each item, 0 or more; groups may be empty.
        groups: how many there are; None takes one more than the largest label.

    Attributes:
        order: the items, sorted by group and within a group by their index.
        starts: where each group begins in `order`.
        counts: items of each group.

    Shapes:
        labels (items,) int64; order (items,); starts, counts (groups,).

    Example:
        >>> grouping = Grouping(torch.tensor([1, 0, 1, 1]))
        >>> grouping.order, grouping.counts
        (tensor([1, 0, 2, 3]), tensor([1, 3]))
        >>> sorted(grouping.draw(torch.tensor([1]), 3)[0].tolist())
        [0, 2, 3]
    """

    def __init__(self, labels: Tensor, groups: int | None = None) -> None:
        labels = labels.cpu()
        self.order = labels.argsort(stable=True)
        self.counts = torch.bincount(labels, minlength=groups or 0)
        self.starts = self.counts.cumsum(0) - self.counts

    def draw(self, groups: Tensor, each: int, generator: Generator | None = None) -> Tensor:
        """Draw items of groups, none twice in a row: every ordered choice is as likely.

        Args:
            groups: the groups to draw from; each must have `each` items or more.
            each: how many items.
            generator: fixes what is drawn; None draws from torch's own.

        Shapes:
            groups (…); returns (…, each), indices of items.
        """
        positions = draw_distinct(self.counts[groups], each, generator)
        return self.order[self.starts[groups].unsqueeze(-1) + positions]


def draw_distinct(sizes: Tensor, count: int, generator: Generator | None = None) -> Tensor:
    """Draw `count` different numbers below each of the sizes, in random order.

    Time and memory grow with `count`, not with the sizes.

    Args:
        sizes: how many numbers there are to draw from, each at least `count`.
        count: how many to draw.
        generator: fixes what is drawn; None draws from torch's own.

    Shapes:
        sizes (…) int64; returns (…, count) int64.

    Example:
        >>> sorted(draw_distinct(torch.tensor([3]), 3)[0].tolist())
        [0, 1, 2]

    Source: R. W. Floyd in J. Bentley, 1987, Programming Pearls: A Sample of Brilliance.
    """
    drawn = torch.empty(*sizes.shape, count, dtype=torch.int64)
    uniform = torch.rand(2, *drawn.shape, dtype=torch.float64, generator=generator)
    for i in range(count):
        last = sizes - count + i
        one = (uniform[0, ..., i] * (last + 1)).long()  # 0 .. last
        taken = (drawn[..., :i] == one.unsqueeze(-1)).any(-1)
        drawn[..., i] = torch.where(taken, last, one)
    return drawn.gather(-1, uniform[1].argsort(-1))  # the method's own order is not random
