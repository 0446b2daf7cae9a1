"""Exchanged letters: one permutation for each task."""

import pytest
import torch

from l2l_rnn.data import CharacterVocabulary, TaskBatch, letter_ids, permute_tokens
from l2l_rnn.errors import ArgumentError, ArgumentTypeError

IDS = torch.arange(3, 9)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    support = torch.randint(0, 12, (4, 6, 50), generator=generator)
    query = torch.randint(0, 12, (4, 5, 60), generator=generator)
    return TaskBatch(support, torch.zeros(4, 6).long(), query, torch.zeros(4, 5).long())


def mapping(before, after):
    pairs = set(zip(before.flatten().tolist(), after.flatten().tolist(), strict=True))
    assert len(pairs) == len(dict(pairs)) == len({b for _, b in pairs}), "not a bijection"
    return dict(pairs)


def test_each_task_has_its_own_bijection_in_both_sets(batch):
    copy = TaskBatch(
        *(t.clone() for t in (batch.support_x, batch.support_y)),
        *(t.clone() for t in (batch.query_x, batch.query_y)),
    )
    found = permute_tokens(batch, IDS, generator=torch.Generator().manual_seed(1))
    assert torch.equal(batch.support_x, copy.support_x)
    assert torch.equal(batch.query_x, copy.query_x)
    assert found.support_y is batch.support_y
    maps = []
    for task in range(4):
        of_support = mapping(batch.support_x[task], found.support_x[task])
        of_query = mapping(batch.query_x[task], found.query_x[task])
        assert of_support == of_query
        assert all(of_support[i] == i for i in {*range(12)} - {*IDS.tolist()})
        maps.append(of_support)
    assert maps[0] != maps[1]


def test_the_fraction_bounds_the_exchanged_ids(batch):
    none = permute_tokens(batch, IDS, (0, 0))
    assert torch.equal(none.support_x, batch.support_x)
    some = permute_tokens(batch, IDS, (0.34, 0.34))
    for task in range(4):
        changed = [i for i, j in mapping(batch.query_x[task], some.query_x[task]).items() if i != j]
        assert len(changed) in (0, 2)


def test_a_generator_makes_it_reproducible(batch):
    one, two = (
        permute_tokens(batch, IDS, generator=torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(one.support_x, two.support_x)


def test_letters_are_lowercase_letters():
    vocabulary = CharacterVocabulary(["Äb é-7"])
    found = {vocabulary.characters[i - 2] for i in letter_ids(vocabulary).tolist()}
    assert found == {"b", "é"}


@pytest.mark.parametrize("ids", [[3], [3, 3], [0, 3], [[3, 4]]])
def test_ids_are_checked(batch, ids):
    with pytest.raises(ArgumentError, match="two different positive ids"):
        permute_tokens(batch, torch.tensor(ids))


def test_fractions_and_types_are_checked(batch):
    with pytest.raises(ArgumentError, match="fraction must be increasing"):
        permute_tokens(batch, IDS, (0.8, 0.2))
    steps = torch.zeros(1, 2, 3, 4)
    labels = torch.zeros(1, 2).long()
    with pytest.raises(ArgumentTypeError, match="must be token ids"):
        permute_tokens(TaskBatch(steps, labels, steps, labels), IDS)
