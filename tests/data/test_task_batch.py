"""Batches of tasks, compared with learn2learn's `partition_task`."""

import copy
import dataclasses
import pickle
import random

import learn2learn
import pytest
import torch
from learn2learn.data.transforms import (
    ConsecutiveLabels,
    KShots,
    LoadData,
    NWays,
    RemapLabels,
)

from l2l_rnn.data import SequenceDataset, TaskBatch
from l2l_rnn.errors import ArgumentError, DataError, ShapeError

WAYS, SAMPLES = 3, 5


def taskset(kind="tokens", consecutive=True, samples=SAMPLES, **options):
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(60).remainder(6)
    sequences = torch.randint(1, 99, (60, 7), generator=generator)
    if kind == "steps":
        sequences = torch.randn(60, 7, 2, generator=generator)
        sequences[::2, 4:] = float("nan")
    meta = SequenceDataset(sequences, labels).meta()
    transforms = [NWays(meta, WAYS), KShots(meta, samples), LoadData(meta), RemapLabels(meta)]
    if consecutive:
        transforms.append(ConsecutiveLabels(meta))
    return learn2learn.data.Taskset(meta, transforms, **options)


def batch_of(tasks, shots=1):
    source = taskset()
    return TaskBatch.from_tasks([source.sample() for _ in range(tasks)], shots)


def same(a, b):
    return a.shape == b.shape and torch.equal(a.nan_to_num(9.0), b.nan_to_num(9.0))


@pytest.mark.parametrize("kind", ["tokens", "steps"])
@pytest.mark.parametrize("shots", [1, 2, 4])
@pytest.mark.parametrize("consecutive", [True, False])
def test_each_task_is_split_as_in_learn2learn(kind, shots, consecutive):
    random.seed(1)
    source = taskset(kind, consecutive)
    tasks = [source.sample() for _ in range(4)]
    if not consecutive:
        tasks = [(x[order], y[order]) for x, y in tasks for order in [torch.randperm(len(y))]]
    batch = TaskBatch.from_tasks(tasks, shots)
    assert len(batch) == 4
    assert batch.support_x.shape[:2] == (4, WAYS * shots)
    assert batch.query_x.shape[:2] == (4, WAYS * (SAMPLES - shots))
    for n, (x, y) in enumerate(tasks):
        (support_x, support_y), (query_x, query_y) = learn2learn.data.partition_task(x, y, shots)
        assert same(batch.support_x[n], support_x)
        assert same(batch.support_y[n], support_y)
        assert same(batch.query_x[n], query_x)
        assert same(batch.query_y[n], query_y)


def test_tasks_may_have_different_labels():
    x = torch.arange(12).reshape(12, 1)
    batch = TaskBatch.from_tasks(
        [(x[:6], torch.tensor([0, 1] * 3)), (x[6:], torch.tensor([7, 7, 7, 4, 4, 4]))], shots=1
    )
    assert batch.support_y.tolist() == [[0, 1], [4, 7]]
    assert batch.support_x.flatten().tolist() == [0, 1, 9, 6]
    assert batch.query_x.flatten(1).tolist() == [[2, 4, 3, 5], [10, 11, 7, 8]]


def test_fewer_queries_than_examples_left():
    tasks = [taskset().sample() for _ in range(3)]
    whole, some = TaskBatch.from_tasks(tasks, 2), TaskBatch.from_tasks(tasks, 2, queries=1)
    assert same(some.support_x, whole.support_x)
    assert same(some.query_x, whole.query_x[:, :: SAMPLES - 2])
    assert some.query_y.tolist() == [[0, 1, 2]] * 3
    with pytest.raises(DataError, match=f"shots=2 and queries=4 require 6 .* got {SAMPLES}"):
        TaskBatch.from_tasks(tasks, 2, queries=4)
    with pytest.raises(ArgumentError, match="queries must be a positive integer, got 0"):
        TaskBatch.from_tasks(tasks, 2, queries=0)


