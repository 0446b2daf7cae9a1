"""Generator of users with drawn tastes, who choose items from a catalogue and rate them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import check_int, check_number
from l2l_rnn.data import Interactions
from l2l_rnn.errors import ArgumentError

Tastes = NDArray[np.float32]

LEVELS = (1.0, 5.0)
MEAN = 3.2  # of a rating by a user without a taste, of an item of average quality
QUALITY = 0.45  # standard deviation of what an item adds to all its ratings
OFFSET = 0.4  # standard deviation of what a user adds to all ratings
TASTE = 0.75  # standard deviation of what a taste adds
NOISE = 0.7  # standard deviation of a rating besides
GENRE_SPREAD = 0.5  # standard deviation of an item's factors around those of its genre
KIND_SPREAD = 0.7  # standard deviation of a user's taste around that of its kind
APPEAL = 0.9  # how strongly taste, in standard deviations, affects what is chosen
STAGES = 8  # parts of a user's ratings, with a constant taste in each
FLAT = 10  # ranks that are about equally popular
SECONDS = 86_400  # mean time between two ratings
START = 978_300_000  # the earliest time, as in ml-1m


class TasteWorld:
    """A catalogue of items in genres, and kinds of users, from which users are drawn.

    Each item has a genre, factors `f_i` near those of its genre, a quality `q_i`, and a popularity
    that falls with its rank as `(rank + 10) ** -zipf` (the law of Zipf and Mandelbrot). Popular
    items are a little better. Each user has a kind, a taste `t_u` near that of the kind, and an
    offset `o_u`. Over a user's ratings, the taste moves in eight stages along a line to a second
    one: `t_u(s)`, with `drift` the share of the way. One item after another is chosen, none twice,
    with a probability proportional to `popularity_i exp(1.2 t_u(s) f_i)`. The rating is
    `3.2 + q_i + o_u + t_u(s) f_i + noise`, rounded to an integer from 1 to 5.

    Args:
        items: number of items.
        genres: number of genres.
        kinds: number of kinds of users.
        factors: length of tastes and of items' factors.
        zipf: exponent of the popularity.
        drift: how far a taste moves, from 0 (not at all) to 1 (to an independent taste of the same
            kind).
        noise: standard deviation of the noise of a rating, before it is rounded.
        seed: random seed of items and kinds.

    Attributes:
        genre: the genre of each item.
        item_factors, quality, log_popularity: those of each item.
        kind_tastes: the mean taste of each kind.

    Shapes:
        genre, quality, log_popularity (items,); item_factors (items, factors); kind_tastes (kinds,
        factors).

    Raises:
        ArgumentError: a number is out of range.

    Example:
        >>> world = TasteWorld(items=50)
        >>> world.draw(users=4, fewest=10, most=20, seed=1).users.max().item()
        3

    Source: the model is ours: matrix factorization with biases (Y. Koren, R. Bell and C. Volinsky,
    2009, Matrix Factorization Techniques for Recommender Systems), with choices that depend on
    popularity and taste, so that ratings are not missing at random (B. Marlin and R. Zemel, 2009).
    """

    def __init__(
        self,
        items: int = 500,
        genres: int = 12,
        kinds: int = 8,
        factors: int = 6,
        zipf: float = 1.0,
        drift: float = 0.5,
        noise: float = NOISE,
        seed: int = 0,
    ) -> None:
        who = "TasteWorld"
        self.items = check_int(who, "items", items, least=2)
        self.genres = check_int(who, "genres", genres)
        self.kinds = check_int(who, "kinds", kinds)
        self.factors = check_int(who, "factors", factors)
        self.zipf = check_number(who, "zipf", zipf, least=0)
        self.drift = check_number(who, "drift", drift, least=0, most=1)
        self.noise = check_number(who, "noise", noise, least=0)
        self.seed = check_int(who, "seed", seed, least=0)
        random = np.random.default_rng([self.seed, 0])
        self.genre = random.integers(self.genres, size=self.items)
        centers = random.normal(size=(self.genres, self.factors))
        spread = GENRE_SPREAD * random.normal(size=(self.items, self.factors))
        size = np.sqrt(1 + GENRE_SPREAD**2)
        self.item_factors = ((centers[self.genre] + spread) / size).astype(np.float32)
        rank = random.permutation(self.items)
        self.log_popularity = (-self.zipf * np.log(rank + FLAT)).astype(np.float32)
        liked = (self.log_popularity - self.log_popularity.mean()) / self.log_popularity.std()
        self.quality = QUALITY * (0.3 * liked + np.sqrt(1 - 0.3**2) * random.normal(size=items))
        self.kind_tastes = random.normal(size=(self.kinds, self.factors))

    def draw(self, users: int, fewest: int = 45, most: int = 105, seed: int = 0) -> Interactions:
        """Draw users and their ratings.

        Args:
            users: number of users.
            fewest, most: fewest and most ratings of a user; the number is uniform between them.
            seed: random seed of the users.

        Raises:
            ArgumentError: a number is out of range, or `most` exceeds the number of items.
        """
        who = "TasteWorld.draw"
        users = check_int(who, "users", users)
        fewest = check_int(who, "fewest", fewest)
        most = check_int(who, "most", most, least=fewest)
        if most > self.items:
            raise ArgumentError(
                f"{who}: most must be at most {self.items}, the number of items, because a user "
                f"rates an item once, got {most}; lower it, or add items"
            )
        random = np.random.default_rng([self.seed, 1, check_int(who, "seed", seed, least=0)])
        lengths = random.integers(fewest, most + 1, size=users)
        kind = random.integers(self.kinds, size=users)
        tastes = [self._tastes(kind, random) for _ in range(2)]
        offset = OFFSET * random.normal(size=users).astype(np.float32)
        free = np.ones((users, self.items), dtype=bool)
        everyone = np.arange(users)[:, None]
        chosen, liking = [], []
        for stage, count in enumerate(map(len, np.array_split(np.arange(most), STAGES))):
            moved = self.drift * stage / (STAGES - 1)
            match = ((1 - moved) * tastes[0] + moved * tastes[1]) @ self.item_factors.T
            # The highest values of log probability plus Gumbel noise are a draw without
            # replacement, in order.
            uniform = random.random(size=match.shape, dtype=np.float32)
            keys = self.log_popularity + APPEAL / TASTE * match - np.log(-np.log(uniform))
            keys = np.where(free, keys, -np.inf)
            item = np.argsort(-keys, axis=1)[:, :count]
            free[everyone, item] = False
            noise = self.noise * random.normal(size=item.shape)
            liking.append(MEAN + self.quality[item] + match[everyone, item] + noise)
            chosen.append(item)
        items, values = np.concatenate(chosen, 1) + 1, np.concatenate(liking, 1) + offset[:, None]
        gaps = random.exponential(SECONDS, size=(users, most))
        times = START + np.rint(gaps.cumsum(1) + 30 * SECONDS * random.random((users, 1)))
        times += np.arange(most)  # no two of a user are equal
        inside = np.arange(most) < lengths[:, None]
        return Interactions.from_arrays(
            np.broadcast_to(everyone + 1, inside.shape)[inside],
            items[inside],
            values.round().clip(*LEVELS)[inside],
            times[inside],
            scale=LEVELS,
        )

    def _tastes(self, kind: NDArray[np.int64], random: np.random.Generator) -> Tastes:
        """Draw a taste of each user."""
        spread = KIND_SPREAD * random.normal(size=(len(kind), self.factors))
        tastes = (
            TASTE / np.sqrt(self.factors * (1 + KIND_SPREAD**2)) * (self.kind_tastes[kind] + spread)
        )
        return tastes.astype(np.float32)
