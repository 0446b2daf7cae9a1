"""Sampling of classes and items without replacement, for many tasks at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

Numbers = NDArray[np.int64]


class Grouping:
    """Indexes items by group, and samples from many groups at once.

    Args:
        labels: the group of each item, 0 .. groups-1; groups may be empty.
        groups: the number of groups; None infers it from the largest label.

    Attributes:
        order: the items, sorted by group and then by index.
        starts: the start of each group in `order`.
        counts: the number of items in each group.
        present: the non-empty groups.
        smallest: the non-empty group with the fewest items.

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
        """Draw items from groups without replacement; all orders are equally likely.

        Args:
            groups: the groups to draw from; each must have at least `each` items.
            each: the number of items to draw from each.
            generator: random number generator; None uses torch's global generator.

        Shapes:
            groups (…); returns (…, each), indices of items.
        """
        counts, starts, order = self._arrays
        chosen = groups.numpy()
        positions = _distinct(counts[chosen], each, generator)
        return torch.from_numpy(order[starts[chosen][..., None] + positions])

    def draw_up_to(
        self, groups: Tensor, each: int, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw items from groups without replacement, all items of a group with too few.

        Args:
            groups: the groups to draw from.
            each: the number of items to draw from each.
            generator: random number generator; None uses torch's global generator.

        Returns:
            Indices of items, and how many of each row were drawn. The others repeat items.

        Shapes:
            groups (…); returns (…, each) and (…).

        Example:
            >>> items, found = Grouping(torch.tensor([1, 0, 1, 1])).draw_up_to(torch.arange(2), 2)
            >>> found.tolist(), items[0].tolist()
            ([1, 2], [1, 1])
        """
        counts, starts, order = self._arrays
        chosen = groups.numpy()
        sizes = counts[chosen][..., None]
        positions = _distinct(np.maximum(sizes[..., 0], each), each, generator)
        first = np.argsort(positions >= sizes, axis=-1, kind="stable")
        positions = np.take_along_axis(positions, first, -1)
        positions = np.where(positions < sizes, positions, 0)
        items = order[np.minimum(starts[chosen][..., None] + positions, len(order) - 1)]
        return torch.from_numpy(items), torch.from_numpy(np.minimum(sizes[..., 0], each))


def draw_distinct(sizes: Tensor, count: int, generator: Generator | None = None) -> Tensor:
    """Draw `count` distinct integers from 0 .. size-1 for each size, in random order.

    Time and memory grow with `count`, not with the sizes.

    Args:
        sizes: the number of integers to draw from, each at least `count`.
        count: the number of integers to draw.
        generator: random number generator; None uses torch's global generator.

    Shapes:
        sizes (…) int64; returns (…, count) int64.

    Example:
        >>> sorted(draw_distinct(torch.tensor([3]), 3)[0].tolist())
        [0, 1, 2]

    Source: R. W. Floyd in J. Bentley, 1987, Programming Pearls: A Sample of Brilliance.
    """
    return torch.from_numpy(_distinct(sizes.numpy(), count, generator))


def _distinct(sizes: Numbers, count: int, generator: Generator | None) -> Numbers:
    """Implement `draw_distinct` in numpy, which has less overhead per call than torch."""
    # Floyd's algorithm: draw number i from 0 .. size-count+i; if it is taken, use the upper bound.
    last = sizes.reshape(1, -1) - count + np.arange(count)[:, None]  # (count, …)
    uniform = torch.rand(2, *last.shape, dtype=torch.float64, generator=generator).numpy()
    drawn = (uniform[0] * (last + 1)).astype(np.int64)
    for i in range(1, count):
        taken = (drawn[:i] == drawn[i]).any(0)
        np.copyto(drawn[i], last[i], where=taken)
    order = uniform[1].argsort(0)  # Floyd's order is not uniform
    shuffled: Numbers = drawn[order, np.arange(last.shape[1])].T.reshape(*sizes.shape, count)
    return shuffled


def sample_by_class(labels: Tensor, each: int, generator: Generator | None = None) -> Tensor:
    """Draw up to `each` items of every class without replacement, sorted by class.

    Args:
        labels: the class of each item.
        each: maximum number of items of a class.
        generator: random number generator; None uses torch's global generator.

    Shapes:
        labels (items,); returns (B,), indices of items.

    Example:
        >>> labels = torch.tensor([1, 0, 1, 1])
        >>> labels[sample_by_class(labels, 2)]
        tensor([0, 1, 1])
    """
    shuffled = torch.randperm(len(labels), generator=generator)
    order = shuffled[labels[shuffled].argsort(stable=True)]  # by class, shuffled within
    counts = torch.bincount(labels)
    starts = counts.cumsum(0) - counts
    rank = torch.arange(len(labels)) - starts[labels[order]]
    return order[rank < each]