@pytest.mark.parametrize(
    "targets",
    [torch.rand(8), torch.rand(8, 2), torch.arange(16).view(8, 2)],
    ids=["a number", "two numbers", "integers"],  # the same in every process
)
def test_tasks_without_classes_are_split_in_order(targets):
    x = torch.arange(8).view(8, 1)
    batch = TaskBatch.from_tasks([(x, targets), (x + 8, targets)], shots=3, queries=4)
    assert batch.support_x[..., 0].tolist() == [[0, 1, 2], [8, 9, 10]]
    assert batch.query_x[..., 0].tolist() == [[3, 4, 5, 6], [11, 12, 13, 14]]
    assert torch.equal(batch.support_y[1], targets[:3])
    assert torch.equal(batch.query_y[0], targets[3:7])
    with pytest.raises(DataError, match="more examples than shots=8"):
        TaskBatch.from_tasks([(x, targets)], shots=8)


def test_integers_that_are_not_classes():
    x, counts = torch.arange(6).view(6, 1), torch.tensor([5, 5, 2, 7, 5, 1])
    batch = TaskBatch.from_tasks([(x, counts)], shots=2, by_class=False)
    assert batch.support_y.tolist() == [[5, 5]]
    assert batch.query_y.tolist() == [[2, 7, 5, 1]]


FIELDS = [field.name for field in dataclasses.fields(TaskBatch)]


def indexed(tasks, shots=1, queries=None, by_class=None):
    """Return tasks of 15 items whose only token is their index, and their batch."""
    x = torch.randperm(tasks * 15, generator=torch.Generator().manual_seed(0)).view(tasks, 15)
    given = [(row.unsqueeze(-1), torch.arange(15) % WAYS) for row in x]
    return TaskBatch.from_tasks(given, shots, queries, by_class=by_class, indices=x)


def masked(batch):
    support, query = batch.support_indices % 5 > 0, batch.query_indices % 7 > 0
    return dataclasses.replace(batch, support_mask=support, query_mask=query)


def test_a_batch_unpacks_into_four_tensors():
    batch = indexed(3)
    support_x, support_y, query_x, query_y = batch
    assert support_x is batch.support_x
    assert support_y is batch.support_y
    assert query_x is batch.query_x
    assert query_y is batch.query_y
    assert len(batch) == 3


@pytest.mark.parametrize("by_class", [True, False])
@pytest.mark.parametrize(("shots", "queries"), [(1, None), (2, 1), (2, 3)])
def test_indices_follow_the_examples(shots, queries, by_class):
    batch = indexed(4, shots, queries, by_class)
    assert torch.equal(batch.support_indices, batch.support_x[..., 0])
    assert torch.equal(batch.query_indices, batch.query_x[..., 0])


@pytest.mark.parametrize(
    "change",
    [
        lambda batch: batch.slice(1, 4),
        lambda batch: batch.to("cpu", non_blocking=True),
        lambda batch: batch.first_queries(2, 4),
        lambda batch: list(batch.chunks(2))[1],
        lambda batch: pickle.loads(pickle.dumps(batch)),
        copy.deepcopy,
        lambda batch: dataclasses.replace(batch, support_y=batch.support_y + 1),
    ],
)
def test_every_change_keeps_the_indices(change):
    changed = change(indexed(5))
    assert torch.equal(changed.support_indices, changed.support_x[..., 0])
    assert torch.equal(changed.query_indices, changed.query_x[..., 0])
    changed = change(batch_of(5))
    assert changed.support_indices is changed.query_indices is None


@pytest.mark.parametrize(
    "indices",
    [
        [torch.arange(15)],
        [torch.arange(14)] * 2,
        [torch.arange(15), torch.arange(14)],
        [torch.zeros(15, 1)] * 2,
    ],
    ids=["tasks", "examples", "one task", "axes"],
)
def test_indices_must_match_the_examples(indices):
    x, y = torch.arange(15).view(15, 1), torch.arange(15) % WAYS
    with pytest.raises(ShapeError, match=r"must be 2 lists or tensors of shape \(15,\), got"):
        TaskBatch.from_tasks([(x, y)] * 2, 1, indices=indices)


