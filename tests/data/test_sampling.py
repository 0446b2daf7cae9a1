"""Sampling without replacement: every ordered choice is equally likely."""

import itertools

import pytest
import torch

from l2l_rnn.data.sampling import Grouping, draw_distinct, sample_by_class


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("size", "count"), [(1, 1), (4, 1), (4, 2), (5, 3), (4, 4)])
def test_every_ordered_choice_is_equally_likely(size, count, chance_of):
    choices = list(itertools.permutations(range(size), count))
    drawn = draw_distinct(torch.full((400 * len(choices),), size), count, seeded(size))
    found = dict.fromkeys(choices, 0)
    for row in drawn.tolist():
        found[tuple(row)] += 1
    assert chance_of([list(found.values())]) > 1e-4


def test_each_row_is_below_its_size():
    sizes = torch.tensor([[3, 50], [2**40, 3]]).repeat(500, 1)
    drawn = draw_distinct(sizes, 3, seeded())
    assert drawn.shape == (1000, 2, 3)
    assert drawn.dtype == torch.int64
    assert drawn.min() == 0
    assert (drawn < sizes.unsqueeze(-1)).all()
    assert (drawn.sort(-1).values.diff(dim=-1) > 0).all()
    assert drawn[1::2, 0].max() > 2**39
    assert (drawn[::2, 0].sort(-1).values == torch.arange(3)).all()


def test_draws_are_reproducible_with_either_generator():
    sizes = torch.full((20,), 9)
    assert torch.equal(draw_distinct(sizes, 4, seeded(1)), draw_distinct(sizes, 4, seeded(1)))
    assert not torch.equal(draw_distinct(sizes, 4, seeded(1)), draw_distinct(sizes, 4, seeded(2)))
    torch.manual_seed(5)
    first = draw_distinct(sizes, 4)
    torch.manual_seed(5)
    assert torch.equal(draw_distinct(sizes, 4), first)


def test_no_rows():
    assert draw_distinct(torch.empty(0, 2, dtype=torch.int64), 3).shape == (0, 2, 3)


def test_grouping_indexes_items_by_group():
    labels = torch.tensor([2, 0, 2, 5, 0, 2])
    grouping = Grouping(labels, groups=7)
    assert grouping.counts.tolist() == [2, 0, 3, 0, 0, 1, 0]
    assert grouping.present.tolist() == [0, 2, 5]
    for group in (0, 2, 5):
        start, count = int(grouping.starts[group]), int(grouping.counts[group])
        items = grouping.order[start : start + count].tolist()
        assert items == (labels == group).nonzero().flatten().tolist()


def test_grouping_draws_from_the_given_groups_only():
    labels = torch.arange(40) % 3
    groups = torch.tensor([[0, 2], [1, 1]]).repeat(50, 1)
    drawn = Grouping(labels).draw(groups, 5, seeded())
    assert drawn.shape == (100, 2, 5)
    assert (labels[drawn] == groups.unsqueeze(-1)).all()
    assert (drawn.sort(-1).values.diff(dim=-1) > 0).all()
    assert len(drawn.unique()) == 40


def test_a_sample_by_class_has_items_of_every_class():
    labels = torch.arange(100).remainder(7).clamp_max(4)
    draw = torch.Generator().manual_seed(0)
    items = sample_by_class(labels, 20, draw)
    assert torch.bincount(labels[items]).tolist() == [15, 15, 14, 14, 20]
    assert len(items.unique()) == len(items)
    assert not torch.equal(items, sample_by_class(labels, 20, draw))
