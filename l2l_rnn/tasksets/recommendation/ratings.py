"""Ratings of items: each user is a task, drawn or from a file in a format of MovieLens."""

from __future__ import annotations

import os
from collections.abc import Sequence

from torch import Generator

from l2l_rnn.checks import check_int
from l2l_rnn.data import from_ratings, read_ratings
from l2l_rnn.data.cards import TaskCard
from l2l_rnn.tasksets.catalog import Sources, register_taskset
from l2l_rnn.tasksets.recommendation.drawn_users import TasteWorld


@register_taskset(
    "ratings",
    TaskCard(
        task="Predict how an unseen user rates items, and the next item, from a few ratings.",
        source="users with drawn tastes, or a file in a format of MovieLens that you have",
        license="none needed; that of MovieLens for its files",
        classes=(420, 60, 120),
        items=(32077, 4531, 8801),
        lengths=(1, 1),
        splits="disjoint by user",
        measure="root mean squared error (10 ratings known)",
        chance=1.07,
        baseline=("item means plus the user's mean deviation, shrunk", 0.90),
        counted="users",
    ),
)
def ratings(
    root: str | os.PathLike[str] = "~/data",
    *,
    file: str | os.PathLike[str] | None = None,
    titles: str | os.PathLike[str] | None = None,
    format: str | None = None,
    scale: tuple[float, float] | None = None,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    least: int = 20,
    users: int = 600,
    items: int = 500,
    fewest: int = 45,
    most: int = 105,
    drift: float = 0.5,
    noise: float = 0.7,
    seed: int = 0,
) -> Sources:
    """Return the sources of the task set `ratings`: `data.UserRatings` of disjoint users.

    Without `file`, users are drawn by `TasteWorld`: their first ratings tell of their tastes, which
    drift. With a file, such as `u.data` of ml-100k, users are split at random. MovieLens's files
    are not shipped: get them from https://grouplens.org/datasets/movielens.

    Args:
        root: folder of the files; drawn users need none.
        file: a file of ratings, relative to `root`; None draws users.
        titles: a file of titles, relative to `root`; None for none.
        format, scale: as in `data.read_ratings`.
        fractions, least: as in `data.from_ratings`.
        users: number of drawn users, in all splits together.
        items, drift, noise: of drawn users, as in `TasteWorld`.
        fewest, most: fewest and most ratings of a drawn user.
        seed: random seed of the drawn users, and of the split.

    Raises:
        ArgumentError, ArgumentTypeError, DataError: as in `data.read_ratings`, `data.from_ratings`
            and `TasteWorld`.

    Example:
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> train, _, test = get_tasksets("ratings", users=50, items=200)
        >>> train.source
        UserRatings(ratings=2614, users=35, catalogue=200)
        >>> test.source.draw(tasks=4, shots=10, queries=5).query_y.shape
        torch.Size([4, 5, 1])
    """
    seed = check_int("ratings", "seed", seed, least=0)
    generator = Generator().manual_seed(seed)
    if file is not None:
        place = os.path.expanduser(root)
        table = read_ratings(
            os.path.join(place, file),
            format=format,
            scale=scale,
            titles=None if titles is None else os.path.join(place, titles),
        )
    else:
        world = TasteWorld(items, drift=drift, noise=noise, seed=seed)
        table = world.draw(users, fewest, most, seed=seed)
    return from_ratings(table, fractions, least=least, generator=generator)
