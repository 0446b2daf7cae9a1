"""The items that a model knows, and their ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from l2l_rnn.checks import shown
from l2l_rnn.data.recommendation.interactions import Interactions
from l2l_rnn.errors import DataError

PADDING, UNKNOWN, FIRST = 0, 1, 2  # ids: no item, an item outside the catalogue, the first item


class Catalogue:
    """Ids of items: 0 is padding, 1 an item that is not in the catalogue, and items begin at 2.

    Args:
        names: names of the items.
        titles: titles of items by name; may lack some.

    Attributes:
        names: as given.

    Raises:
        DataError: there are no items, or a name is there twice.

    Example:
        >>> catalogue = Catalogue(["50", "172"], {"50": "Star Wars"})
        >>> len(catalogue), catalogue.ids(["172", "50", "9"])
        (4, tensor([3, 2, 1]))
        >>> catalogue.title(2), catalogue.title(3)
        ('Star Wars', '172')
    """

    def __init__(self, names: Sequence[str], titles: Mapping[str, str] | None = None) -> None:
        self.names = tuple(names)
        self._titles = dict(titles or {})
        self._ids = {name: number for number, name in enumerate(self.names, FIRST)}
        if not self.names or len(self._ids) < len(self.names):
            got = "none" if not self.names else f"{len(self.names) - len(self._ids)} of them twice"
            raise DataError(
                f"Catalogue: names must be of distinct items, at least one, got {got}; name each "
                "item once"
            )

    @classmethod
    def of(cls, interactions: Interactions) -> Catalogue:
        """Return the catalogue of the items that were rated, in the order of the table."""
        rated = np.unique(interactions.items)
        names = [interactions.item_names[code] for code in rated]
        return cls(names, {n: t for n, t in interactions.titles.items() if n in set(names)})

    def __len__(self) -> int:
        """Return the number of ids, padding and unknown items included."""
        return len(self.names) + FIRST

    def __repr__(self) -> str:
        return f"Catalogue({len(self.names)} items)"

    def ids(self, names: Iterable[str]) -> Tensor:
        """Return the ids of items, `(n,)` int64; 1 for those that are not in the catalogue."""
        return torch.tensor([self._ids.get(name, UNKNOWN) for name in names], dtype=torch.int64)

    def name(self, number: int) -> str:
        """Return the name of the item with an id.

        Raises:
            DataError: the id is not that of an item of the catalogue.
        """
        if not FIRST <= number < len(self):
            raise DataError(
                f"Catalogue: the id of an item must be from {FIRST} to {len(self) - 1}, got "
                f"{shown(number)}; 0 is padding and 1 an unknown item"
            )
        return self.names[number - FIRST]

    def title(self, number: int) -> str:
        """Return the title of the item with an id, or its name if it has no title."""
        return self._titles.get(self.name(number), self.name(number))
