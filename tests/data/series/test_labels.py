import numpy as np
import pytest
import torch

from l2l_rnn.data import from_arrays
from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    ShapeError,
    UnknownNameError,
)

pandas = pytest.importorskip("pandas")

X = np.arange(12.0).reshape(4, 3)
Y = ["walk", "run", "walk", "run"]
NAN = float("nan")


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([10, 9, 10, 9], ("9", "10")),
        (np.array([10, 9, 10, 9], dtype=np.uint8), ("9", "10")),
        (torch.tensor([10, 9, 10, 9]), ("9", "10")),
        ([np.int64(10), 9, np.int32(10), 9], ("9", "10")),
        ([True, False, True, False], ("False", "True")),
        ([("b", 2), ("b", 1), ("b", 2), ("b", 1)], ("('b', 1)", "('b', 2)")),
        (pandas.Categorical(["y", "x", "y", "x"]), ("x", "y")),
        (pandas.Series(["y", "x", "y", "x"]), ("x", "y")),
        (np.array(["y", "x", "y", "x"], dtype=object), ("x", "y")),
        ([2j, 1j, 2j, 1j], ("2j", "1j")),  # complex numbers have no order
    ],
)
def test_labels_of_any_hashable_type(y, classes):
    dataset = from_arrays(X, y)
    assert dataset.classes == classes
    assert dataset.labels.tolist() == ([0, 1, 0, 1] if classes == ("2j", "1j") else [1, 0, 1, 0])


def test_small_classes():
    y = ["a", "b", "c", "b"]
    message = r"at least 2 examples, got fewer for 2 classes: 'a', 'c'; .*drop_small=True"
    with pytest.raises(DataError, match=message):
        from_arrays(X, y)
    dataset = from_arrays(X, y, drop_small=True)
    assert dataset.classes == ("b",)
    assert dataset.sequences[:, 0, 0].tolist() == [3, 9]
    grouped = from_arrays(X, y, groups=[1, 2, 3, 2], drop_small=True)
    assert grouped.group_names == ("2",)
    assert grouped.groups.tolist() == [0, 0]
    assert from_arrays(X, y, min_items=1).classes == ("a", "b", "c")
    with pytest.raises(DataError, match=r"at least 3 examples"):
        from_arrays(X, Y, min_items=3)


@pytest.mark.parametrize(
    ("X", "options", "error", "message"),
    [
        (X, {"y": Y[:3]}, ShapeError, "y must have 4 labels, one for each series, got 3"),
        (X, {"y": np.array([Y])}, ShapeError, r"got shape \(1, 4\)"),
        (X, {"y": ["1", 1, "1", 1]}, ArgumentTypeError, r"str \(case 0\) and int \(case 1\)"),
        (X, {"y": [1.0, NAN, 1.0, 2.0]}, DataError, "got nan for case 1; label the case"),
        (X, {"y": ["a", "b", None, "b"]}, DataError, "got None for case 2; label the case"),
        (X, {"y": pandas.array([1, None, 1, 1])}, DataError, "got <NA> for case 1; label"),
        (X, {"y": "walk"}, ArgumentTypeError, "sequence of labels, got str"),
        (X, {"y": None}, ArgumentTypeError, "sequence of labels, got NoneType"),
        *(
            (X, {what: given}, ArgumentTypeError, f"{what} must be a sequence .* got {kind}")
            for what in ("y", "groups")
            for given, kind in ((dict.fromkeys("abcd", "run"), "dict"), (set("abcd"), "set"))
        ),
        (X, {"y": [["a"]] * 4}, ArgumentTypeError, "hashable, got list"),
        (X, {"y": ["a", "b", "c", "d"], "drop_small": True}, DataError, "some class must"),
        (X, {"groups": [1, 2, 3]}, ShapeError, "groups must have 4 labels.*got 3"),
    ],
)
def test_bad_labels_are_rejected(X, options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("y", "classes", "names", "labels"),
    [
        (Y, ["walk", "run"], ("walk", "run"), [0, 1, 0, 1]),
        (Y, ("sit", "walk", "jump", "run"), ("sit", "walk", "jump", "run"), [1, 3, 1, 3]),
        ([10, 9, 10, 9], [10, 9], ("10", "9"), [0, 1, 0, 1]),
        (torch.tensor([10, 9, 10, 9]), ["9", "10", "11"], ("9", "10", "11"), [1, 0, 1, 0]),
        (np.array([0, 2, 0, 2]), ["sit", "jump", "run"], ("sit", "jump", "run"), [0, 2, 0, 2]),
        ([1, 0, 1, 0], np.array(["1", "0"]), ("1", "0"), [0, 1, 0, 1]),  # names, not indices
        ([-1, 1, -1, 1], [-1, 1], ("-1", "1"), [0, 1, 0, 1]),
        ([True, False, True, False], [True, False], ("True", "False"), [0, 1, 0, 1]),
        (Y, pandas.Index(["walk", "run"]), ("walk", "run"), [0, 1, 0, 1]),
    ],
)
def test_given_classes_keep_their_order_and_names(y, classes, names, labels):
    dataset = from_arrays(X, y, classes=classes)
    assert dataset.classes == names
    assert dataset.labels.tolist() == labels
    grouped = from_arrays(X, y, classes=classes, groups=[1, 1, 2, 2])
    assert grouped.classes == names
    assert grouped.targets.tolist() == labels
    assert from_arrays(X, y, classes=dataset.classes).classes == names


def test_given_classes_stay_if_their_series_are_dropped():
    dataset = from_arrays(X, ["a", "b", "c", "b"], classes=list("cbad"), drop_small=True)
    assert dataset.classes == ("c", "b", "a", "d")
    assert dataset.labels.tolist() == [1, 1]
    with pytest.raises(DataError, match="fewer for 2 classes: 'c', 'a'"):
        from_arrays(X, ["a", "b", "c", "b"], classes=list("cbad"))


@pytest.mark.parametrize(
    ("y", "classes", "error", "message"),
    [
        (Y, ["walk", "sit"], UnknownNameError, "unknown class 'run' in y.* Known: 'walk', 'sit'"),
        ([0, 2, 0, 2], ["walk", "run"], ArgumentError, r"y must lie in 0 \.\. 1, .* got 2; name"),
        ([0, -1, 0, -1], ["walk", "run"], ArgumentError, "got -1"),
        ([1, 3, 1, 3], [1, 2], UnknownNameError, "unknown class '3' in y"),
        (Y, "walk", ArgumentTypeError, "classes must be a sequence of classes, got str"),
        (Y, 2, ArgumentTypeError, "classes must be a sequence of classes, got int"),
        (Y, {"walk", "run"}, ArgumentTypeError, "classes must be a sequence of classes, got set"),
        (Y, ["walk", "run", "walk"], ArgumentError, "classes must have distinct.*'walk' twice"),
        (Y, [], UnknownNameError, "unknown class 'walk'"),
    ],
)
def test_bad_classes_are_rejected(y, classes, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(X, y, classes=classes)
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)
