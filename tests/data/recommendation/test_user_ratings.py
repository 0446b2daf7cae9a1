"""Tasks from ratings: order in time, splits by user, unknown items, and errors."""

import random

import numpy as np
import pytest
import torch
from torch import Generator

from l2l_rnn.data import (
    Catalogue,
    Interactions,
    SourceTaskset,
    TaskLoader,
    UserRatings,
    from_ratings,
)
from l2l_rnn.errors import ArgumentError, DataError


def table_of(users=12, each=9, times=True, seed=0):
    """Users who rated `each` of 30 items, in rows of random order."""
    draw = np.random.default_rng(seed)
    who = np.repeat(np.arange(users), each)
    what = np.concatenate([draw.permutation(30)[:each] for _ in range(users)])
    when = draw.permutation(len(who)) if times else None
    order = draw.permutation(len(who))
    rated = draw.integers(1, 6, len(who))
    return Interactions.from_arrays(
        who[order], what[order], rated[order], None if when is None else when[order]
    )


def first_ratings(table, user):
    """Items and ratings of a user by time, found without the dataset."""
    rows = sorted(
        (table.times[i], table.item_names[table.items[i]], float(table.ratings[i]))
        for i in range(len(table))
        if table.user_names[table.users[i]] == user
    )
    return [row[1:] for row in rows]


def test_a_task_has_the_first_ratings_of_a_user():
    table = table_of()
    dataset = UserRatings(table)
    batch = dataset.draw(20, 4, 3, Generator().manual_seed(1))
    assert len(set(dataset.groups[batch.support_indices[:, 0]].tolist())) > 5
    for n in range(20):
        user = dataset.group_names[dataset.groups[batch.support_indices[n, 0]]]
        expected = first_ratings(table, user)
        x = torch.cat([batch.support_x[n], batch.query_x[n]]).flatten().tolist()
        y = torch.cat([batch.support_y[n], batch.query_y[n]]).flatten().tolist()
        found = [(dataset.vocabulary.name(i), r) for i, r in zip(x, y, strict=True)]
        assert found == expected[:7]
    assert torch.equal(dataset.next_items(batch), batch.query_x[:, 0, 0])


def test_tasks_of_learn2learn_have_the_same_order():
    table = table_of()
    dataset = UserRatings(table)
    random.seed(0)
    x, y = SourceTaskset(dataset, 1, 5).sample()
    candidates = [first_ratings(table, user)[:5] for user in dataset.group_names]
    found = [
        (dataset.vocabulary.name(i), r)
        for i, r in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)
    ]
    assert found in candidates
    batch = next(TaskLoader(SourceTaskset(dataset, 1, 5), tasks=3, shots=2, seed=0))
    assert batch.query_x.shape == batch.query_y.shape == (3, 3, 1)


def test_without_times_the_order_is_random_and_no_item_is_next():
    dataset = UserRatings(table_of(times=False))
    assert not dataset.chronological
    one, two = (dataset.draw(8, 4, 2, Generator().manual_seed(s)) for s in (1, 2))
    assert not torch.equal(one.support_x, two.support_x)
    assert all(len(set(row.flatten().tolist())) == 4 for row in one.support_x)
    with pytest.raises(DataError, match="next items need the times of the ratings, got none"):
        dataset.next_items(one)


def test_users_are_split_and_items_of_other_users_are_unknown():
    table = table_of(users=20)
    sources = from_ratings(table, (2, 1, 1), least=9, generator=Generator().manual_seed(0))
    names = [source.group_names for source in sources]
    assert list(map(len, names)) == [10, 5, 5]
    assert sorted(sum(names, ())) == sorted(table.user_names)
    train, _, test = sources
    assert train.vocabulary is test.vocabulary
    assert train.unknown == 0
    known = {n for user in train.group_names for n, _ in first_ratings(table, user)}
    assert set(train.vocabulary.names) == known
    few = Interactions.from_arrays(
        np.repeat([0, 1, 2], 3), [1, 2, 3, 1, 2, 4, 1, 2, 5], [3] * 9, np.arange(9)
    )
    for source in from_ratings(few, least=3)[1:]:
        assert source.unknown == 1
        assert sorted(source.inputs.flatten().tolist())[0] == 1
        assert "unknown=1" in repr(source)
        with pytest.raises(DataError, match="1 an unknown item"):
            source.vocabulary.name(1)


def test_users_with_few_ratings_are_left_out():
    table = Interactions.from_arrays([1, 1, 1, 2, 3, 3], [1, 2, 3, 1, 1, 2], [3] * 6, range(6))
    dataset = UserRatings(table, least=2)
    assert dataset.group_names == ("1", "3")
    assert dataset.dropped == 1
    assert dataset.groups.tolist() == [0, 0, 0, 1, 1]
    with pytest.raises(DataError, match="a user must have at least 4 ratings, got at most 3"):
        UserRatings(table, least=4)
    with pytest.raises(DataError, match="must have at least 5 ratings, support and query together"):
        dataset.draw(1, 3, 2)
    with pytest.raises(DataError, match="must have at least 5 ratings"):
        SourceTaskset(dataset, 1, 5)


def test_too_few_users():
    one = Interactions.from_arrays([1] * 30, range(30), [4] * 30, range(30))
    with pytest.raises(
        DataError, match=r"expected at least 3 users with 20 ratings or more, .* got 1 of 1 users"
    ):
        from_ratings(one)
    with pytest.raises(DataError, match="got 0 of 12 users; lower least, or add users"):
        from_ratings(table_of())
    with pytest.raises(ArgumentError, match="fractions must be three numbers"):
        from_ratings(one, (0.5, 0.5))
    with pytest.raises(DataError, match="got 1 of them twice"):
        Catalogue(["a", "a"])
