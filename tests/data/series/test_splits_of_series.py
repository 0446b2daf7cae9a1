"""`from_arrays` with splits: no class, or no group, is in two of them."""

import numpy as np
import pytest
import torch

from l2l_rnn.data import GroupedDataset, SequenceDataset, SeriesSources, from_arrays
from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, UnknownNameError
from l2l_rnn.tasksets import from_hf, tasksets_of

NAMES = list("abcdefghij")
Y = NAMES * 4
X = np.arange(40 * 3.0).reshape(40, 3)  # the first value of case i is 3 i
PEOPLE = [f"p{i % 5}" for i in range(40)]
NAMED = {"train": ["a", "d"], "validation": ["c"], "test": ["b", "e", "f"]}


def test_each_class_is_in_one_split():
    sources = from_arrays(X, Y, splits=(0.6, 0.2, 0.2))
    assert isinstance(sources, SeriesSources)
    assert [type(source) for source in sources] == [SequenceDataset] * 3
    assert [len(source.classes) for source in sources] == [6, 2, 2]
    assert sorted(sum((source.classes for source in sources), ())) == NAMES
    for source in sources:
        for sequence, label in source:
            assert Y[int(sequence[0, 0]) // 3] == source.classes[label]
    assert sum(map(len, sources)) == 40


def test_named_classes():
    sources = from_arrays(X, Y, splits=NAMED)
    assert [source.classes for source in sources] == [("a", "d"), ("c",), ("b", "e", "f")]
    assert [len(source) for source in sources] == [8, 4, 12]
    assert from_arrays(X, Y, splits={**NAMED, "train": np.array(["a", "d"])})[0].classes == (
        "a",
        "d",
    )
    numbered = from_arrays(
        X, np.arange(40) % 4, splits={"train": [3, 0], "validation": [1], "test": [2]}
    )
    assert [source.classes for source in numbered] == [("0", "3"), ("1",), ("2",)]


def test_a_given_order_of_classes_is_kept():
    backwards = NAMES[::-1]
    for splits in (NAMED, (1, 1, 1)):
        sources = from_arrays(X, Y, splits=splits, classes=backwards)
        for source in sources:
            assert source.classes == tuple(name for name in backwards if name in source.classes)
    assert from_arrays(X, Y, splits=NAMED, classes=backwards).test.classes == ("f", "e", "b")


@pytest.mark.parametrize("splits", [(0.6, 0.2, 0.2), (1, 1, 1), (8, 1, 1), NAMED])
@pytest.mark.parametrize("seed", [0, 3])
def test_the_splits_are_those_of_from_hf(splits, seed):
    datasets = pytest.importorskip("datasets")
    rows = [{"text": f"{name} {i}", "label": name} for i, name in enumerate(Y)]
    texts = from_hf(datasets.Dataset.from_list(rows), "text", "label", splits=splits, seed=seed)
    series = from_arrays(X, Y, splits=splits, seed=seed)
    assert [s.classes for s in series] == [t.classes for t in texts]


def test_the_seed_decides_and_the_order_does_not():
    def classes(order, seed):
        sources = from_arrays(X[order], np.array(Y)[order], splits=(1, 1, 1), seed=seed)
        return [source.classes for source in sources]

    forward = np.arange(40)
    assert classes(forward, 1) == classes(forward[::-1], 1)
    assert len({str(classes(forward, seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize(
    "splits", [(2, 1, 1), {"train": ["p0", "p3"], "validation": ["p1"], "test": ["p4"]}]
)
def test_with_groups_each_group_is_in_one_split(splits):
    sources = from_arrays(X, Y, groups=PEOPLE, splits=splits, seed=2)
    found = [source.group_names for source in sources]
    assert len(set(sum(found, ()))) == sum(map(len, found))
    if isinstance(splits, dict):
        assert found == [("p0", "p3"), ("p1",), ("p4",)]
    for source in sources:
        assert isinstance(source, GroupedDataset)
        assert source.classes == tuple(NAMES)
        for i in range(len(source)):
            case = int(source.inputs[i, 0, 0]) // 3
            assert PEOPLE[case] == source.group_names[source.groups[i]]
            assert Y[case] == source.classes[source.targets[i]]


def test_task_sets_of_the_splits():
    flat = torch.arange(400.0)
    sources = from_arrays(flat, Y, lengths=[10] * 40, splits=(1, 1, 1))
    x, y = tasksets_of(sources, 3, 4, 2, 4).test.sample()
    assert x.shape == (8, 10, 1)
    assert sorted(set(y.tolist())) == [0, 1]


def test_small_classes_can_be_dropped():
    y = ["lone", *Y[1:]]
    with pytest.raises(DataError, match=r"fewer for 1 classes: 'lone'; add .* drop_small=True"):
        from_arrays(X, y, splits=(1, 1, 1))
    sources = from_arrays(X, y, splits=(1, 1, 1), drop_small=True)
    assert sorted(sum((source.classes for source in sources), ())) == NAMES
    assert "lone" not in from_arrays(X, y, splits=NAMED)[0].classes  # it is in no split
    grouped = from_arrays(X, y, groups=PEOPLE, splits=(1, 1, 1), drop_small=True)
    assert sum(map(len, grouped)) == 39


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"splits": {"train": ["a"]}}, ArgumentError, "name the classes of train, val"),
        ({"splits": {**NAMED, "dev": []}}, ArgumentError, "got the keys train, .*dev; pass all"),
        ({"splits": {**NAMED, "test": "bef"}}, ArgumentTypeError, "list of class names, got 'bef"),
        ({"splits": {**NAMED, "test": 3}}, ArgumentTypeError, r"splits\['test'\] must be a list"),
        ({"splits": {**NAMED, "test": ["z"]}}, UnknownNameError, "unknown class 'z' in splits"),
        ({"splits": {**NAMED, "test": ["a"]}}, ArgumentError, "got 'a' in train and test; remove"),
        ({"splits": {**NAMED, "test": []}}, DataError, "the test split must have at least one"),
        ({"splits": (1, 1)}, ArgumentError, "three positive shares"),
        ({"splits": (1, 1, 0)}, ArgumentError, "three positive shares"),
        ({"splits": (1, 1, float("nan"))}, ArgumentError, "three positive shares"),
        ({"splits": "train"}, ArgumentError, "three positive shares"),
        ({"splits": 0.5}, ArgumentError, "three positive shares"),
        ({"splits": (1, 1, 1), "y": list("ab") * 20}, DataError, "at least 3 classes, .*got 2"),
        ({"splits": (1, 1, 1), "min_items": 5}, DataError, "some class must have at least 5"),
        ({"splits": (1, 1, 1), "min_items": 0}, ArgumentError, "min_items must be a positive"),
        ({"splits": (1, 1, 1), "seed": -1}, ArgumentError, "seed must be a non-negative integer"),
        ({"splits": (1, 1, 1), "seed": "a"}, ArgumentError, "seed must be a non-negative integer"),
        ({"splits": NAMED, "groups": PEOPLE}, UnknownNameError, "unknown group 'a' in splits"),
        ({"splits": (1, 1, 1), "groups": ["a"] * 40}, DataError, "at least 3 groups, .*got 1: 'a'"),
        ({"splits": (1, 1, 1), "classes": [*NAMES, "k"]}, DataError, "fewer for 1 classes: 'k'"),
    ],
)  # fmt: skip
def test_bad_splits_are_rejected(options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)
