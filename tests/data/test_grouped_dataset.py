"""Examples of persons. A task is one person, with its examples balanced by class."""

import random

import learn2learn
import pytest
import torch

from l2l_rnn.data import GroupedDataset, SourceTaskset
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError

# Number of items of each class (column) of each person (row). The only value of an item is its
# number.
COUNTS = torch.tensor([[5, 4, 6], [3, 0, 4], [2, 9, 2], [6, 6, 6]])


def people(targets="classes"):
    """A dataset of 4 persons, with items in random order."""
    cells = torch.arange(12).repeat_interleave(COUNTS.flatten())
    cells = cells[torch.randperm(len(cells), generator=torch.Generator().manual_seed(0))]
    inputs = torch.arange(1, len(cells) + 1).float().unsqueeze(-1)
    if targets == "classes":
        return GroupedDataset(inputs, cells % 3, cells // 3, "abc", ("Ada", "Bo", "Cy", "Di"))
    return GroupedDataset(inputs, inputs * torch.ones(2), cells // 3)


def items_of(x):
    return x[..., 0].long() - 1


def test_indexing():
    dataset = people()
    assert len(dataset) == COUNTS.sum()
    x, y = dataset[3]
    assert torch.equal(x, dataset.inputs[3])
    assert torch.equal(y, dataset.targets[3])
    assert dataset.group_names == ("Ada", "Bo", "Cy", "Di")
    assert people("numbers").group_names == ("0", "1", "2", "3")


@pytest.mark.parametrize(
    ("inputs", "classes", "expected"),
    [
        (torch.ones(6, 4, 2), "ab", "items=6, steps=4, features=2, classes=2, groups=3"),
        (torch.ones(6, 4), None, "items=6, features=4, groups=3"),
        (torch.ones(6, 4).long(), "ab", "items=6, steps=4, classes=2, groups=3"),
    ],
)
def test_repr(inputs, classes, expected):
    dataset = GroupedDataset(inputs, torch.arange(6) % 2, torch.arange(6) // 2, classes)
    assert repr(dataset) == repr(dataset.to("meta")) == f"GroupedDataset({expected})"


def test_meta_has_groups_as_labels():
    dataset = people()
    ours = dataset.meta().labels_to_indices
    assert {g: len(items) for g, items in ours.items()} == dict(enumerate(COUNTS.sum(1).tolist()))
    assert all(type(i) is int for items in ours.values() for i in items)
    assert all((dataset.groups[items] == group).all() for group, items in ours.items())


@pytest.mark.parametrize("ways", [None, 1, 2, 3])
def test_a_task_is_one_person_balanced_by_class(ways):
    dataset = people()
    batch = dataset.draw(200, 1, 1, torch.Generator().manual_seed(0), ways=ways)
    ways = ways or 3
    expected = torch.arange(ways).expand(200, -1)
    assert torch.equal(batch.support_y, expected)
    assert torch.equal(batch.query_y, expected)
    items = items_of(torch.cat([batch.support_x, batch.query_x], 1))
    assert all(len(row.unique()) == 2 * ways for row in items)
    groups = dataset.groups[items]
    assert (groups == groups[:, :1]).all()
    eligible = (COUNTS >= 2).sum(1) >= ways
    assert groups.unique().tolist() == eligible.nonzero().flatten().tolist()
    classes = dataset.targets[items].unflatten(1, (2, ways))  # support, query
    assert torch.equal(classes[:, 0], classes[:, 1])
    assert (classes[:, 0].diff(dim=-1) > 0).all()  # ascending


def test_a_task_without_classes_is_examples_of_one_person():
    dataset = people("numbers")
    batch = dataset.draw(100, 3, 4, torch.Generator().manual_seed(0), ways=5)
    assert batch.support_x.shape == (100, 3, 1)
    assert batch.query_y.shape == (100, 4, 2)
    assert torch.equal(batch.query_y, batch.query_x * torch.ones(2))
    items = items_of(torch.cat([batch.support_x, batch.query_x], 1))
    assert all(len(row.unique()) == 7 for row in items)
    assert (dataset.groups[items] == dataset.groups[items[:, :1]]).all()
    assert len(dataset.groups[items].unique()) == 4


@pytest.mark.parametrize("targets", ["classes", "numbers"])
def test_a_taskset_draws_tasks_of_one_person(targets):
    dataset = people(targets)
    random.seed(0)
    for x, y in [SourceTaskset(dataset, 2, 3).sample() for _ in range(20)]:
        items = items_of(x)
        assert len(items.unique()) == len(items)
        assert len(dataset.groups[items].unique()) == 1
        if targets == "numbers":
            assert torch.equal(y, dataset.targets[items])
            continue
        assert y.tolist() == [0, 0, 0, 1, 1, 1]
        assert (dataset.targets[items].unflatten(0, (2, 3)).diff(dim=-1) == 0).all()
        (sx, sy), (qx, qy) = learn2learn.data.partition_task(x, y, shots=1)
        assert len(sx) == len(sy) == 2
        assert len(qx) == len(qy) == 4


def test_to_does_not_modify_the_original():
    moved = people().to("meta")
    assert moved.inputs.is_meta
    assert moved.targets.is_meta
    batch = moved.draw(2, 1, 1)
    assert batch.support_x.is_meta
    assert batch.query_y.is_meta
    assert not people().inputs.is_meta


@pytest.mark.parametrize(
    ("ways", "samples", "message"),
    [
        (3, 6, None),
        (3, 7, r"at least 7 examples of each of 3 classes.*for at most 1 ways"),
        (2, 7, r"at least 7 examples of each of 2 classes"),
        (4, 2, r"at least 2 examples of each of 4 classes.*for at most 3 ways"),
        (1, 10, r"at least 10 examples of each of 1 classes, .*ask for fewer samples$"),
    ],
)
def test_too_many_ways_or_samples_are_rejected(ways, samples, message):
    dataset = people()
    if message is None:
        assert dataset.draw(2, samples - 1, 1, ways=ways).support_x.shape == (2, 15, 1)
        return
    with pytest.raises(DataError, match=f"GroupedDataset: a group must have {message}"):
        dataset.draw(2, samples - 1, 1, ways=ways)
    with pytest.raises(DataError, match=f"GroupedDataset: a group must have {message}"):
        SourceTaskset(dataset, ways, samples)


def test_too_many_samples_without_classes_are_rejected():
    most = int(COUNTS.sum(1).max())
    dataset = people("numbers")
    assert dataset.draw(1, most - 1, 1).support_x.shape[1] == most - 1
    with pytest.raises(DataError, match=f"at least {most + 1} examples, .* fewer samples$"):
        dataset.draw(1, most, 1)


X, Y, G = torch.ones(3, 2), torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1], [2, 3]], Y, G), ArgumentTypeError, "inputs must be a tensor, got list"),
        ((X, [0, 1, 1], G), ArgumentTypeError, "targets must be a tensor, got list"),
        ((X, Y, (0, 0, 1)), ArgumentTypeError, "groups must be a tensor, got tuple"),
        ((X.int(), Y, G), ShapeError, r"got \(3, 2\) torch.int32"),
        ((X[0], Y, G), ShapeError, r"got \(2,\) torch.float32"),
        ((X[..., None, None], Y, G), ShapeError, r"got \(3, 2, 1, 1\)"),
        ((X[:0], Y[:0], G[:0]), DataError, "at least one item, got none"),
        ((X, Y, G.float()), ArgumentTypeError, "must be int64, got torch.float32"),
        ((X, Y.float(), G, "ab"), ArgumentTypeError, "must be int64.*and torch.float32"),
        ((X, Y[:2], G), ShapeError, r"each of 3 inputs.*targets \(2,\)"),
        ((X, Y, G[:2]), ShapeError, r"each of 3 inputs.*groups \(2,\)"),
        ((X, Y[:, None], G, "ab"), ShapeError, r"targets \(3, 1\)"),
        ((X, Y, G, "a"), ArgumentError, r"targets must lie in 0 \.\. 0, got 0 \.\. 1"),
        ((X, Y, G, "ab", ["Ada"]), ArgumentError, r"groups must lie in 0 \.\. 0, got 0 \.\. 1"),
        ((X, Y, -G), ArgumentError, r"groups must lie in 0 \.\. 0, got -1 \.\. 0"),
    ],
)
def test_bad_input_is_rejected(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        GroupedDataset(*arguments)
    assert str(caught.value).startswith("GroupedDataset: ")
    assert "\n" not in str(caught.value)
