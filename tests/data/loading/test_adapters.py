"""Datasets and lists in place of a task set."""

import itertools

import learn2learn
import numpy as np
import pytest
import torch
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    TensorDataset,
)

from l2l_rnn.data import GroupedDataset, SequenceDataset, SourceTaskset, TaskLoader
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError
from l2l_rnn.tasksets import DelayedRecall, Sinusoids, get_tasksets

ITEMS = 40
LABELS = torch.arange(ITEMS) % 5
TOKENS = torch.stack([torch.arange(ITEMS) + 1, LABELS + 1, torch.ones(ITEMS).long()], -1)
STEPS = torch.randn(ITEMS, 4, 2, generator=torch.Generator().manual_seed(0))
NAMES = ["ab", "cd", "ef", "gh", "ij"]


class Items(Dataset):
    """A dataset as users write them, with x and y of any type."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def pairs(x, y):
    return list(zip(x, y, strict=True))


# Each kind of dataset: the dataset, and the sequences and classes of its items.
DATASETS = {
    "SequenceDataset": lambda: SequenceDataset(TOKENS, LABELS),
    "MetaDataset": lambda: learn2learn.data.MetaDataset(Items(TOKENS, LABELS.tolist())),
    "MetaDataset of ours": lambda: SequenceDataset(TOKENS, LABELS).meta(),
    "torch Dataset": lambda: Items(TOKENS, LABELS.tolist()),
    "names": lambda: Items(TOKENS, [NAMES[i] for i in LABELS]),
    "numpy labels": lambda: Items(TOKENS, LABELS.numpy()),
    "one-element labels": lambda: Items(TOKENS, LABELS[:, None]),
    "numpy": lambda: Items(TOKENS.numpy(), LABELS.numpy()),
    "TensorDataset": lambda: TensorDataset(TOKENS, LABELS),
    "Subset": lambda: Subset(SequenceDataset(TOKENS, LABELS), range(ITEMS)),
    "ConcatDataset": lambda: ConcatDataset(
        [TensorDataset(TOKENS[:9], LABELS[:9]), TensorDataset(TOKENS[9:], LABELS[9:])]
    ),
    "list": lambda: pairs(TOKENS, LABELS.tolist()),
    "list of lists": lambda: [[x.tolist(), y] for x, y in pairs(TOKENS, LABELS.tolist())],
    "tuple": lambda: tuple(pairs(TOKENS.numpy(), [NAMES[i] for i in LABELS])),
    "list of int32": lambda: pairs(TOKENS.int(), LABELS),
    "list of negative numbers": lambda: pairs(-TOKENS, LABELS),
    "list of vectors": lambda: pairs(TOKENS.float(), LABELS),
    "list of steps": lambda: pairs(STEPS, LABELS),
    "torch Dataset of steps": lambda: Items(STEPS, LABELS),
    "list of images": lambda: pairs(STEPS[:, None], LABELS),
}


@pytest.mark.parametrize("kind", DATASETS)
@pytest.mark.parametrize(("ways", "expected"), [(3, 3), (None, 5)])
def test_a_dataset_gives_tasks_of_its_items(kind, ways, expected):
    dataset = DATASETS[kind]()
    loader = TaskLoader(dataset, tasks=6, shots=2, queries=4, ways=ways, seed=0)
    for batch in itertools.islice(loader, 2):
        support_x, support_y, query_x, query_y = batch
        assert support_x.shape[:2] == support_y.shape == (6, expected * 2)
        assert query_x.shape[:2] == query_y.shape == (6, expected * 4)
        for x, y, indices in (
            (support_x, support_y, batch.support_indices),
            (query_x, query_y, batch.query_indices),
        ):
            items = [torch.as_tensor(dataset[i][0]) for i in indices.flatten().tolist()]
            assert torch.equal(torch.stack(items).to(x.dtype), x.flatten(0, 1))
            for labels, own in zip(y.tolist(), LABELS[indices].tolist(), strict=True):
                assert len(set(zip(labels, own, strict=True))) == expected
        both = torch.cat([batch.support_indices, batch.query_indices], 1)
        assert all(len(row.unique()) == both.shape[1] for row in both)


@pytest.mark.parametrize("kind", DATASETS)
def test_a_seed_determines_the_tasks(kind):
    def draw(seed):
        return next(TaskLoader(DATASETS[kind](), 4, 1, 2, ways=3, seed=seed)).query_indices

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0), draw(1))


@pytest.mark.parametrize("kind", DATASETS)
def test_a_loader_over_a_dataset_resumes(kind):
    loader = TaskLoader(DATASETS[kind](), 4, 1, 2, ways=3, seed=0)
    next(loader)
    state = loader.state_dict()
    expected = next(loader)
    other = TaskLoader(DATASETS[kind](), 4, 1, 2, ways=3)
    other.load_state_dict(state)
    assert torch.equal(next(other).query_indices, expected.query_indices)


@pytest.mark.parametrize("ways", [2, None])
def test_a_source_is_drawn_at_once_as_its_task_set(ways):
    persons = GroupedDataset(STEPS, LABELS % 2, torch.arange(ITEMS) // 10, "ab")
    sources = {SequenceDataset(STEPS, LABELS): 5, persons: 2}
    if ways is None:
        sources[DelayedRecall(3, symbols=4)] = 4
    for source, every in sources.items():
        count = ways or every
        loader = TaskLoader(source, 4, 1, 2, ways=ways, seed=0)
        assert loader.at_once
        assert isinstance(loader.taskset, SourceTaskset)
        expected = next(TaskLoader(SourceTaskset(source, count, 3), 4, 1, 2, seed=0))
        for own, other in zip(next(loader), expected, strict=True):
            assert torch.equal(own, other)


def test_sources_without_classes():
    numbers = GroupedDataset(STEPS, torch.randn(ITEMS, 2), torch.arange(ITEMS) // 10)
    for source in (numbers, Sinusoids()):
        batch = next(TaskLoader(source, 4, 3, 5, seed=0))
        assert batch.support_x.shape[:2] == (4, 3)
        assert batch.query_x.shape[:2] == (4, 5)


def test_a_class_without_items_does_not_count():
    source = SequenceDataset(TOKENS, LABELS, classes=["a"] * 9)
    assert next(TaskLoader(source, 2, 1, 1)).support_y.shape == (2, 5)


@pytest.mark.parametrize("kind", ["tokens", "steps"])
def test_a_list_of_different_lengths_is_padded(kind):
    rows = STEPS if kind == "steps" else TOKENS
    ragged = [(x[: 1 + i % x.shape[0]], i % 5) for i, x in enumerate(rows)]
    loader = TaskLoader(ragged, 5, 2, 3, ways=3, seed=0)
    assert loader.at_once
    batch = next(loader)
    for x, indices in zip((batch.support_x, batch.query_x), indices_of(batch), strict=True):
        for row, i in zip(x.flatten(0, 1), indices.flatten().tolist(), strict=True):
            own = ragged[i][0]
            assert torch.equal(row[: len(own)], own)
            rest = row[len(own) :]
            assert (rest.isnan() if kind == "steps" else rest == 0).all()


def indices_of(batch):
    return batch.support_indices, batch.query_indices


def test_a_transform_is_applied_anew():
    class Noisy(Items):
        def __getitem__(self, i):
            return self.x[i] + torch.rand(()), self.y[i]

    loader = TaskLoader(Noisy(STEPS, LABELS.tolist()), 3, 1, 2, ways=3, seed=0)
    first, second = next(loader), next(loader)
    again = TaskLoader(Noisy(STEPS, LABELS.tolist()), 3, 1, 2, ways=3, seed=0)
    assert torch.equal(next(again).query_x, first.query_x)
    offsets = second.query_x - STEPS[second.query_indices]
    assert len(offsets.mean((-1, -2)).unique()) == second.query_y.numel()


class Endless(IterableDataset):
    def __iter__(self):
        return iter([])


class NoLength(Dataset):
    def __getitem__(self, i):
        return TOKENS[0], 0


TASKSETS = get_tasksets("sinusoids")
TASKSET = TASKSETS.train


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (None, ArgumentTypeError, "got NoneType; pass one of get_tasksets"),
        (3, ArgumentTypeError, "a learn2learn Taskset, a dataset or a list .* got int; pass one"),
        ("languages", ArgumentTypeError, r"got str; pass get_tasksets\('languages'\)\.train"),
        (TASKSETS, ArgumentTypeError, "got a BenchmarkTasksets of SourceTaskset; .* as .train"),
        (tuple(TASKSETS), ArgumentTypeError, r"got a tuple .*pass one of them, such as \.train"),
        (list(TASKSETS)[:2], ArgumentTypeError, r"got a list .*pass one of them, such as \.train"),
        ([Sinusoids()] * 3, ArgumentTypeError, r"pass one of them, such as \.train"),
        (
            DataLoader(TensorDataset(TOKENS, LABELS)),
            ArgumentTypeError,
            "got DataLoader; pass the dataset that it loads, its attribute dataset",
        ),
        (TaskLoader(TASKSET, 2, 1), ArgumentTypeError, "got TaskLoader; pass its .* taskset"),
        (Endless(), ArgumentTypeError, r"got Endless; pass list\(dataset\)"),
        (NoLength(), ArgumentTypeError, "a dataset must have a length, got NoLength"),
        (SequenceDataset, ArgumentTypeError, "got the class SequenceDataset; pass an instance"),
        ((TOKENS, LABELS), ArgumentTypeError, r"a tuple of Tensor; pass from_arrays\(X, y\)"),
        ([TOKENS.numpy(), LABELS.numpy()], ArgumentTypeError, r"list\(zip\(X, y\)\)"),
        (TOKENS, ArgumentTypeError, r"got Tensor; pass from_arrays\(X, y\) or SequenceDataset"),
        (TOKENS.numpy(), ArgumentTypeError, r"got ndarray; pass from_arrays\(X, y\)"),
        ([], ArgumentTypeError, "got a list of nothing; pass one of"),
        (list(TOKENS[:, 0]), ArgumentTypeError, "got a list of Tensor; pass"),
        ([(TOKENS[0], 1, 2)], ArgumentTypeError, "got a list of tuple; pass"),
        (iter(pairs(TOKENS, LABELS)), ArgumentTypeError, "got list_iterator; pass"),
        ({"text": ["a"]}, ArgumentTypeError, "got dict; make sources of texts with from_hf"),
        (pairs(["a", "b"], [0, 1]), ArgumentTypeError, "x of item 0 must be numbers, got str .*w"),
        (Items(["a", "b"], [0, 1]), ArgumentTypeError, "x of item 0 must be numbers, got str"),
        (pairs(TOKENS, LABELS / 2), ArgumentTypeError, "y of item 0 must be a class, .* got float"),
        (Items(TOKENS, STEPS), ArgumentTypeError, r"y of item 0 .* got shape \(4, 2\); for other"),
        (Items(TOKENS, [["a"]] * 40), ArgumentTypeError, "y of item 0 must .* got list"),
        (Items(TOKENS, [*LABELS[:9].tolist(), None]), ArgumentTypeError, "y of item 9 .* NoneType"),
        (TensorDataset(TOKENS), ArgumentTypeError, r"item 0 .* must be a pair \(x, y\), got tuple"),
        (TensorDataset(TOKENS, LABELS, LABELS), ArgumentTypeError, "must be a pair"),
        (
            Items([TOKENS[0], TOKENS[1][:2]], [0, 1]),
            DataError,
            r"one shape, got \(3,\) for item 0 and \(2,\) for item 1; pad them, or pass list",
        ),
        (
            pairs([STEPS[0, 0], STEPS[0, 0, :1]], [0, 1]),
            DataError,
            r"one shape, got \(2,\) for item 0 and \(1,\) for item 1",
        ),
        (pairs([STEPS[0], STEPS[0, :, :1]], [0, 1]), DataError, "one shape"),
        (pairs([TOKENS[0], TOKENS[0][:0]], [0, 1]), DataError, "one shape"),
        (Items([], []), DataError, "dataset must have items, got none"),
    ],
    ids=lambda value: None,
)
def test_anything_else_is_rejected_with_the_call_that_works(given, error, message):
    with pytest.raises(error, match=message) as caught:
        TaskLoader(given, 2, 1, 1)
    assert str(caught.value).startswith("TaskLoader: ")
    assert "\n" not in str(caught.value)


def test_frames_and_hugging_face_datasets():
    pandas, datasets = pytest.importorskip("pandas"), pytest.importorskip("datasets")
    for given in (pandas.DataFrame({"a": [1]}), datasets.Dataset.from_dict({"a": [1]})):
        with pytest.raises(ArgumentTypeError, match=r"got Data(Frame|set); make .* with from_hf"):
            TaskLoader(given, 2, 1, 1)


@pytest.mark.parametrize("kind", ["SequenceDataset", "MetaDataset", "torch Dataset", "list"])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"queries": None}, ArgumentError, "queries must be given with a dataset.* queries=15"),
        ({"queries": 0}, ArgumentError, "queries must be a positive integer, got 0"),
        ({"ways": 0}, ArgumentError, "ways must be a positive integer, got 0"),
        ({"ways": 2.0}, ArgumentError, "ways must be a positive integer, got 2.0"),
        ({"ways": 6}, DataError, "ask for fewer"),
        ({"queries": 8}, DataError, "ask for fewer"),
    ],
)
def test_bad_counts(kind, options, error, message):
    with pytest.raises(error, match=message):
        TaskLoader(DATASETS[kind](), **{"tasks": 2, "shots": 1, "queries": 1, **options})


def test_a_task_set_has_its_own_ways():
    taskset = SourceTaskset(SequenceDataset(TOKENS, LABELS), 3, 4)
    assert next(TaskLoader(taskset, 2, 1, ways=3)).support_y.shape == (2, 3)
    with pytest.raises(ArgumentError, match=r"ways is set by the task set, .* 3 ways, got 4"):
        TaskLoader(taskset, 2, 1, ways=4)
    plain = learn2learn.data.Taskset(taskset.dataset, taskset.task_transforms)
    with pytest.raises(ArgumentError, match=r"ways is set by the task set, .* got 3; leave"):
        TaskLoader(plain, 2, 1, ways=3)


def test_numpy_integers():
    batch = next(TaskLoader(DATASETS["list"](), 2, 1, np.int64(2), ways=np.int16(3)))
    assert batch.query_x.shape[:2] == (2, 6)
