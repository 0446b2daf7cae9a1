"""Sizes of tasks: fixed, or drawn for each task from a range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.errors import ArgumentError

Range = tuple[int, int]
Count = int | Range


@dataclass(frozen=True)
class Sizes:
    """The sizes of the tasks of a loader.

    Attributes:
        shots, queries, ways: a number, the least and the most, or None if the task set decides.
        imbalanced: whether classes with few examples take part with fewer of them.
    """

    shots: Count
    queries: Count | None
    ways: Count | None
    imbalanced: bool = False

    @property
    def vary(self) -> bool:
        """Whether the tasks of a batch may differ in size."""
        given = (self.shots, self.queries, self.ways)
        return self.imbalanced or any(isinstance(count, tuple) for count in given)

    def draw(self, tasks: int, generator: Generator, ways: int) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the ways, shots and queries of N tasks, uniformly and independently, `(N,)` each.

        Args:
            tasks: `N`.
            generator: random number generator.
            ways: the ways if the task set decides.
        """
        counts = (self.ways or ways, self.shots, self.queries or 1)
        low, high = zip(*map(as_range, counts), strict=True)
        uniform = torch.rand(3, tasks, dtype=torch.float64, generator=generator)
        least, span = torch.tensor(low), torch.tensor(high) - torch.tensor(low) + 1
        drawn = (uniform * span.unsqueeze(1)).long() + least.unsqueeze(1)
        return drawn[0], drawn[1], drawn[2]


def as_range(count: Count) -> Range:
    """Return the least and the most."""
    return count if isinstance(count, tuple) else (count, count)


def most(count: Count) -> int:
    """Return the largest number that a count allows."""
    return as_range(count)[1]


def check_count(who: str, name: str, value: Any) -> Count:
    """Return a count as an int or as the pair of the least and the most.

    Raises:
        ArgumentError: it is neither a positive integer nor a pair of them in ascending order.

    Example:
        >>> check_count("TaskLoader", "shots", 5), check_count("TaskLoader", "shots", [1, 5])
        (5, (1, 5))
    """
    if not isinstance(value, tuple | list):
        return check_int(who, name, value)
    if len(value) != 2:
        raise ArgumentError(
            f"{who}: {name} must be a number or a pair (least, most), got {value!r}; for example "
            f"{name}=(1, 10)"
        )
    low, high = (check_int(who, name, part) for part in value)
    if low > high:
        raise ArgumentError(
            f"{who}: {name} must be a pair (least, most) in ascending order, got {value!r}; swap "
            "them"
        )
    return low if low == high else (low, high)
