"""Class names of every type keep their type and their value."""

import numpy as np
import pandas as pd
import pytest
import torch

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from l2l_rnn.estimators import FewShotClassifier
from l2l_rnn.estimators.labels import checked_labels, merged, missing, numbered, with_label
from tests.estimators.models import make_model

X = ["abcd", "efgh", "ijkl"]
LARGE = 2**53


@pytest.mark.parametrize(
    ("labels", "kind", "values"),
    [
        (pd.Series([True, False, True], dtype="boolean"), "b", [True, False, True]),
        (pd.array([True, False, True], dtype="boolean"), "b", [True, False, True]),
        (pd.Series([LARGE, LARGE + 1, 3], dtype="Int64"), "i", [LARGE, LARGE + 1, 3]),
        (pd.Series([1, 2, 2**64 - 1], dtype="UInt64"), "u", [1, 2, 2**64 - 1]),
        (pd.Series(["a", "b", "c"], dtype="string"), "O", ["a", "b", "c"]),
        (pd.Series(["a", "b", "c"], dtype="category"), "O", ["a", "b", "c"]),
        (pd.Series([3, 1, 2], dtype="category"), "i", [3, 1, 2]),
        ([np.uint64(LARGE + 1), LARGE, 3], "i", [LARGE + 1, LARGE, 3]),
        ([np.int8(1), np.uint64(2), -1], "i", [1, 2, -1]),
        ([2**64 - 1, 0, 1], "u", [2**64 - 1, 0, 1]),
        (torch.tensor([3, 1, 2]), "i", [3, 1, 2]),
        ([1.0, 2.0, 3.0], "f", [1.0, 2.0, 3.0]),
    ],
)
def test_types_and_values_are_kept(labels, kind, values):
    found = checked_labels("f", labels, 3)
    assert found.dtype.kind == kind
    assert found.tolist() == values
    classifier = FewShotClassifier(make_model("protonet")).fit(X, labels)
    assert classifier.predict(X).tolist() == values
    assert [type(one) for one in classifier.predict(X).tolist()] == [type(v) for v in values]


def test_a_column_of_a_frame_warns_as_in_scikit_learn():
    frame = pd.DataFrame({"y": pd.Series([LARGE, LARGE + 1], dtype="Int64")})
    with pytest.warns(UserWarning, match="column-vector"):
        found = checked_labels("f", frame, 2)
    assert found.tolist() == [LARGE, LARGE + 1]


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        ([1, None], "None"),
        ([1, pd.NA], "<NA>"),
        ([pd.Timestamp(0), pd.NaT], "NaT"),
        (pd.Series([1, None], dtype="Int64"), "<NA>"),
        (pd.Series(["a", None], dtype="string"), "<NA>"),
        (pd.Series(["a", None], dtype="category"), "nan"),
        (pd.Series(["a", None]), "(None|nan)"),
        (np.array(["a", None], object), "None"),
        (np.array([1.0, np.nan]), "nan"),
        (torch.tensor([1.0, torch.inf]), "inf"),
        (["a", float("nan")], "nan"),
    ],
)
def test_missing_class_names_name_the_row(labels, shown):
    with pytest.raises(DataError, match=f"^f: row 1 of y must hold a class name, got {shown} .*; "):
        checked_labels("f", labels)


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        ("es", ArgumentTypeError, r"got str; pass a list, such as \['es'\]"),
        (b"es", ArgumentTypeError, "got bytes; pass a list"),
        (3, ArgumentTypeError, r"got int; pass a list, such as \[3\]"),
        (np.array("es"), ArgumentTypeError, "got ndarray; pass a list"),
        ({"a", "b"}, ArgumentTypeError, "got set; pass a list in the order of X"),
        ({"a": 1}, ArgumentTypeError, r"got dict; pass list\(y.values\(\)\)"),
        ((one for one in "ab"), ArgumentTypeError, r"got generator; pass list\(y\)"),
        ([["a", "b"], ["c", "d"]], ShapeError, r"y should be a 1d array.*; pass one column"),
        (np.array(["2020-01-01"], "datetime64[ns]"), ArgumentTypeError, "row 0 of y"),
        (["a", "b", 3], ArgumentTypeError, r"got int, str \(row 2 of y is 3\)"),
    ],
)
def test_other_containers_and_mixed_types(labels, error, match):
    with pytest.raises(error, match=f"^f: .*{match}"):
        checked_labels("f", labels)


@pytest.mark.parametrize("labels", [[-1, 2**64 - 1], [2**64, 1], [-(2**63) - 1, 0]])
def test_integers_that_no_type_holds(labels):
    with pytest.raises(ArgumentError, match="must fit into int64"):
        checked_labels("f", labels)


def test_integers_of_several_types_in_several_calls():
    classifier = FewShotClassifier(make_model("protonet")).fit(X[:2], [LARGE, 1])
    classifier.partial_fit(X[2:], np.array([LARGE + 1], np.uint64)).partial_fit(["aaaa"], [1])
    assert classifier.classes_.dtype == np.int64
    assert classifier.classes_.tolist() == [1, LARGE, LARGE + 1]
    assert classifier.counts_.tolist() == [2, 1, 1]
    with pytest.raises(ArgumentError, match="must fit into int64"):
        merged("f", np.array([-1]), np.array([2**64 - 1], np.uint64))


def test_comparisons_of_large_integers_are_exact():
    names, labels = np.array([LARGE, LARGE + 1]), np.array([LARGE + 1, LARGE], np.uint64)
    assert numbered(labels, names).tolist() == [1, 0]
    assert missing(labels, names[:1]) == [LARGE + 1]
    found = with_label(names, np.array([True, False]), np.uint64(5))
    assert found.tolist() == [5, LARGE + 1]


@pytest.mark.parametrize("make", [list, lambda y: np.array(y, object)])
def test_a_nul_at_the_end_of_a_text(make):
    with pytest.raises(ArgumentError, match=r"must not end with a NUL character, got 'a\\x00'"):
        checked_labels("f", make(["a\0", "a"]))
    assert checked_labels("f", make(["a\0b", "a"])).tolist() == ["a\0b", "a"]


def test_texts_are_compared_by_code_points():
    classifier = FewShotClassifier(make_model("protonet")).fit(X[:2], ["\u00e9", "e\u0301"])
    assert classifier.predict(X[:2]).tolist() == ["\u00e9", "e\u0301"]


def test_one_example_of_each_of_many_classes():
    names = [f"class {n}" for n in range(40)]  # scikit-learn would warn of a regression problem
    assert checked_labels("f", names).tolist() == names
