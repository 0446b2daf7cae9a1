"""Streams of tasks drawn at once and one by one."""

import learn2learn
import pytest
import torch

from l2l_rnn.data import GroupedDataset, SequenceDataset, SourceTaskset, TaskLoader
from l2l_rnn.data.loading.streams import AtOnce, OneByOne, stream
from l2l_rnn.tasksets import Sinusoids


def sequences(**options):
    """5 classes of 8 items; an item's number is its first token, its class the second."""
    labels = torch.arange(40) % 5
    numbered = torch.stack([torch.arange(1, 41), labels + 1, torch.zeros(40).long()], -1)
    return SequenceDataset(numbered, labels, **options)


def plain(**options):
    """A Taskset as in a learn2learn script."""
    meta = sequences().meta()
    transforms = learn2learn.data.transforms
    return learn2learn.data.Taskset(
        meta,
        [
            transforms.NWays(meta, n=3),
            transforms.KShots(meta, k=4),
            transforms.LoadData(meta),
            transforms.RemapLabels(meta),
        ],
        **options,
    )


def test_drawing_at_once_and_one_by_one_have_the_same_distribution(chance_of):
    """Compare the items, and the ordered choices of three classes."""
    fast = TaskLoader(SourceTaskset(sequences(), 3, 4), 3000, 1, seed=0)
    slow = TaskLoader(plain(), 3000, 1, seed=0)
    counts = []
    for loader in (fast, slow):
        batch = next(loader)
        items = batch.support_x[..., 0].flatten() - 1
        order = batch.support_y.argsort(-1)
        classes = batch.support_x[..., 1].gather(1, order) - 1
        counts.append((torch.bincount(items, minlength=40), classes @ torch.tensor([25, 5, 1])))
    assert chance_of([counts[0][0].tolist(), counts[1][0].tolist()]) > 1e-4
    tables = [torch.bincount(c[1], minlength=125) for c in counts]
    possible = (tables[0] + tables[1]).nonzero().flatten()
    assert len(possible) == 60
    assert chance_of([table[possible].tolist() for table in tables]) > 1e-4


SIZES = torch.tensor([[6, 6, 3], [2, 9, 4], [7, 6, 8], [3, 3, 3], [6, 2, 12]])


def uneven(classified):
    """5 persons; 3 of them have 6 examples of two classes. The input is the example's number."""
    cells = torch.arange(15).repeat_interleave(SIZES.flatten())
    numbered = torch.arange(len(cells)).float().unsqueeze(-1)
    if classified:
        return GroupedDataset(numbered, cells % 3, cells // 3, "abc")
    return GroupedDataset(numbered, numbered, cells // 3)


@pytest.mark.parametrize("queries", [None, 1, 2])
@pytest.mark.parametrize(("classified", "samples"), [(True, 6), (False, 14)])
def test_drawing_groups_at_once_and_one_by_one_have_the_same_distribution(
    classified, samples, queries, chance_of
):
    source = uneven(classified)
    meta, transforms = source.recipe(2, samples)
    slow = TaskLoader(learn2learn.data.Taskset(meta, transforms), 1500, 3, queries, seed=0)
    fast = TaskLoader(SourceTaskset(source, 2, samples), 1500, 3, queries, seed=0)
    assert fast.at_once
    assert not slow.at_once
    batches = [next(fast), next(slow)]
    for x, y in (("support_x", "support_y"), ("query_x", "query_y")):
        first, second = (getattr(batch, y) for batch in batches)
        assert first.shape == second.shape
        if classified:
            assert torch.equal(first, second)
        shape = getattr(batches[0], x).shape
        assert getattr(batches[1], x).shape == shape
        for i in (0, shape[1] - 1):
            items = [getattr(batch, x)[:, i, 0].long() for batch in batches]
            tables = torch.stack([torch.bincount(item, minlength=len(source)) for item in items])
            assert chance_of(tables[:, tables.sum(0) > 0].tolist()) > 1e-4
    items = torch.cat([batches[0].support_x, batches[0].query_x], 1)[..., 0].long()
    assert all(len(row.unique()) == len(row) for row in items)
    enough = samples <= SIZES if classified else SIZES.sum(1, keepdim=True) >= samples
    eligible = (enough.sum(1) >= (2 if classified else 1)).nonzero().flatten()
    assert len(eligible) < 5
    assert torch.equal(source.groups[items].unique(), eligible)


@pytest.mark.parametrize("kind", [AtOnce, OneByOne])
def test_a_stream_continues_from_each_state(kind):
    def batches(state, count):
        draw = kind(SourceTaskset(sequences(), 3, 4), 5, 1, 3, (1, 4), seed=0)
        drawn = stream(draw, state, pin=False)
        return [next(drawn) for _ in range(count)]

    first = batches(torch.Generator().manual_seed(0).get_state(), 3)
    assert all(len(batch) == 3 for batch, _ in first)
    (batch, state), *_ = batches(first[0][1], 2)
    assert torch.equal(batch.support_x, first[1][0].support_x)
    assert torch.equal(state, first[1][1])


def test_integer_targets_of_a_source_without_classes_are_not_classes():
    counts = torch.arange(36).view(-1, 1) % 2
    source = GroupedDataset(torch.randn(36, 4), counts.squeeze(-1), torch.arange(36) // 12)
    draw = OneByOne(SourceTaskset(source, 1, 4), 2, 1, None, (0, 2), seed=0)
    batch = draw(torch.Generator().manual_seed(0))
    assert batch.support_y.shape == (2, 1)
    assert batch.query_y.shape == (2, 3)


def test_targets_of_a_family_without_classes_are_split_in_order():
    draw = OneByOne(SourceTaskset(Sinusoids(), 1, 4), 2, 1, 2, (0, 2), seed=0)
    assert draw(torch.Generator().manual_seed(0)).query_y.shape == (2, 2, 1)
