"""Drawn users: what they choose and how they rate, and files that are written and read."""

import numpy as np
import pytest
import torch

from l2l_rnn.data import UserRatings, read_ratings, write_ratings
from l2l_rnn.errors import ArgumentError, DataError
from l2l_rnn.tasksets import TasteWorld, get_tasksets


@pytest.fixture(scope="module")
def world():
    return TasteWorld(items=150, noise=0.1, drift=0.0, seed=3)


@pytest.fixture(scope="module")
def table(world):
    return world.draw(400, fewest=20, most=40, seed=1)


def test_each_user_rates_distinct_items_in_time(table):
    counts = np.bincount(table.users)
    assert len(counts) == 400
    assert counts.min() >= 20
    assert counts.max() <= 40
    assert len(set(zip(table.users.tolist(), table.items.tolist(), strict=True))) == len(table)
    assert set(np.unique(table.ratings)) == {1, 2, 3, 4, 5}
    for user in range(5):
        times = table.times[table.users == user]
        assert (np.diff(np.sort(times)) > 0).all()


def test_popular_items_are_chosen_more_often(world, table):
    codes = np.array(list(map(int, table.item_names))) - 1
    counts = np.bincount(table.items)
    rank = np.argsort(np.argsort(-world.log_popularity[codes]))
    assert counts[rank < 15].mean() > 3 * counts[rank >= 100].mean()


def test_ratings_follow_factors_of_items(world, table):
    """With an item's quality and factors known, ridge regression explains a user's ratings."""
    codes = np.array(list(map(int, table.item_names))) - 1
    errors, plain = [], []
    for user in range(60):
        rows = table.users == user
        items, ratings = codes[table.items[rows]], table.ratings[rows] - 3.2
        phi = np.concatenate([world.item_factors[items], np.ones((len(items), 1))], 1)
        rest = ratings - world.quality[items]
        half = len(items) // 2
        system = phi[:half].T @ phi[:half] + 0.2 * np.eye(phi.shape[1])
        weights = np.linalg.solve(system, phi[:half].T @ rest[:half])
        errors.append(np.square(rest[half:] - phi[half:] @ weights).mean())
        plain.append(np.square(rest[half:] - rest[:half].mean()).mean())
    assert np.mean(errors) < 0.7 * np.mean(plain)


def test_a_seed_determines_the_users(world, table):
    again = TasteWorld(items=150, noise=0.1, drift=0.0, seed=3).draw(400, 20, 40, seed=1)
    assert np.array_equal(again.ratings, table.ratings)
    assert np.array_equal(again.items, table.items)
    other = world.draw(400, 20, 40, seed=2)
    assert not np.array_equal(other.ratings[:100], table.ratings[:100])


def test_tastes_drift(world):
    """The first and the last items of a user are less alike."""
    found = []
    for drift in (0.0, 1.0):
        moving = TasteWorld(items=150, drift=drift, seed=3)
        table = moving.draw(600, 40, 40, seed=1)
        codes = np.array(list(map(int, table.item_names))) - 1
        chosen = moving.item_factors[codes[table.items[table.by_user()]]].reshape(600, 40, -1)
        start, end = chosen[:, :10].mean(1), chosen[:, 30:].mean(1)
        start, end = start - start.mean(0), end - end.mean(0)
        found.append(np.einsum("uf,uf->u", start, end).mean())
    assert 0 < found[1] < 0.9 * found[0]


@pytest.mark.parametrize("format", ["ml-100k", "ml-1m", "csv"])
def test_a_file_gives_the_tasks_of_the_users_it_was_written_for(format, table, tmp_path):
    path = tmp_path / "ratings.gz"
    write_ratings(path, table, format=format)
    again = UserRatings(read_ratings(path))
    assert torch.equal(again.inputs, UserRatings(table).inputs)
    assert torch.equal(again.targets, UserRatings(table).targets)
    tasksets = get_tasksets("ratings", root=tmp_path, file="ratings.gz", seed=4)
    counts = [len(taskset.source.group_names) for taskset in tasksets]
    assert counts == [280, 40, 80]
    assert tasksets.test.source.draw(3, 10, 5).query_y.shape == (3, 5, 1)
    other = get_tasksets("ratings", root=tmp_path, file="ratings.gz", seed=5)
    assert other.test.source.group_names != tasksets.test.source.group_names


def test_bad_input(world, tmp_path):
    with pytest.raises(ArgumentError, match="most must be at most 150, the number of items"):
        world.draw(3, 5, 151)
    with pytest.raises(ArgumentError, match="drift must be a number of at least 0 and of at most"):
        TasteWorld(drift=1.5)
    (tmp_path / "u.data").write_text("".join(f"1\t{i}\t3\t{i}\n" for i in range(40)))
    with pytest.raises(DataError, match=r"at least 3 users .* got 1 of 1 users"):
        get_tasksets("ratings", root=tmp_path, file="u.data")
