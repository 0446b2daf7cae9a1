"""Errors of calls for many users name the user."""

import numpy as np
import pytest

from l2l_rnn.errors import ArgumentError, ArgumentTypeError, DataError, ShapeError
from l2l_rnn.estimators import UnknownInputWarning, UserStore
from l2l_rnn.estimators.users.queries import read_users
from tests.estimators.models import make_model, texts


@pytest.fixture
def store(tmp_path):
    with UserStore(tmp_path / "users.db", make_model("protonet"), unknown_above=None) as store:
        store.partial_fit_many({"ann": texts(), "bob": texts()})
        store.partial_fit("cid", ["abc"], ["one"])
        yield store


@pytest.mark.parametrize(
    ("user", "X", "error", "match"),
    [
        ("cid", ["abc"], ArgumentError, "at least two classes must have examples, got 1"),
        ("bob", "abc", ArgumentTypeError, "TextInputs: texts must be a list"),
        ("bob", ["abc", None], DataError, "row 1 must hold a text, got None"),
        ("bob", [], DataError, "at least one text"),
        ("bob", 3, ArgumentTypeError, "X must be a list"),
    ],
)
def test_errors_of_predict_many(store, user, X, error, match):
    with pytest.raises(error, match=f"^UserStore.predict_many: user '{user}': .*{match}"):
        store.predict_many({"ann": ["abc"], user: X})


@pytest.mark.parametrize(
    ("X", "y", "error", "match"),
    [
        (["abc"], [3], ArgumentTypeError, "class names must be str as in earlier calls, got int"),
        (["abc"], ["a", "b"], ShapeError, "1 in all, got 2"),
        (["abc", "abd"], [0.5, 0.25], ValueError, "continuous"),
        ("abc", ["a"], ArgumentTypeError, "texts must be a list"),
        (["abc"], None, ArgumentError, "target y is None"),
    ],
)
def test_errors_of_partial_fit_many(store, X, y, error, match):
    before = store.predict_proba("ann", ["abc"])
    with pytest.raises(error, match=f"^UserStore.partial_fit_many: user 'bob': .*{match}"):
        store.partial_fit_many({"ann": texts(), "bob": (X, y)})
    np.testing.assert_array_equal(store.predict_proba("ann", ["abc"]), before)


def test_warnings_of_predict_many(tmp_path):
    with UserStore(tmp_path / "users.db", make_model("prior"), unknown_above=0.9) as store:
        store.partial_fit("ann", *texts())
        with pytest.warns(UnknownInputWarning, match=r"predict_many: user 'ann': 1 of 1 inputs"):
            store.predict_many({"ann": ["日本"]})


def test_a_state_that_cannot_be_loaded(store):
    rows = store._database.read_many(["ann", "bob"])
    rows["bob"] = rows["bob"]._replace(state=b"damaged")
    with pytest.raises(DataError, match=r"^f: user 'bob': "):
        read_users("f", store._kind, ["ann", "bob"], rows, {}, {})