def test_slice_and_to():
    batch = masked(indexed(5))
    part = batch.slice(1, 3)
    assert len(part) == 2
    assert same(part.query_x, batch.query_x[1:3])
    assert same(part.support_y, batch.support_y[1:3])
    moved = batch.to("meta", non_blocking=True)
    assert all(getattr(moved, field).is_meta for field in FIELDS)
    assert not batch.support_x.is_meta


@pytest.mark.parametrize("shots", [0, -1, 1.0, "1", None, True])
def test_bad_shots_are_rejected(shots):
    with pytest.raises(ArgumentError, match="TaskBatch: shots must be a positive integer"):
        batch_of(1, shots)


@pytest.mark.parametrize("shots", [SAMPLES, SAMPLES + 1])
def test_shots_must_leave_queries(shots):
    message = f"more than shots={shots}, got {WAYS * SAMPLES} examples of {WAYS} classes"
    with pytest.raises(DataError, match=message):
        batch_of(2, shots)


X = torch.arange(6).reshape(6, 1)


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 1]],
        [[0, 0, 0, 0, 1, 1]],
        [[0, 0, 0, 0, 0, 1]],
        [[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2]],
        [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]],
    ],
    ids=str,
)
def test_classes_of_unequal_size_are_rejected(labels):
    with pytest.raises(DataError, match="same number of examples"):
        TaskBatch.from_tasks([(X, torch.tensor(y)) for y in labels], shots=1)


def test_tasks_of_different_shapes_are_rejected():
    y = torch.tensor([0, 0, 1, 1])
    with pytest.raises(DataError, match="all of the same shape"):
        TaskBatch.from_tasks([(X[:4], y), (X[:4].repeat(1, 2), y)], shots=1)
    with pytest.raises(DataError, match="at least one task"):
        TaskBatch.from_tasks([], shots=1)


def test_a_batch_is_immutable():
    batch = batch_of(2)
    with pytest.raises(AttributeError):
        batch.support_x = None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_chunks_concatenate_to_the_batch(size):
    batch = masked(indexed(5))
    chunks = list(batch.chunks(size))
    assert [len(chunk) for chunk in chunks] == [size] * (5 // size) + [5 % size] * (5 % size > 0)
    for field in FIELDS:
        assert torch.equal(torch.cat([getattr(c, field) for c in chunks]), getattr(batch, field))


@pytest.mark.parametrize("size", [0, -1, 1.0, None, True])
def test_bad_chunk_sizes_are_rejected(size):
    with pytest.raises(ArgumentError, match="size must be a positive integer"):
        next(batch_of(2).chunks(size))


def test_the_first_queries_keep_their_masks():
    batch = masked(indexed(3, shots=2))
    few = batch.first_queries(2, 3)
    assert torch.equal(few.query_mask, few.query_indices % 7 > 0)
    assert few.support_mask is batch.support_mask


def test_batches_of_one_size_join_without_masks():
    whole = indexed(7)
    joined = TaskBatch.joined([whole.slice(0, 3), whole.slice(3, 7)])
    assert joined.support_mask is None is joined.query_mask
    for field in FIELDS[:6]:
        assert torch.equal(getattr(joined, field), getattr(whole, field))


def test_batches_of_other_sizes_join_with_padding():
    few, many = indexed(2, shots=1), indexed(3, shots=3)
    joined = TaskBatch.joined([few, masked(many), few])
    assert len(joined) == 7
    assert joined.support_mask.sum(1).tolist()[:2] == [3, 3]
    assert torch.equal(joined.support_mask[2:5], many.support_indices % 5 > 0)
    for n, own in [(0, few.slice(0, 1)), (6, few.slice(1, 2))]:
        rows = joined.support_mask[n]
        assert torch.equal(joined.support_x[n][rows], own.support_x[0])
        assert torch.equal(joined.query_indices[n][joined.query_mask[n]], own.query_indices[0])
        assert (joined.support_x[n][~rows] == own.support_x[0, 0]).all()  # repeats an example


def test_batches_of_other_sequences_do_not_join():
    batch = indexed(2)
    longer = dataclasses.replace(batch, query_x=batch.query_x.repeat(1, 1, 2))
    with pytest.raises(DataError, match=r"^TaskBatch\.joined: .* one shape"):
        TaskBatch.joined([batch, longer])
