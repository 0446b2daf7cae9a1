import numpy as np
import pytest
import torch

from l2l_rnn.data import from_arrays
from l2l_rnn.errors import ArgumentTypeError, DataError, ShapeError

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


def test_drop_single():
    y = ["a", "b", "c", "b"]
    with pytest.raises(DataError, match=r"two examples, got one of 'a', 'c'; .*drop_single=True"):
        from_arrays(X, y)
    dataset = from_arrays(X, y, drop_single=True)
    assert dataset.classes == ("b",)
    assert dataset.sequences[:, 0, 0].tolist() == [3, 9]
    grouped = from_arrays(X, y, groups=[1, 2, 3, 2], drop_single=True)
    assert grouped.group_names == ("2",)
    assert grouped.groups.tolist() == [0, 0]


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
        (X, {"y": ["a", "b", "c", "d"], "drop_single": True}, DataError, "some class must"),
        (X, {"groups": [1, 2, 3]}, ShapeError, "groups must have 4 labels.*got 3"),
    ],
)
def test_bad_labels_are_rejected(X, options, error, message):
    with pytest.raises(error, match=message) as caught:
        from_arrays(**{"X": X, "y": Y, **options})
    assert str(caught.value).startswith("from_arrays: ")
    assert "\n" not in str(caught.value)
