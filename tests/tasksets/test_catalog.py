import inspect
import itertools
import pathlib
import random
import tempfile

import learn2learn
import numpy as np
import pytest
import torch

from l2l_rnn.data import SequenceDataset
from l2l_rnn.data.splits import SPLITS
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.tasksets import (
    BenchmarkTasksets,
    get_tasksets,
    list_tasksets,
    register_dataset,
    register_taskset,
    tasksets_of,
)
from l2l_rnn.tasksets.catalog import _TASKSETS


@pytest.fixture
def tiny():
    """A task set of 4 classes with 6, 7, 8 and 9 items, and the option `shift`."""

    @register_taskset("tiny")
    def factory(root, shift=0):
        labels = torch.arange(4).repeat_interleave(torch.tensor([6, 7, 8, 9]))
        sequences = labels[:, None].expand(-1, 5) + 1 + shift
        return tuple(SequenceDataset(sequences.clone(), labels, classes="abcd") for _ in range(3))

    yield "tiny"
    del _TASKSETS._members["tiny"]


def test_the_signature_is_that_of_learn2learn():
    ours = inspect.signature(get_tasksets).parameters.values()
    theirs = inspect.signature(learn2learn.vision.benchmarks.get_tasksets).parameters.values()
    assert [(p.default, p.kind) for p in ours] == [(p.default, p.kind) for p in theirs]
    assert [p.name for p in ours][:-1] == [p.name for p in theirs][:-1]
    assert BenchmarkTasksets._fields == learn2learn.vision.benchmarks.BenchmarkTasksets._fields


def test_ways_and_samples_of_each_split(tiny):
    tasksets = get_tasksets(tiny, 4, 6, 3, 5)
    assert isinstance(tasksets, BenchmarkTasksets)
    for taskset, ways, samples in zip(tasksets, (4, 3, 3), (6, 5, 5), strict=True):
        assert (taskset.ways, taskset.samples) == (ways, samples)
        x, y = taskset.sample()
        assert x.shape == (ways * samples, 5)
        assert torch.bincount(y).tolist() == [samples] * ways


def test_items_of_a_label_share_a_class():
    taskset = get_tasksets("languages").test
    dataset = taskset.dataset.dataset
    classes = {tuple(row.tolist()): set() for row in dataset.sequences}
    for row, label in zip(dataset.sequences, dataset.labels.tolist(), strict=True):
        classes[tuple(row.tolist())].add(label)
    x, y = taskset.sample()
    for c in range(5):
        assert set.intersection(*(classes[tuple(row.tolist())] for row in x[y == c]))


def test_options_of_languages():
    tasksets = get_tasksets("languages", held_out=("fi", "et", "hu"), test_ways=3, max_length=20)
    assert tasksets.test.dataset.dataset.classes == ("et", "fi", "hu")
    assert tasksets.train.sample()[0].shape == (50, 20)


def test_num_tasks(tiny):
    tasksets = get_tasksets(tiny, 2, 3, 2, 3, num_tasks=4)
    assert [len(taskset) for taskset in tasksets] == [4, 4, 4]
    assert sum(1 for _ in tasksets.train) == 4
    assert torch.equal(tasksets.train[1][0], tasksets.train[1][0])
    endless = get_tasksets(tiny, 2, 3, 2, 3)
    assert sum(1 for _ in itertools.islice(endless.train, 9)) == 9


def test_all_ways_and_all_samples(tiny):
    x, _ = get_tasksets(tiny, 4, 6, 4, 6).train.sample()
    assert x.shape == (24, 5)
    assert get_tasksets(tiny, np.int64(1), 1, 1, 1).test.sample()[0].shape == (1, 5)


def test_device(tiny):
    for device in ("cpu", torch.device("cpu")):
        tasksets = get_tasksets(tiny, 2, 3, 2, 3, device=device)
        assert all(part.device.type == "cpu" for part in tasksets.train.sample())
    tasksets = get_tasksets(tiny, 2, 3, 2, 3, device="meta")
    assert all(part.is_meta for taskset in tasksets for part in taskset.sample())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_device_cuda():
    x, y = get_tasksets("languages", device="cuda").train.sample()
    assert x.is_cuda
    assert y.is_cuda


def test_an_unused_root_is_not_created(tmp_path):
    get_tasksets("languages", root=tmp_path / "nowhere")
    assert not list(tmp_path.iterdir())


def test_a_registered_factory_and_its_options(tiny):
    assert list(list_tasksets())[-1] == "tiny"
    assert get_tasksets(tiny, 2, 2, 2, 2, shift=5).train.sample()[0].min() >= 6
    with pytest.raises(ArgumentError, match="task set 'tiny' is already registered"):
        register_taskset("tiny")(lambda root: None)


@pytest.fixture
def toy():
    """A dataset class registered as a task set; its split shifts the token ids."""

    @register_dataset("toy")
    class Toy(SequenceDataset):
        def __init__(self, root, split="train", transform=None, *, shift=0, items=4):
            self.root, self.split = root, split
            labels = torch.arange(3).repeat_interleave(items)
            sequences = labels[:, None].expand(-1, 5) + 1 + shift + 10 * SPLITS.index(split)
            super().__init__(sequences.clone(), labels, classes="abc", transform=transform)

    yield Toy
    del _TASKSETS._members["toy"]


