"""Tasks with support and query items from different groups."""

import itertools
import random

import learn2learn
import numpy as np
import pytest
import torch
from torch import Generator

from l2l_rnn.data import SequenceDataset, SourceTaskset, TaskLoader, draw_tasks
from l2l_rnn.data.group_sampling import GroupedClasses, _divide, _divide_exactly
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError


def seeded(seed=0):
    return Generator().manual_seed(seed)


def dataset_of(cells):
    """Make a dataset with a number of items for each (class, group).

    The tokens of an item are its number, its class and its group, plus 1 each.
    """
    pairs = [pair for pair, count in cells.items() for _ in range(count)]
    random.Random(0).shuffle(pairs)
    labels, groups = torch.tensor(pairs).unbind(-1)
    tokens = torch.stack([torch.arange(len(pairs)), labels, groups], -1) + 1
    return SequenceDataset(tokens, labels.contiguous(), groups=groups.contiguous())


CELLS = {
    "nested": {(c, 10 * c + g): 3 + g for c in range(5) for g in range(4)},
    "two groups per class": {(c, 10 * c + g): 6 for c in range(5) for g in range(2)},
    "everyone in every class": {(c, g): 5 for c in range(5) for g in range(6)},
    "two speakers": {(c, g): 9 for c in range(5) for g in range(2)},
    "one item per group": {(c, 40 * c + g): 1 for c in range(5) for g in range(12)},
    "a few shared": {(c, (3 * c + g) % 11): 2 + (c + g) % 5 for c in range(5) for g in range(7)},
    "one large group": {(c, 7 * c + g): 1 + 40 * (g == 0) for c in range(5) for g in range(7)},
}


@pytest.fixture(params=CELLS)
def dataset(request):
    return dataset_of(CELLS[request.param])


def check(batch, dataset, ways, shots, queries):
    tasks = len(batch)
    assert batch.support_x.shape == (tasks, ways * shots, 3)
    assert batch.query_x.shape == (tasks, ways * queries, 3)
    for sx, sy, qx, qy in zip(*batch, strict=True):
        assert not set(sx[:, 2].tolist()) & set(qx[:, 2].tolist())  # groups
        items = torch.cat([sx, qx])[:, 0].tolist()
        assert len(set(items)) == len(items)
        names = dict(zip(sy.tolist(), sx[:, 1].tolist(), strict=True))
        assert len(set(names.values())) == ways
        for x, y, each in ((sx, sy, shots), (qx, qy, queries)):
            assert y.sort().values.tolist() == sorted([*range(ways)] * each)
            assert [names[label] for label in y.tolist()] == x[:, 1].tolist()
    for x, indices in (
        (batch.support_x, batch.support_indices),
        (batch.query_x, batch.query_indices),
    ):
        assert torch.equal(indices + 1, x[..., 0])
        assert torch.equal(dataset.groups[indices] + 1, x[..., 2])


@pytest.mark.parametrize("ways", [1, 3, 5])
@pytest.mark.parametrize(("shots", "queries"), [(1, 1), (2, 2), (1, 4), (4, 1), (3, 3)])
def test_support_and_query_share_no_group(dataset, ways, shots, queries):
    check(dataset.draw(30, shots, queries, seeded(), ways=ways), dataset, ways, shots, queries)


@pytest.mark.parametrize("ways", [1, 3, 5])
@pytest.mark.parametrize("samples", [4, 5])
def test_a_taskset_has_the_support_set_in_the_first_half(dataset, ways, samples):
    random.seed(0)
    shots, queries = samples // 2, samples - samples // 2
    taskset = SourceTaskset(dataset, ways, samples)
    check(draw_tasks(taskset, 20, shots), dataset, ways, shots, queries)
    fixed = SourceTaskset(dataset, ways, samples, num_tasks=4)
    check(next(TaskLoader(fixed, 6, shots, seed=0)), dataset, ways, shots, queries)
    x, y = taskset.sample()
    (support, _), (query, _) = learn2learn.data.partition_task(x, y, shots)
    assert not set(support[:, 2].tolist()) & set(query[:, 2].tolist())
    with pytest.raises(DataError, match=f"shots must be {shots}, half of the {samples} samples"):
        TaskLoader(fixed, 6, shots + 1)


def test_a_loader_draws_any_shots_at_once(dataset):
    loader = TaskLoader(SourceTaskset(dataset, 3, 5), 8, 1, 3, seed=0, prefetch=1)
    assert loader.at_once
    batches = [next(loader) for _ in range(3)]
    for batch in batches:
        check(batch, dataset, 3, 1, 3)
    again = TaskLoader(SourceTaskset(dataset, 3, 5), 8, 1, 3, seed=0)
    assert all(torch.equal(batch.query_indices, next(again).query_indices) for batch in batches)


def test_every_item_is_drawn_on_both_sides(dataset):
    batch = dataset.draw(4000, 1, 1, seeded(), ways=2)
    for indices in (batch.support_indices, batch.query_indices):
        assert len(indices.unique()) == len(dataset)


def test_equal_items_are_equally_likely():
    dataset = dataset_of(CELLS["everyone in every class"])
    batch = dataset.draw(6000, 2, 3, seeded(), ways=2)
    for indices in (batch.support_indices, batch.query_indices):
        counts = torch.bincount(indices.flatten(), minlength=len(dataset)).double()
        expected = indices.numel() / len(dataset)
        # Items of a task are dependent, which raises the variance above that of independent draws.
        assert (counts - expected).abs().max() < 6 * expected**0.5


