"""Sampling of tasks with support and query items from different groups, such as speakers."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from l2l_rnn.data.sampling import Numbers
from l2l_rnn.errors import DataError

_UNSET, _QUERY, _SUPPORT = -1, 0, 1
_CLASS_SETS = 100  # sets of classes to try for a task
_ATTEMPTS = 10  # random divisions of the groups to try for a set of classes

Sides = NDArray[np.bool_]


class _Class(NamedTuple):
    items: Numbers  # sorted by group
    owners: Numbers  # the group of each item
    groups: Numbers  # the groups that have items, in ascending order
    sizes: Numbers  # the number of items of each of them


class GroupedClasses:
    """Draws tasks whose support items and query items have no group in common.

    The groups of a task's classes are divided at random into support groups and query groups. Then
    the items of each class are drawn from its groups on either side, all with equal probability.

    Args:
        who: prefix of error messages.
        labels: the class of each item.
        groups: the group of each item.
        names: the names of the classes.

    Attributes:
        count: number of groups.

    Shapes:
        labels, groups (items,) int64.

    Example:
        >>> labels, groups = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([7, 7, 2, 2, 7])
        >>> classes = GroupedClasses("me", labels, groups, ("a", "b"))
        >>> support, query = classes.draw(tasks=1, ways=2, shots=1, queries=1).unbind(-1)
        >>> bool(set(groups[support].flatten()) & set(groups[query].flatten()))
        False
    """

    def __init__(self, who: str, labels: Tensor, groups: Tensor, names: tuple[str, ...]) -> None:
        self.who, self.names = who, names
        label, group = labels.cpu().numpy(), groups.cpu().numpy()
        found, codes = np.unique(group, return_inverse=True)
        self.count = len(found)
        order = np.lexsort((np.arange(len(label)), codes, label))
        present, starts = np.unique(label[order], return_index=True)
        self._classes: dict[int, _Class] = {}
        for number, items in zip(present.tolist(), np.split(order, starts[1:]), strict=True):
            own, sizes = np.unique(codes[items], return_counts=True)
            self._classes[number] = _Class(items, codes[items], own, sizes)
        self._checked: set[tuple[int, int]] = set()

    def check(self, shots: int, queries: int) -> None:
        """Check that each class has groups for `shots` support items and `queries` other items.

        Raises:
            DataError: a class does not; the message has its counts.
        """
        if (shots, queries) in self._checked:
            return
        rng = np.random.default_rng(0)
        lacking = [
            number
            for number, own in self._classes.items()
            if _divide(own.sizes, shots, queries, rng) is None
        ]
        if lacking:
            sizes = self._classes[lacking[0]].sizes
            shown = ", ".join(map(str, sizes[:10])) + (", …" if len(sizes) > 10 else "")
            groups = "1 group" if len(sizes) == 1 else f"{len(sizes)} groups"
            others = f" and for {len(lacking) - 1} other classes" if len(lacking) > 1 else ""
            raise DataError(
                f"{self.who}: every class must have {shots} support and {queries} query items from "
                f"different groups, got {groups} of {shown} items for class "
                f"{self.names[lacking[0]]!r}{others}; ask for fewer shots or queries, or leave "
                "these classes out"
            )
        self._checked.add((shots, queries))

    def draw(
        self, tasks: int, ways: int, shots: int, queries: int, generator: Generator | None = None
    ) -> Tensor:
        """Draw the items of N tasks, the support items of each class first.

        Args:
            tasks: `N`.
            ways: `C`, classes per task.
            shots, queries: support and query items per class.
            generator: random number generator; None uses torch's global generator.

        Shapes:
            returns (N, C, shots + queries), indices of items.

        Raises:
            DataError: a class has too few groups, or no division of the groups was found.
        """
        self.check(shots, queries)
        seeds = torch.randint(2**62, (tasks,), generator=generator).tolist()
        return torch.from_numpy(
            np.stack([self._task(ways, shots, queries, np.random.default_rng(s)) for s in seeds])
        )

    def _task(self, ways: int, shots: int, queries: int, rng: np.random.Generator) -> Numbers:
        present = np.array(list(self._classes))
        for _ in range(_CLASS_SETS):
            chosen = [self._classes[n] for n in rng.permutation(present)[:ways].tolist()]
            for _ in range(_ATTEMPTS):
                sides = self._sides(chosen, shots, queries, rng)
                if sides is not None:
                    return np.stack([_items(own, sides, shots, queries, rng) for own in chosen])
        raise DataError(
            f"{self.who}: the groups of {ways} classes must have {shots} support and {queries} "
            f"query items per class from different groups, got no such division of the groups for "
            f"{_CLASS_SETS} random sets of classes; ask for fewer ways, shots or queries"
        )

    def _sides(
        self, chosen: list[_Class], shots: int, queries: int, rng: np.random.Generator
    ) -> NDArray[np.int8] | None:
        """Return the side of each group in a task, or None if this attempt failed.

        Classes choose one after another, those with the fewest groups first; a class can only
        choose the side of groups that earlier classes do not share.
        """
        sides = np.full(self.count, _UNSET, np.int8)
        shuffled = [chosen[k] for k in rng.permutation(len(chosen)).tolist()]
        for own in sorted(shuffled, key=lambda own: len(own.groups)):
            taken = sides[own.groups]
            free = taken == _UNSET
            division = _divide(
                own.sizes[free],
                shots - int(own.sizes[taken == _SUPPORT].sum()),
                queries - int(own.sizes[taken == _QUERY].sum()),
                rng,
            )
            if division is None:
                return None
            sides[own.groups[free]] = division
        return sides


def _items(
    own: _Class, sides: NDArray[np.int8], shots: int, queries: int, rng: np.random.Generator
) -> Numbers:
    """Draw the items of a class, `(shots + queries,)`, from its groups on either side."""
    # A few random items usually suffice, however large the class is.
    drawn = rng.integers(len(own.items), size=4 * (shots + queries)).tolist()
    places = np.array(list(dict.fromkeys(drawn)))
    support = sides[own.owners[places]] == _SUPPORT
    chosen = [places[support][:shots], places[~support][:queries]]
    if len(chosen[0]) < shots or len(chosen[1]) < queries:
        support = sides[own.owners] == _SUPPORT
        chosen = [
            rng.choice(np.flatnonzero(side), count, replace=False)
            for side, count in ((support, shots), (~support, queries))
        ]
    return own.items[np.concatenate(chosen)]


def _divide(sizes: Numbers, shots: int, queries: int, rng: np.random.Generator) -> Sides | None:
    """Divide groups into support groups of at least `shots` items and query groups of `queries`.

    Random divisions are tried first, each with its own random share of support groups. The exact
    search is rarely needed.

    Returns:
        Whether each group is a support group, or None if no division exists.
    """
    total = int(sizes.sum())
    if max(shots, 0) + max(queries, 0) > total:
        return None
    rows = min(max(256 // max(len(sizes), 1), 1), 32)
    for _ in range(4):
        drawn = rng.random((rows, len(sizes))) < rng.random((rows, 1))
        support = drawn @ sizes
        fits = (support >= shots) & (total - support >= queries)
        first = int(fits.argmax())
        if fits[first]:
            found: Sides = drawn[first]
            return found
    return _divide_exactly(sizes, shots, queries, rng)


def _divide_exactly(
    sizes: Numbers, shots: int, queries: int, rng: np.random.Generator
) -> Sides | None:
    """Find a division by dynamic programming over the number of support items."""
    most = max(shots, queries, 1)
    order = rng.permutation(len(sizes))
    # A side needs at most this many items of one group, so larger groups count no more.
    capped = np.minimum(sizes[order], most).tolist()
    # Bit s of reachable[i] is set if some of the first i groups have s items together.
    reachable = list(itertools.accumulate(capped, lambda sums, n: sums | sums << n, initial=1))
    low, high = max(shots, 0), sum(capped) - max(queries, 0)
    sums = [s for s in range(low, high + 1) if reachable[-1] >> s & 1]
    if not sums:
        return None
    left = sums[int(rng.integers(len(sums)))]
    support = np.zeros(len(sizes), bool)
    for i in range(len(capped) - 1, -1, -1):
        within = left >= capped[i] and reachable[i] >> (left - capped[i]) & 1
        without = reachable[i] >> left & 1
        if within and (not without or rng.random() < 0.5):
            support[order[i]] = True
            left -= capped[i]
    return support
