"""Associative recall: the exact layout, the choice of queries, and longer lists."""

import pytest
import torch
from torch import Generator

from l2l_rnn.errors import ArgumentError
from l2l_rnn.tasksets import AssociativeRecall


def seeded(seed):
    return Generator().manual_seed(seed)


def test_layout():
    family = AssociativeRecall(bits=2, vectors=2).at(3)
    inputs, targets, mask = family.sequences(60, seeded(0))
    queried = set()
    for steps, bits in zip(inputs.tolist(), targets.tolist(), strict=True):
        items = [[step[:2] for step in steps[3 * i + 1 : 3 * i + 3]] for i in range(3)]
        query = [step[:2] for step in steps[10:12]]
        place = items.index(query)
        queried.add(place)
        marker, end, blank = [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]
        expected = [row for item in items for row in (marker, *([*v, 0, 0] for v in item))]
        expected += [end, *([*v, 0, 0] for v in query), end, blank, blank]
        assert steps == expected
        assert bits == [[0, 0]] * 13 + items[place + 1]
    assert queried == {0, 1}  # never the last item, since no item follows it
    assert mask[0].tolist() == [False] * 13 + [True] * 2


def test_items_of_a_list_are_distinct():
    family = AssociativeRecall(bits=1, vectors=2, items=(4, 4))  # all possible items
    inputs = family.sequences(50, seeded(0)).inputs
    for steps in inputs:
        items = {tuple(steps[3 * i + 1 : 3 * i + 3, 0].tolist()) for i in range(4)}
        assert len(items) == 4


def test_items_are_drawn_uniformly():
    inputs = AssociativeRecall(bits=1, vectors=3).at(2).sequences(8000, seeded(0)).inputs
    for i in range(2):
        codes = inputs[:, 4 * i + 1 : 4 * i + 4, 0] @ torch.tensor([1.0, 2.0, 4.0])
        assert torch.bincount(codes.long()).tolist() == pytest.approx([1000] * 8, abs=130)
    wide = AssociativeRecall(bits=8, vectors=6).sequences(500, seeded(0)).inputs
    assert wide[:, 1:7, :8].mean((0, 1)).tolist() == pytest.approx([0.5] * 8, abs=0.05)


def test_queries_are_uniform_over_all_items_but_the_last():
    inputs = AssociativeRecall(bits=4, vectors=2).at(5).sequences(4000, seeded(0)).inputs
    items = inputs[:, :15].unflatten(1, (5, 3))[:, :, 1:, :4]
    query = inputs[:, 16:18, :4].unsqueeze(1)
    place = (items == query).all((-1, -2)).int().argmax(-1)
    assert torch.bincount(place).tolist() == pytest.approx([1000] * 4, abs=130)


@pytest.mark.parametrize("items", [6, 12, 15])
def test_longer_lists(items):
    family = AssociativeRecall()
    inputs, _, mask = family.at(items).sequences(3, seeded(0))
    assert inputs.shape == (3, 4 * items + 8, 8)
    assert mask.sum(-1).tolist() == [3, 3, 3]
    assert family.items == (2, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: AssociativeRecall(items=(1, 3)), r"items must be from 2 to 262144.*got \(1, 3\)"),
        (lambda: AssociativeRecall().at(1), r"at: items must be from 2 to 262144.*got \(1, 1\)"),
        (lambda: AssociativeRecall(1, 2, (2, 5)), r"items must be from 2 to 4.*got \(2, 5\)"),
        (lambda: AssociativeRecall(7, 7), "at most 48 bits, got 7 vectors of 7 bits"),
    ],
)
def test_invalid_options_raise_a_clear_error(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()
