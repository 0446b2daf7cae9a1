"""Tasks from ratings: each user is a task, with the first ratings as the support set."""

from __future__ import annotations

import random
from typing import Any

import torch
from learn2learn.data.task_dataset import DataDescription
from torch import Generator, Tensor

from l2l_rnn.checks import check_int
from l2l_rnn.data.grouped_dataset import GroupedDataset
from l2l_rnn.data.recommendation.catalogue import UNKNOWN, Catalogue
from l2l_rnn.data.recommendation.interactions import Interactions
from l2l_rnn.data.task_batch import TaskBatch
from l2l_rnn.data.task_source import Recipe, check_counts, described
from l2l_rnn.errors import DataError


class UserRatings(GroupedDataset):
    """Dataset of ratings. A task is a user: the support set has the user's first ratings.

    An example is an item and its rating. The query set has the ratings that follow the support set
    in time. Without times, the ratings of a task are in random order, and there is no next item.

    Args:
        interactions: the ratings.
        catalogue: the items that have an id; None is those of `interactions`. Other items have the
            id 1, which means unknown.
        least: fewest ratings of a user; users with fewer are left out.

    Attributes:
        inputs: id of the item of each rating, by user and then by time.
        targets: the ratings.
        groups: user of each rating.
        group_names: ids of the users, as in their source.
        vocabulary: the catalogue; its `len` is the `vocab_size` of a model.
        scale: the lowest and the highest rating.
        chronological: whether there are times, so that support sets precede their queries.
        unknown: number of ratings of unknown items.
        dropped: number of users that were left out.

    Shapes:
        inputs (items, 1) int64, targets (items, 1) float32, groups (items,) int64.

    Raises:
        ArgumentError: `least` is not a positive integer.
        DataError: no user has at least `least` ratings.

    Example:
        >>> table = Interactions.from_arrays([1, 1, 1, 2, 2], [7, 8, 9, 7, 9], [5, 3, 4, 2, 1],
        ...                                  [30, 10, 20, 0, 5])
        >>> dataset = UserRatings(table)
        >>> batch = dataset.draw(tasks=1, shots=2, queries=1)
        >>> batch.support_x.squeeze(-1), batch.support_y.squeeze(-1)
        (tensor([[3, 4]]), tensor([[3., 4.]]))
        >>> dataset.next_items(batch)  # the item that follows the support set
        tensor([2])
    """

    def __init__(
        self,
        interactions: Interactions,
        catalogue: Catalogue | None = None,
        *,
        least: int = 2,
    ) -> None:
        who = type(self).__name__
        least = check_int(who, "least", least)
        self.vocabulary = Catalogue.of(interactions) if catalogue is None else catalogue
        self.scale, self.chronological = interactions.scale, interactions.times is not None
        table = interactions.select(interactions.by_user())
        counts = torch.bincount(torch.from_numpy(table.users), minlength=len(table.user_names))
        kept = counts >= least
        self.dropped = int(((counts > 0) & ~kept).sum())
        if not kept.any():
            raise DataError(
                f"{who}: a user must have at least {least} ratings, got at most "
                f"{int(counts.max())} for each of {self.dropped} users; lower least"
            )
        numbers = kept.cumsum(0) - 1
        rows = kept[torch.from_numpy(table.users)]
        ids = self.vocabulary.ids(table.item_names)
        super().__init__(
            ids[torch.from_numpy(table.items)][rows].unsqueeze(-1),
            torch.from_numpy(table.ratings)[rows].unsqueeze(-1),
            numbers[torch.from_numpy(table.users)][rows],
            group_names=[table.user_names[user] for user in kept.nonzero().flatten().tolist()],
        )
        self.unknown = int((self.inputs == UNKNOWN).sum())

    def __repr__(self) -> str:
        sizes = {
            "ratings": len(self),
            "users": len(self.group_names),
            "catalogue": len(self.vocabulary.names),
            "unknown": self.unknown or None,
            "dropped": self.dropped or None,
        }
        return described(self, sizes)

    def draw(
        self,
        tasks: int,
        shots: int,
        queries: int,
        generator: Generator | None = None,
        *,
        ways: int | None = None,
    ) -> TaskBatch:
        who = f"{type(self).__name__}.draw"
        tasks, shots, queries, _ = check_counts(who, tasks, shots, queries, ways)
        users = self._users_with(shots + queries)
        chosen = users[torch.randint(len(users), (tasks,), generator=generator)]
        items = self._rows(chosen, shots + queries, generator).unsqueeze(1)  # (N, 1, samples)
        return self._batch(items[..., :shots], items[..., shots:])

    def recipe(self, ways: int, samples: int) -> Recipe:
        self._users_with(samples)
        return self.meta(), [_OneUser(self, samples)]

    def next_items(self, batch: TaskBatch) -> Tensor:
        """Return the item that follows the support set of each task, `(N,)` int64.

        Args:
            batch: tasks of this dataset.

        Raises:
            DataError: the ratings have no times.
        """
        self.check_order("next_items")
        return batch.query_x[:, 0, 0]

    def check_order(self, what: str) -> None:
        """Check that the ratings have times, which `what` needs.

        Raises:
            DataError: they have none.
        """
        if not self.chronological:
            raise DataError(
                f"{type(self).__name__}.{what}: next items need the times of the ratings, got "
                "none; pass times, or a file with timestamps"
            )

    def _users_with(self, samples: int) -> Tensor:
        """Return the users with enough ratings."""
        users = (self.grouping.counts >= samples).nonzero().squeeze(-1)
        if not len(users):
            raise DataError(
                f"{type(self).__name__}: a user must have at least {samples} ratings, support and "
                f"query together, got at most {int(self.grouping.counts.max())}; ask for fewer"
            )
        return users

    def _rows(self, users: Tensor, samples: int, generator: Generator | None) -> Tensor:
        """Return the first ratings of users, or random ones without times, `(N, samples)`."""
        if not self.chronological:
            return self.grouping.draw(users, samples, generator)
        return self.grouping.starts[users].unsqueeze(-1) + torch.arange(samples)


class _OneUser:
    """Task transform for learn2learn: the first ratings of one user."""

    def __init__(self, dataset: UserRatings, samples: int) -> None:
        self.dataset, self.samples = dataset, samples
        self.users = dataset._users_with(samples).tolist()

    def __call__(self, task_description: Any) -> list[DataDescription]:
        """Draw a task with Python's `random`, as learn2learn's transforms do."""
        user = torch.tensor([random.choice(self.users)])
        generator = Generator().manual_seed(random.getrandbits(32))
        description = []
        for index in self.dataset._rows(user, self.samples, generator)[0].tolist():
            item = DataDescription(index)
            item.transforms.append(self.dataset.__getitem__)
            description.append(item)
        return description