def test_a_generator_determines_the_tasks(dataset):
    first, again, other = (
        dataset.draw(9, 2, 2, seeded(s), ways=3).query_indices for s in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    dataset.draw(9, 2, 2, seeded(), ways=3)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


def possible(sizes, shots, queries):
    """Whether a division exists, by trying them all."""
    return any(
        sum(n for n, s in zip(sizes, sides, strict=True) if s) >= shots
        and sum(n for n, s in zip(sizes, sides, strict=True) if not s) >= queries
        for sides in itertools.product([False, True], repeat=len(sizes))
    )


@pytest.mark.parametrize("divide", [_divide, _divide_exactly])
def test_a_division_is_found_if_there_is_one(divide):
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(600):
        sizes = rng.integers(1, 7, rng.integers(0, 8))
        shots, queries = rng.integers(-2, 14, 2).tolist()
        division = divide(sizes, shots, queries, rng)
        assert (division is not None) == possible(sizes.tolist(), shots, queries)
        if division is not None:
            found += 1
            assert division.shape == sizes.shape
            assert sizes[division].sum() >= shots
            assert sizes[~division].sum() >= queries
    assert 100 < found < 500


def test_a_rare_division_is_found():
    """Only 20 of 2**20 divisions have one large group on the support side, and no other."""
    sizes = np.array([1] * 19 + [19])
    for seed in range(20):
        division = _divide(sizes, 19, 19, np.random.default_rng(seed))
        assert {int(sizes[division].sum()), int(sizes[~division].sum())} == {19}


@pytest.mark.parametrize("ways", [5, 20])
def test_many_classes_with_two_groups_each(ways):
    """If each class had to be lucky at the same time, a task of 20 would never be found."""
    dataset = dataset_of({(c, 2 * c + g): 4 for c in range(20) for g in range(2)})
    check(dataset.draw(5, 4, 4, seeded(), ways=ways), dataset, ways, 4, 4)


def test_classes_that_cannot_be_in_one_task():
    """Groups 0, 1 and 2 would all have to be on different sides."""
    cells = {(0, 0): 2, (0, 1): 2, (1, 1): 2, (1, 2): 2, (2, 0): 2, (2, 2): 2}
    dataset = dataset_of(cells)
    check(dataset.draw(20, 2, 2, seeded(), ways=2), dataset, 2, 2, 2)
    with pytest.raises(DataError, match="groups of 3 classes must have 2 support and 2 query"):
        dataset.draw(1, 2, 2, seeded(), ways=3)


@pytest.mark.parametrize(
    ("cells", "shots", "queries", "message"),
    [
        ({(0, 0): 9, (1, 0): 9, (1, 1): 9}, 1, 1, "1 group of 9 items for class '0'; ask for"),
        ({(0, 0): 9, (0, 1): 2}, 3, 3, "3 support and 3 query .*got 2 groups of 9, 2 items for"),
        ({(c, c): 9 for c in range(3)}, 1, 1, "for class '0' and for 2 other classes; ask"),
        ({(0, g): 5 for g in range(3)}, 6, 6, "3 groups of 5, 5, 5 items"),
    ],
)
def test_too_few_groups(cells, shots, queries, message):
    dataset = dataset_of(cells)
    with pytest.raises(DataError, match=message) as caught:
        dataset.draw(1, shots, queries, seeded())
    assert str(caught.value).startswith("SequenceDataset: every class must have")
    loader = TaskLoader(SourceTaskset(dataset, 1, 2), 2, 1) if len(cells) == 2 else None
    if loader is not None:
        next(loader)  # with fewer shots there are enough


def test_a_taskset_reports_single_groups_at_once():
    with pytest.raises(DataError, match="from different groups, got 1 group of 4 items"):
        SourceTaskset(dataset_of({(0, 0): 4, (1, 1): 2, (1, 2): 2}), 2, 4)


def test_halves_that_do_not_fit():
    """The shots of a loader may fit where halves do not, so a Taskset reports it when drawing."""
    dataset = dataset_of({(c, 2 * c + g): 1 + 8 * g for c in range(3) for g in range(2)})
    taskset = SourceTaskset(dataset, 2, 6)
    check(next(TaskLoader(taskset, 4, 1, 5)), dataset, 2, 1, 5)
    with pytest.raises(DataError, match="3 support and 3 query items from different groups, got 2"):
        taskset.sample()


def test_groups_move_and_are_checked():
    dataset = dataset_of(CELLS["nested"])
    assert dataset.support_is_half
    assert dataset.to("meta").groups.is_meta
    assert dataset.to("meta").draw(2, 1, 1).support_indices.is_meta
    x, y = torch.ones(4, 2).long(), torch.arange(4)
    assert not SequenceDataset(x, y).support_is_half
    with pytest.raises(ArgumentTypeError, match="groups must be an int64 tensor, got list"):
        SequenceDataset(x, y, groups=[0, 1, 2, 3])
    with pytest.raises(ShapeError, match=r"groups must have shape \(4,\).*got \(3,\)"):
        SequenceDataset(x, y, groups=y[:3])


def test_groups_may_have_any_numbers():
    labels = torch.tensor([0, 0, 1, 1])
    classes = GroupedClasses("me", labels, torch.tensor([-5, 10**12, 10**12, -5]), ("a", "b"))
    assert classes.count == 2
    assert (
        classes.draw(3, 2, 1, 1, seeded()).flatten(1).sort(-1).values.tolist() == [[0, 1, 2, 3]] * 3
    )
