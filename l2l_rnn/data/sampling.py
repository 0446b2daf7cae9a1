"""Draws without replacement for many tasks at once: classes of a task, items of a class."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

Numbers = NDArray[np.int64]


class Grouping:
    """Knows which items belong to which group, and draws from many groups at once.

    Args:
        labels: the group of each item, 0 or more; groups may be empty.
        groups: how many there are; None takes one more than the largest label.

    Attributes:
        order: the items, sorted by group and within a group by their index.
        starts: where each group begins in `order`.
        counts: items of each group.
        present: the groups that have items.
        smallest: the one of them that has the fewest.

    Shapes:
        labels (items,) int64; order (items,); starts, counts (groups,); present (…,).

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
        self._arrays = self.counts.numpy(), self.starts.numpy(), self.order.numpy()
        self.present = self.counts.nonzero().squeeze(-1)
        self.smallest = int(self.present[self.counts[self.present].argmin()]) if len(labels) else 0

    def draw(self, groups: Tensor, each: int, generator: Generator | None = None) -> Tensor:
        """Draw items of groups, none twice in a row: every ordered choice is as likely.

        Args:
            groups: the groups to draw from; each must have `each` items or more.
            each: how many items.
            generator: fixes what is drawn; None draws from torch's own.

        Shapes:
            groups (…); returns (…, each), indices of items.
        """
        counts, starts, order = self._arrays
        chosen = groups.numpy()
        positions = _distinct(counts[chosen], each, generator)
        return torch.from_numpy(order[starts[chosen][..., None] + positions])


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
    return torch.from_numpy(_distinct(sizes.numpy(), count, generator))


def _distinct(sizes: Numbers, count: int, generator: Generator | None) -> Numbers:
    """Draw as `draw_distinct`; numpy's calls take a fraction of torch's at such sizes."""
    last = sizes.reshape(1, -1) - count + np.arange(count)[:, None]  # (count, …)
    uniform = torch.rand(2, *last.shape, dtype=torch.float64, generator=generator).numpy()
    drawn = (uniform[0] * (last + 1)).astype(np.int64)  # 0 .. last
    for i in range(1, count):
        taken = (drawn[:i] == drawn[i]).any(0)
        np.copyto(drawn[i], last[i], where=taken)
    order = uniform[1].argsort(0)  # the method's own order is not random
    shuffled: Numbers = drawn[order, np.arange(last.shape[1])].T.reshape(*sizes.shape, count)
    return shuffled
