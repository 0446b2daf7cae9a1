"""Splits of ratings by user, so that no user is in two of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.data.recommendation.catalogue import Catalogue
from l2l_rnn.data.recommendation.interactions import Interactions
from l2l_rnn.data.recommendation.user_ratings import UserRatings
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, DataError

UserSources = tuple[UserRatings, UserRatings, UserRatings]


def from_ratings(
    interactions: Interactions,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    *,
    least: int = 20,
    generator: Generator | None = None,
) -> UserSources:
    """Return sources of tasks whose train, validation and test users are disjoint.

    All three have the catalogue of the train users. Items that only other users rated are unknown,
    with the id 1, and `unknown` counts their ratings.

    Args:
        interactions: the ratings, such as those of `read_ratings`.
        fractions: relative numbers of train, validation and test users, approximately. Every split
            gets at least one user.
        least: fewest ratings of a user; users with fewer are left out of all splits. A task takes
            `shots + queries` ratings.
        generator: random number generator; None uses torch's global generator.

    Returns:
        the train, validation and test source, for `tasksets.tasksets_of` and `SourceTaskset`.

    Raises:
        ArgumentError: the fractions are not three positive numbers, or `least` is not a positive
            integer.
        DataError: fewer than three users have enough ratings.

    Example:
        >>> users, items = np.repeat(np.arange(10), 20), np.tile(np.arange(20), 10)
        >>> table = Interactions.from_arrays(users, items, np.full(200, 4.0), np.arange(200))
        >>> train, validation, test = from_ratings(table)
        >>> train, len(test.group_names)
        (UserRatings(ratings=140, users=7, catalogue=20), 2)
    """
    who = "from_ratings"
    if not isinstance(fractions, Sequence) or len(fractions) != len(SPLITS):
        raise ArgumentError(
            f"{who}: fractions must be three numbers, for train, validation and test, got "
            f"{fractions!r}; pass three, such as (0.7, 0.1, 0.2)"
        )
    shares = np.array([check_number(who, "a fraction", part, above=0) for part in fractions])
    least = check_int(who, "least", least)
    counts = np.bincount(interactions.users, minlength=len(interactions.user_names))
    enough = np.flatnonzero(counts >= least)
    if len(enough) < len(SPLITS):
        raise DataError(
            f"{who}: expected at least {len(SPLITS)} users with {least} ratings or more, one for "
            f"each split, got {len(enough)} of {int((counts > 0).sum())} users; lower least, or "
            "add users"
        )
    order = enough[torch.randperm(len(enough), generator=generator).numpy()]
    cuts = np.rint(np.cumsum(shares)[:-1] / shares.sum() * len(order)).astype(int)
    cuts[0] = min(max(cuts[0], 1), len(order) - 2)
    cuts[1] = min(max(cuts[1], cuts[0] + 1), len(order) - 1)
    tables = [
        interactions.select(np.isin(interactions.users, part)) for part in np.split(order, cuts)
    ]
    catalogue = Catalogue.of(tables[0])
    train, validation, test = (UserRatings(table, catalogue, least=least) for table in tables)
    return train, validation, test
