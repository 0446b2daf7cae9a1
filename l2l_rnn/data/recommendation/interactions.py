"""Table of interactions: which user rated which item, how, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from l2l_rnn.checks import check_choice, check_number, shown
from l2l_rnn.data.series.dataframes import is_frame
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError, UnknownNameError

Scale = tuple[float, float]


@dataclass(frozen=True)
class Interactions:
    """Ratings of items by users. Use `from_arrays`, `from_frame` or `read_ratings` to create one.

    Attributes:
        users, items: user and item of each interaction, positions in `user_names` and `item_names`.
        ratings: the ratings.
        times: times, such as seconds since 1970, or None if they are unknown.
        user_names, item_names: ids of the users and items, as in their source.
        scale: the lowest and the highest rating.
        titles: titles of items by name; may lack some.

    Shapes:
        users and items (n,) int64, ratings (n,) float32, times (n,) float64.

    Example:
        >>> table = Interactions.from_arrays(["ada", "alan"], ["Alien", "Brazil"], [4, 5])
        >>> len(table), table.user_names, table.scale
        (2, ('ada', 'alan'), (1.0, 5.0))
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    ratings: NDArray[np.float32]
    times: NDArray[np.float64] | None
    user_names: tuple[str, ...]
    item_names: tuple[str, ...]
    scale: Scale
    titles: Mapping[str, str]

    def __len__(self) -> int:
        """Return the number of interactions."""
        return len(self.users)

    def __repr__(self) -> str:
        return (
            f"Interactions({len(self)} ratings of {len(self.item_names)} items by "
            f"{len(self.user_names)} users)"
        )

    @classmethod
    def from_arrays(
        cls,
        users: Sequence[Any] | NDArray[Any],
        items: Sequence[Any] | NDArray[Any],
        ratings: Sequence[float] | NDArray[Any],
        times: Sequence[float] | NDArray[Any] | None = None,
        *,
        scale: Scale = (1.0, 5.0),
        titles: Mapping[str, str] | None = None,
        duplicates: str = "error",
    ) -> Interactions:
        """Return the interactions of arrays with one value for each.

        Args:
            users, items: ids, of any type; their `str` is used.
            ratings: the ratings.
            times: times as numbers; None if they are unknown.
            scale: the lowest and the highest rating.
            titles: titles of items, by id.
            duplicates: what to do if a user rated an item twice: raise an `"error"`, or keep the
                `"first"` or the `"last"` rating, by time or, without times, by position.

        Raises:
            ShapeError: the arrays differ in length.
            ArgumentTypeError: ratings or times are not numbers.
            ArgumentError: the scale is not two ascending numbers.
            UnknownNameError: `duplicates` is unknown.
            DataError: there are no interactions, a rating is outside the scale, a time is not
                finite, or a user rated an item twice and `duplicates` is `"error"`.

        Example:
            >>> Interactions.from_arrays([1, 1, 2], ["a", "b", "a"], [5, 3, 9])
            Traceback (most recent call last):
            ...
            l2l_rnn.errors.DataError: Interactions: ratings must lie in 1.0 .. 5.0, got 9.0 in \
row 2; set scale, or correct it
        """
        who = "Interactions"
        check_choice(who, "duplicates", duplicates, ("error", "first", "last"))
        low, high = checked_scale(who, scale)
        columns = {"users": users, "items": items, "ratings": ratings}
        if times is not None:
            columns["times"] = times
        counts = {name: len(column) for name, column in columns.items()}
        if len(set(counts.values())) > 1:
            raise ShapeError(
                f"{who}: expected arrays of one length, got "
                f"{', '.join(f'{count} {name}' for name, count in counts.items())}; pass one value "
                "for each interaction"
            )
        if not len(users):
            raise DataError(f"{who}: expected at least one interaction, got none; pass some")
        values = _numbers(who, "ratings", ratings)
        wrong = ~((values >= low) & (values <= high))
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{who}: ratings must lie in {low} .. {high}, got {values[row]} in row {row}; set "
                "scale, or correct it"
            )
        when = None if times is None else _numbers(who, "times", times)
        if when is not None and not np.isfinite(when).all():
            row = int((~np.isfinite(when)).argmax())
            raise DataError(
                f"{who}: times must be finite numbers, got {when[row]} in row {row}; fill it in, "
                "or drop the row"
            )
        user_names, user_codes = _codes(users)
        item_names, item_codes = _codes(items)
        table = cls(
            user_codes,
            item_codes,
            values.astype(np.float32),
            when,
            user_names,
            item_names,
            (low, high),
            dict(titles or {}),
        )
        return table._distinct(who, duplicates)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str = "userId",
        item: str = "movieId",
        rating: str = "rating",
        time: str | None = "timestamp",
        **options: Any,
    ) -> Interactions:
        """Return the interactions of a pandas DataFrame with a row for each.

        Args:
            frame: the DataFrame.
            user, item, rating: names of its columns.
            time: name of the column of times, numbers or dates; None if they are unknown.
            options: the options of `from_arrays`.

        Raises:
            ArgumentTypeError: `frame` is not a DataFrame.
            UnknownNameError: a column does not exist.
            ArgumentError: as in `from_arrays`.

        Example:
            >>> import pandas
            >>> frame = pandas.DataFrame({"who": ["ada"], "film": ["Alien"], "stars": [4]})
            >>> Interactions.from_frame(frame, user="who", item="film", rating="stars", time=None)
            Interactions(1 ratings of 1 items by 1 users)
        """
        who = "Interactions.from_frame"
        if not is_frame(frame):
            raise ArgumentTypeError(
                f"{who}: frame must be a pandas DataFrame, got {type(frame).__name__}; use "
                "from_arrays"
            )
        for name in (user, item, rating, time):
            if name is not None and name not in frame.columns:
                known = ", ".join(map(str, frame.columns))
                raise UnknownNameError(f"{who}: unknown column {name!r}. Known: {known}")
        users, items, ratings = (frame[name].to_numpy() for name in (user, item, rating))
        times = None if time is None else frame[time].to_numpy()
        if times is not None and times.dtype.kind == "M":
            seconds = times.astype("datetime64[ns]").astype(np.int64) / 1e9
            times = np.where(np.isnat(times), np.nan, seconds)
        return cls.from_arrays(users, items, ratings, times, **options)

    def select(self, rows: NDArray[Any]) -> Interactions:
        """Return some of the interactions, with the same users and items.

        Args:
            rows: their positions, or a bool for each interaction.
        """
        times = None if self.times is None else self.times[rows]
        return replace(
            self,
            users=self.users[rows],
            items=self.items[rows],
            ratings=self.ratings[rows],
            times=times,
        )

    def by_user(self) -> NDArray[np.int64]:
        """Return the positions of the interactions, ordered by user and then by time.

        Interactions of the same time, or without times, keep their order.
        """
        if self.times is None:
            return np.argsort(self.users, kind="stable")
        return np.lexsort((self.times, self.users))

    def _distinct(self, who: str, duplicates: str) -> Interactions:
        """Return the table with one interaction for each pair of a user and an item."""
        pairs = self.users * len(self.item_names) + self.items
        if len(np.unique(pairs)) == len(pairs):
            return self
        order = np.argsort(pairs, kind="stable")
        if self.times is not None:
            order = np.lexsort((self.times, pairs))
        same = pairs[order][1:] == pairs[order][:-1]
        if duplicates == "error":
            one, two = sorted(order[int(same.argmax()) :][:2].tolist())
            raise DataError(
                f"{who}: a user must rate an item once, got two ratings of item "
                f"{shown(self.item_names[self.items[two]])} by user "
                f"{shown(self.user_names[self.users[two]])} in rows {one} and {two}; drop one, or "
                "set duplicates='last'"
            )
        kept = np.concatenate([[True], ~same] if duplicates == "first" else [~same, [True]])
        return self.select(np.sort(order[kept]))


def checked_scale(who: str, scale: object) -> Scale:
    """Return the lowest and the highest rating.

    Raises:
        ArgumentError: the scale is not two ascending numbers.
    """
    pair = tuple(scale) if isinstance(scale, (tuple, list)) and len(scale) == 2 else (None, None)
    fix = "pass the lowest and the highest rating, such as (1, 5)"
    low = check_number(who, "the lowest rating of scale", pair[0], fix=fix)
    return low, check_number(who, "the highest rating of scale", pair[1], above=low, fix=fix)


def _numbers(who: str, what: str, values: Any) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            f"{who}: {what} must be numbers, got others ({error}); convert them"
        ) from error


def _codes(ids: Any) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the distinct ids as text, in their own order, and the position of each id in them."""
    array = np.asarray(ids)
    if array.dtype.kind in "iuf" and array.ndim == 1:
        found, codes = np.unique(array, return_inverse=True)
        return tuple(map(str, found.tolist())), codes.astype(np.int64)
    texts = np.asarray([str(value) for value in ids])
    found, codes = np.unique(texts, return_inverse=True)
    return tuple(found.tolist()), codes.astype(np.int64)
