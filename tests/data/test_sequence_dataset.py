import random

import learn2learn
import pytest
import torch
from torch.utils.data import DataLoader

from l2l_rnn.data import SequenceDataset, SourceTaskset
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError


def make(kind="tokens", items=30, ways=3, **options):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(items)[torch.randperm(items, generator=generator)] % ways
    if kind == "tokens":
        sequences = torch.randint(1, 9, (items, 7), generator=generator)
        sequences[::2, 4:] = 0
    else:
        sequences = torch.randn(items, 7, 2, generator=generator)
        sequences[::2, 4:] = float("nan")
    return SequenceDataset(sequences, labels, **options)


@pytest.mark.parametrize("kind", ["tokens", "steps"])
def test_indexing(kind):
    dataset = make(kind)
    assert len(dataset) == 30
    assert dataset.classes == ("0", "1", "2")
    sequence, label = dataset[4]
    assert torch.equal(sequence.nan_to_num(), dataset.sequences[4].nan_to_num())
    assert type(label) is int
    assert label == dataset.labels[4]
    assert dataset[-1][1] == dataset.labels[-1]
    assert sum(1 for _ in dataset) == 30
    with pytest.raises(IndexError):
        dataset[30]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "SequenceDataset(items=30, steps=7, classes=3)"),
        ({"kind": "steps"}, "SequenceDataset(items=30, steps=7, features=2, classes=3)"),
        (
            {"groups": torch.arange(30) % 4},
            "SequenceDataset(items=30, steps=7, classes=3, groups=4)",
        ),
    ],
)
def test_repr(options, expected):
    dataset = make(**options)
    assert repr(dataset) == repr(dataset.to("meta")) == expected
    taskset = SourceTaskset(dataset, ways=2, samples=4, num_tasks=9)
    assert repr(taskset) == f"SourceTaskset({expected}, ways=2, samples=4, num_tasks=9)"


def test_transform_and_target_transform():
    dataset = make(transform=lambda x: x.float(), target_transform=lambda y: -y)
    sequence, label = dataset[1]
    assert sequence.dtype == torch.float32
    assert label == -dataset.labels[1]


@pytest.mark.parametrize("kind", ["tokens", "steps"])
def test_meta_equals_learn2learns_meta_dataset(kind):
    dataset = make(kind)
    ours, theirs = dataset.meta(), learn2learn.data.MetaDataset(dataset)
    assert ours.labels_to_indices == dict(theirs.labels_to_indices)
    assert ours.indices_to_labels == dict(theirs.indices_to_labels)
    assert set(ours.labels) == set(theirs.labels)
    assert type(ours.labels_to_indices) is dict
    assert all(type(i) is int for group in ours.labels_to_indices.values() for i in group)


def test_meta_loads_no_items():
    dataset = make(transform=lambda x: 1 / 0)
    assert len(dataset.meta().labels) == 3


def test_a_class_without_items_is_never_drawn():
    dataset = SequenceDataset(torch.ones(4, 2).long(), torch.tensor([0, 0, 2, 2]), classes="abc")
    assert dataset.meta().labels_to_indices == {0: [0, 1], 2: [2, 3]}


@pytest.mark.parametrize("kind", ["tokens", "steps"])
def test_learn2learn_tasks(kind):
    meta = make(kind).meta()
    transforms = [
        learn2learn.data.transforms.NWays(meta, 2),
        learn2learn.data.transforms.KShots(meta, 4),
        learn2learn.data.transforms.LoadData(meta),
        learn2learn.data.transforms.RemapLabels(meta),
        learn2learn.data.transforms.ConsecutiveLabels(meta),
    ]
    tasks = learn2learn.data.Taskset(meta, transforms, num_tasks=3)
    random.seed(1)
    for x, y in tasks:
        (support, support_y), (query, query_y) = learn2learn.data.partition_task(x, y, shots=1)
        assert support.shape == (2, *x.shape[1:])
        assert query.shape == (6, *x.shape[1:])
        assert support_y.tolist() == [0, 1]
        assert query_y.tolist() == [0] * 3 + [1] * 3


@pytest.mark.parametrize("workers", [0, 1])
def test_torch_data_loader(workers):
    dataset = make()
    batches = list(DataLoader(dataset, batch_size=8, num_workers=workers))
    assert torch.equal(torch.cat([x for x, _ in batches]), dataset.sequences)
    assert torch.equal(torch.cat([y for _, y in batches]), dataset.labels)


def test_to_does_not_modify_the_original():
    dataset = make(ways=4, items=32)
    moved = dataset.to("meta")
    assert moved.sequences.is_meta
    assert moved.labels.is_meta
    assert not dataset.sequences.is_meta
    assert moved.meta().labels_to_indices == dataset.meta().labels_to_indices


@pytest.mark.parametrize("dtype", [torch.int16, torch.int32])
@pytest.mark.parametrize("transform", [None, lambda x: x + 1], ids=["plain", "transformed"])
def test_narrow_token_ids_are_converted_on_access(dtype, transform):
    wide = make(transform=transform)
    narrow = SequenceDataset(wide.sequences.to(dtype), wide.labels, transform=transform)
    assert narrow.sequences.dtype == dtype
    assert narrow[3][0].dtype == torch.int64
    assert torch.equal(narrow[3][0], wide[3][0])
    batches = [
        dataset.draw(2, 1, 2, torch.Generator().manual_seed(5)) for dataset in (narrow, wide)
    ]
    assert batches[0].query_x.dtype == torch.int64
    assert torch.equal(batches[0].query_x, batches[1].query_x)
    assert SequenceDataset.to(narrow, "meta").sequences.dtype == dtype


TOKENS, LABELS = torch.ones(3, 2).long(), torch.tensor([0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([[1], [2, 3]], LABELS), ArgumentTypeError, "one padded tensor, got list"),
        ((TOKENS.bool(), LABELS), ShapeError, r"got \(3, 2\) torch.bool"),
        ((TOKENS.float(), LABELS), ShapeError, r"got \(3, 2\) torch.float32"),
        ((TOKENS[..., None], LABELS), ShapeError, r"got \(3, 2, 1\) torch.int64"),
        ((TOKENS[0], LABELS), ShapeError, r"got \(2,\)"),
        ((TOKENS[:0], LABELS[:0]), DataError, "at least one item, got none"),
        ((-TOKENS, LABELS), ArgumentError, "token ids must not be negative, got -1"),
        ((TOKENS, [0, 1, 1]), ArgumentTypeError, "int64 tensor, got list"),
        ((TOKENS, LABELS.float()), ArgumentTypeError, "int64 tensor, got torch.float32"),
        ((TOKENS, LABELS[:2]), ShapeError, r"shape \(3,\).*got \(2,\)"),
        ((TOKENS, LABELS, ["fi"]), ArgumentError, r"0 \.\. 0, got 0 \.\. 1"),
        ((TOKENS, -LABELS), ArgumentError, r"got -1 \.\. 0"),
    ],
)
def test_bad_input_is_rejected(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        SequenceDataset(*arguments)
    assert str(caught.value).startswith("SequenceDataset: ")