def test_a_registered_dataset_gives_one_source_per_split(toy, tmp_path):
    tasksets = get_tasksets("toy", 2, 2, 2, 2, root=tmp_path, shift=3)
    assert [type(taskset.source) for taskset in tasksets] == [toy] * 3
    assert [taskset.source.split for taskset in tasksets] == list(SPLITS)
    assert {taskset.source.root for taskset in tasksets} == {str(tmp_path)}
    assert [int(taskset.source.sequences.min()) for taskset in tasksets] == [4, 14, 24]


@pytest.mark.parametrize("option", ["split", "transform", "shfit"])
def test_only_keyword_only_arguments_of_a_dataset_are_options(toy, option):
    with pytest.raises(UnknownNameError, match=f"unknown option '{option}'.*Known: shift, items"):
        get_tasksets("toy", 2, 2, 2, 2, **{option: None})


class NoRoot(SequenceDataset):
    def __init__(self, split, *, size=1):
        """Never called."""


class NoSplit(SequenceDataset):
    def __init__(self, root, *, size=1):
        """Never called."""


@pytest.mark.parametrize(("dataset", "missing"), [(NoRoot, "root"), (NoSplit, "split")])
def test_a_dataset_without_a_required_argument(dataset, missing):
    name = dataset.__name__
    with pytest.raises(ArgumentError, match=f"{name} must take the argument '{missing}', got"):
        register_dataset("toy")(dataset)
    assert "toy" not in list_tasksets()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"name": None}, ArgumentTypeError, "name must be a str, got NoneType"),
        ({"name": "tinny"}, UnknownNameError, "unknown task set 'tinny'; did you mean 'tiny'"),
        ({"name": "language"}, UnknownNameError, "did you mean 'languages'"),
        (
            {"shfit": 1},
            UnknownNameError,
            "option 'shfit' of the task set 'tiny'; did you mean 'shift'",
        ),
        (
            {"train_ways": 5},
            DataError,
            "train_ways=5.*train split of 'tiny'.*at most 4.*got 5",
        ),
        ({"test_ways": 5}, DataError, "test_ways=5.*validation split.*at most 4.*got 5"),
        ({"train_samples": 7}, DataError, "train_samples=7.*at most 6.*class 'a', got 7"),
        ({"test_samples": 7}, DataError, "test_samples=7.*validation.*at most 6.*got 7"),
        *(
            ({count: value}, ArgumentError, f"{count} must be a positive integer, got {value!r}")
            for count in ("train_ways", "train_samples", "test_ways", "test_samples")
            for value in (0, -1, 2.0, "2", None, True)
        ),
        ({"num_tasks": 0}, ArgumentError, "num_tasks must be a positive integer or -1, got 0"),
        *(
            ({"num_tasks": value}, ArgumentError, f"num_tasks must be .*at least -1, got {value}")
            for value in (-2, -1.0, True, None)
        ),
    ],
)
def test_bad_input(tiny, options, error, message):
    arguments = {
        "name": tiny,
        "train_ways": 2,
        "train_samples": 2,
        "test_ways": 2,
        "test_samples": 2,
        **options,
    }
    with pytest.raises(error, match=message) as caught:
        get_tasksets(**arguments)
    assert "\n" not in str(caught.value)


def test_tasksets_of_draws_the_tasks_of_get_tasksets(tiny):
    named = get_tasksets(tiny, 2, 3, 2, 3, num_tasks=4)
    ours = tasksets_of([taskset.source for taskset in named], 2, 3, 2, 3, num_tasks=4)
    for theirs, taskset in zip(named, ours, strict=True):
        random.seed(3)
        expected = theirs.sample()
        random.seed(3)
        assert all(torch.equal(a, b) for a, b in zip(expected, taskset.sample(), strict=True))
        assert len(taskset) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test_ways": 5}, "tasksets_of: test_ways=5 .* for the validation split: .*at most 4"),
        ({"train_ways": 0}, "tasksets_of: train_ways must be a positive integer, got 0"),
        ({"sources": []}, r"sources must be three task sources, .* got none; .*splits=\.\.\."),
        ({"sources": None}, "must be three task sources, .* got NoneType; pass one"),
        ({"sources": SequenceDataset(torch.ones(99, 2).long(), torch.arange(99))}, "got Sequence"),
        ({"test_ways": 5}, "ask for fewer ways, or give this split more .*splits= of from_hf"),
        ({"test_samples": 99}, "ask for fewer samples$"),
        ({"sources": [1, 2, 3]}, "got int, int, int; pass"),
    ],
)
def test_bad_input_to_tasksets_of(tiny, change, message):
    sources = [taskset.source for taskset in get_tasksets(tiny, 2, 3, 2, 3)]
    arguments = {"sources": sources, "train_ways": 2, "test_ways": 2, "train_samples": 3}
    with pytest.raises(ArgumentError, match=message):
        tasksets_of(**{**arguments, "test_samples": 3, **change})


def test_the_home_folder_of_the_tests_is_temporary():
    home = pathlib.Path("~").expanduser()
    assert home.parent == pathlib.Path(tempfile.gettempdir())
    assert home.name.startswith("l2l_rnn-tests-")
