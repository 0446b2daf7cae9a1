"""N-grams of token ids are the substrings, without collisions."""

from collections import Counter

import pytest
import torch

from l2l_rnn.algorithms.stacking.ngrams import NgramTable
from l2l_rnn.errors import ArgumentError


def documents(seed, number=12, steps=9, tokens=5):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, tokens, (number, steps), generator=generator)
    lengths = torch.randint(0, steps + 1, (number, 1), generator=generator)
    return ids.masked_fill(torch.arange(steps) >= lengths, 0)


def substrings(row, lengths):
    row = [one for one in row.tolist() if one]
    return Counter(
        tuple(row[start : start + size])
        for size in range(lengths[0], lengths[1] + 1)
        for start in range(len(row) - size + 1)
    )


def names_of(table, lengths):
    """Spell the n-gram of each node."""
    roots, spelled = table.tasks, {}
    for place, key in enumerate(table.keys.tolist()):
        parent, last = divmod(key, table.size)
        before = spelled[parent - roots] if parent >= roots else (("task", parent),)
        spelled[place] = (*before, last)
    return spelled


def counted(where, spelled, number):
    found = [Counter() for _ in range(number)]
    for document, node in zip(where.documents.tolist(), where.nodes.tolist(), strict=True):
        found[document][spelled[node]] += 1
    return found


@pytest.mark.parametrize("lengths", [(1, 1), (1, 3), (2, 4), (3, 12)])
@pytest.mark.parametrize("tokens", [5, 2**33])
def test_counts_are_those_of_substrings(lengths, tokens):
    ids, tasks = documents(0), torch.arange(12) % 3
    if tokens > 5:  # as many different ids, but large
        ids = torch.where(ids > 0, ids + tokens, 0)
    table, where = NgramTable.of(ids, tasks, 3, lengths)
    spelled = names_of(table, lengths)
    assert len(set(spelled.values())) == len(table)
    expected = [
        Counter({(("task", task), *name): n for name, n in substrings(row, lengths).items()})
        for row, task in zip(ids, tasks.tolist(), strict=True)
    ]
    assert counted(where, spelled, 12) == expected
    again = table.find(ids, tasks, lengths)
    assert counted(again, spelled, 12) == expected


def test_unknown_ngrams_of_queries_are_left_out():
    support, query, none = documents(0), documents(1, tokens=7), torch.zeros(12, dtype=torch.int64)
    table, _ = NgramTable.of(support, none, 1, (1, 3))
    spelled = names_of(table, (1, 3))
    known = set().union(*(substrings(row, (1, 3)) for row in support))
    expected = [
        Counter(
            {
                (("task", 0), *name): n
                for name, n in substrings(row, (1, 3)).items()
                if name in known
            }
        )
        for row in query
    ]
    assert counted(table.find(query, none, (1, 3)), spelled, 12) == expected


def test_rare_ngrams_are_left_out():
    ids, none = documents(2, tokens=9), torch.zeros(12, dtype=torch.int64)
    table, where = NgramTable.of(ids, none, 1, (1, 3), least=3)
    frequency = Counter(name for row in ids for name in substrings(row, (1, 3)))
    expected = {(("task", 0), *name) for name, number in frequency.items() if number >= 3}
    spelled = names_of(table, (1, 3))
    assert set(spelled.values()) == expected
    assert expected
    assert {name for row in counted(where, spelled, 12) for name in row} == expected


def test_positions_in_another_table():
    ids, tasks = documents(3), torch.arange(12) % 2
    table, _ = NgramTable.of(ids, tasks, 2, (1, 3))
    other, _ = NgramTable.of(documents(4, tokens=4), torch.zeros(12).long(), 1, (1, 3))
    mine, theirs = names_of(table, (1, 3)), names_of(other, (1, 3))
    numbers = {name[1:]: place for place, name in theirs.items()}
    expected = [numbers.get(mine[place][1:], -1) for place in range(len(table))]
    assert table.positions_in(other).tolist() == expected
    assert -1 in expected
    assert max(expected) > 0


def test_no_documents():
    empty = torch.zeros(3, 0, dtype=torch.int64)
    table, where = NgramTable.of(empty, torch.zeros(3).long(), 1, (1, 3))
    assert len(table) == len(where.nodes) == 0
    assert len(table.find(documents(0), torch.zeros(12).long(), (1, 3)).nodes) == 0


def test_ids_that_are_too_large():
    ids = torch.tensor([[2**60, 1]])
    with pytest.raises(ArgumentError, match="token ids must be small numbers"):
        NgramTable.of(ids, torch.zeros(1).long(), 1, (1, 3))
