"""Personal states on disk: answers, errors, damaged files."""

import os
import pickle
import sqlite3
import threading
import warnings

import numpy as np
import pytest
import torch

from l2l_rnn.errors import (
    ArgumentError,
    ArgumentTypeError,
    DataError,
    L2LRNNError,
    UnknownNameError,
)
from l2l_rnn.estimators import FewShotClassifier, UnknownInputWarning, UserStore
from l2l_rnn.training import Pretrained, TextInputs
from tests.estimators.models import (
    ALPHABETS,
    LEARNERS,
    REFITS,
    VOCABULARY,
    make_learner,
    make_model,
    make_series_model,
    series,
    texts,
)

pytestmark = pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning")
NAMES = list(ALPHABETS)


def examples(number, kind="prior"):
    """Return the examples of a user: two to five classes, one to three of each."""
    ways = 2 + number % (3 if kind == "protomaml" else 4)
    return texts(NAMES[:ways], each=1 + number % 3, seed=number)


@pytest.mark.parametrize("kind", LEARNERS)
def test_answers_are_those_of_a_classifier_to_the_last_bit(kind, tmp_path):
    count = 50 if kind in ("prior", "slots") else 8
    model, path = make_model(kind), tmp_path / "users.db"
    users, keep = {}, kind in REFITS
    with UserStore(path, model, keep_examples=keep) as store:
        for number in range(count):
            X, y = examples(number, kind)
            store.partial_fit(f"user {number}", X, y)
            users[f"user {number}"] = FewShotClassifier(model).partial_fit(X, y)
    queries = {user: texts(NAMES[:3], each=1 + n % 4, seed=99)[0] for n, user in enumerate(users)}
    with UserStore(path, make_model(kind), keep_examples=keep) as store:  # as in another process
        assert store.users() == sorted(users)
        assert len(store) == count
        for user, classifier in users.items():
            X = queries[user]
            np.testing.assert_array_equal(store.predict_proba(user, X), classifier.predict_proba(X))
            np.testing.assert_array_equal(store.predict(user, X), classifier.predict(X))
        many = store.predict_many(queries)
        assert list(many) == list(queries)
        for user, classifier in users.items():
            assert len(many[user]) == len(queries[user])
            proba = np.sort(classifier.predict_proba(queries[user]))
            clear = proba[:, -1] - proba[:, -2] > 1e-4  # equal up to rounding
            expected = classifier.predict(queries[user])
            np.testing.assert_array_equal(many[user][clear], expected[clear])
        X, y = texts(NAMES[:2], each=1, seed=7)
        for user in ("user 0", "user 5"):
            store.partial_fit(user, X, y)
            users[user].partial_fit(X, y)
            np.testing.assert_array_equal(
                store.predict_proba(user, X), users[user].predict_proba(X)
            )


def test_classifiers_of_users(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"), keep_examples=True)
    store.partial_fit("ann", ["abc", "efg"], [2, 1])
    store.partial_fit("bob", ["abc", "efg"], ["x", "y"], classes=["x", "y", "z"])
    ann, bob = store.classifier("ann"), store.classifier("bob", examples=True)
    assert ann.classes_.tolist() == [1, 2]
    assert bob.classes_.tolist() == ["x", "y", "z"]
    assert bob.explain(["abc"])[0][0].example in ("abc", "efg")
    assert store.explain("ann", ["abc"], 1)[0][0].label in (1, 2)
    before = ann.predict_proba(["abc"])
    store.partial_fit("ann", ["mno"], [3])
    np.testing.assert_array_equal(ann.predict_proba(["abc"]), before)
    assert store.classifier("ann").classes_.tolist() == [1, 2, 3]
    ann.partial_fit(["qrs"], [4])
    assert store.classifier("ann").classes_.tolist() == [1, 2, 3]
    assert pickle.loads(pickle.dumps(bob)).classes_.tolist() == ["x", "y", "z"]


def test_membership_and_removal(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    X, y = texts()
    store.partial_fit_many({"a": (X, y), "b": (X, y)})
    assert "a" in store
    assert "c" not in store
    assert 3 not in store
    assert list(store) == ["a", "b"]
    store.remove("a")
    assert store.users() == ["b"]
    for call in (store.remove, lambda user: store.predict(user, X), store.classifier):
        with pytest.raises(UnknownNameError, match="unknown user 'a'"):
            call("a")
    with pytest.raises(UnknownNameError, match="unknown user 'a'"):
        store.predict_many({"b": X, "a": X})


def test_nothing_is_kept_after_an_error(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("slots"))
    X, y = texts()
    store.partial_fit("a", X, y)
    before = store.predict_proba("a", X)
    bad = {"number": (["abc"], [3]), "many": (["abc"] * 4, list("1234")), "text": ([""], ["ann"])}
    for example in bad.values():
        with pytest.raises(L2LRNNError):
            store.partial_fit("a", *example)
        with pytest.raises(L2LRNNError):
            store.partial_fit_many({"b": (X, y), "a": example})
    np.testing.assert_array_equal(store.predict_proba("a", X), before)
    assert store.users() == ["a"]


def test_one_class_so_far(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    store.partial_fit("a", ["abc"], ["ann"])
    for call in (lambda: store.predict("a", ["abc"]), lambda: store.predict_many({"a": ["abc"]})):
        with pytest.raises(ArgumentError, match="at least two classes must have examples"):
            call()
    store.partial_fit("a", ["efg"], ["bob"])
    assert store.predict("a", ["abc"]).tolist() == ["ann"]


def test_unknown_inputs(tmp_path):
    path, (X, y) = tmp_path / "users.db", texts()
    store = UserStore(path, make_model("prior"), unknown_label="?", unknown_above=1.0)
    store.partial_fit_many({"a": (X, y), "b": (X, y)})
    assert store.predict("a", ["日本"]).tolist() == ["?"]
    assert store.predict_many({"a": ["日本"], "b": ["abc"]})["a"].tolist() == ["?"]
    store = UserStore(path, make_model("prior"), unknown_above=1.0)
    with pytest.warns(UnknownInputWarning) as found:
        store.predict_many({"a": ["日本"]})
    assert found[0].filename == __file__
    with pytest.warns(UnknownInputWarning):
        store.predict("a", ["日本"])


def test_series(tmp_path):
    (X, y), model = series(), make_series_model()
    store = UserStore(tmp_path / "users.db", model, keep_examples=True)
    store.partial_fit("a", X, y)
    expected = FewShotClassifier(model).fit(X, y)
    np.testing.assert_array_equal(store.predict_proba("a", X[:5]), expected.predict_proba(X[:5]))
    many = store.predict_many({"a": X[:5]})
    np.testing.assert_array_equal(many["a"], expected.predict(X[:5]))
    shown = store.explain("a", X[:1])[0][0]
    np.testing.assert_allclose(shown.example.ravel(), X[shown.number], rtol=1e-6)


def test_examples_are_stored_only_if_asked(tmp_path):
    for keep in (False, True):
        path = tmp_path / f"{keep}.db"
        with UserStore(path, make_model("prior"), keep_examples=keep) as store:
            store.partial_fit("a", ["abcabc", "efg"], ["ann", "bob"])
        assert (b"abcabc" in path.read_bytes()) == keep
    with (
        UserStore(tmp_path / "False.db", make_model("prior")) as store,
        pytest.raises(ArgumentError, match="keep_examples=True"),
    ):
        store.explain("a", ["abc"])
    # Users whose examples were not kept have none later either.
    store = UserStore(tmp_path / "False.db", make_model("prior"), keep_examples=True)
    store.partial_fit("a", ["abcd"], ["ann"])
    assert store.classifier("a", examples=True).counts_.sum() == 3
    with pytest.raises(ArgumentError, match="not kept"):
        store.explain("a", ["abc"])


def test_removed_users_leave_no_bytes(tmp_path):
    path = tmp_path / "users.db"
    with UserStore(path, make_model("prior"), keep_examples=True) as store:
        store.partial_fit("somebody", ["abcabcabc", "efg"], ["ann", "bob"])
        store.partial_fit("other", *texts())
        assert b"abcabcabc" in path.with_name("users.db-wal").read_bytes()
        store.remove("somebody")
    assert not path.with_name("users.db-wal").exists()
    assert b"abcabcabc" not in path.read_bytes()
    assert b"somebody" not in path.read_bytes()


def test_errors_do_not_show_other_users(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    store.partial_fit("secret-1", *texts())
    with pytest.raises(UnknownNameError) as found:
        store.predict("secret-2", ["abc"])
    assert "secret-1" not in str(found.value)


def test_more_users_than_one_query_takes(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("protonet"))
    users = {f"user {n}": (["abc", "efg"], ["ann", "bob"]) for n in range(520)}
    store.partial_fit_many(users)
    answers = store.predict_many({user: ["abc"] * (1 + n % 2) for n, user in enumerate(users)})
    assert list(answers) == list(users)
    assert all(set(labels) == {"ann"} for labels in answers.values())
    assert store.predict_many({}) == {}


def test_gradient_learners_need_examples(tmp_path):
    with pytest.raises(ArgumentError, match="keep_examples must be True for a MAML"):
        UserStore(tmp_path / "users.db", make_model("maml"))


def test_a_store_belongs_to_its_model(tmp_path):
    path = tmp_path / "users.db"
    UserStore(path, make_model("prior")).close()
    UserStore(path, make_model("prior", steps=3, settings={"a": 1})).close()
    other = make_model("prior")
    next(other.learner.parameters()).data[3, 3] += 1e-3
    inputs = Pretrained(make_learner("prior"), TextInputs(VOCABULARY, max_length=19))
    for model, what in {other: "learner", inputs: "inputs", make_model("slots"): "class"}.items():
        with pytest.raises(ArgumentError, match=f"another model .*{what}"):
            UserStore(path, model)


@pytest.mark.parametrize("user", ["", "a\0b", "\ud800"])
def test_bad_names(tmp_path, user):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    with pytest.raises(ArgumentError, match="name of a user"):
        store.partial_fit(user, *texts())
    with pytest.raises(ArgumentTypeError, match="must be a str, got int"):
        store.predict(3, ["abc"])


def test_odd_names(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    names = ["'; DROP TABLE users; --", "日本", "a" * 5000, " ", "A", "a", "%", "_"]
    store.partial_fit_many({name: texts(seed=n) for n, name in enumerate(names)})
    assert set(store.users()) == set(names)
    store.remove("%")
    assert len(store) == len(names) - 1


def test_files_of_other_kinds(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database" * 100)
    with pytest.raises(DataError, match="damaged file"):
        UserStore(text, make_model("prior"))
    assert text.read_text() == "not a database" * 100
    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    before = other.read_bytes()
    with pytest.raises(DataError, match="another program"):
        UserStore(other, make_model("prior"))
    assert other.read_bytes() == before
    with pytest.raises(OSError, match="unable to open"):
        UserStore(tmp_path, make_model("prior"))
    with pytest.raises(OSError, match="unable to open"):
        UserStore(tmp_path / "no" / "users.db", make_model("prior"))
    newer = tmp_path / "newer.db"
    UserStore(newer, make_model("prior")).close()
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(DataError, match="format version 1, got 2"):
        UserStore(newer, make_model("prior"))


def test_damaged_files(tmp_path):
    path = tmp_path / "users.db"
    with UserStore(path, make_model("prior"), keep_examples=True) as store:
        store.partial_fit_many({f"user {n}": examples(n) for n in range(20)})
        expected = {user: store.predict_proba(user, ["abc"]) for user in store}
    good, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(40):
        bad = bytearray(good)
        for at in rng.integers(len(bad), size=3):
            bad[at] ^= 1 << int(rng.integers(8))
        whole = rng.random() < 0.8
        path.write_bytes(bytes(bad) if whole else good[: int(rng.integers(1, len(good)))])
        for name in ("users.db-wal", "users.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        try:
            with UserStore(path, make_model("prior"), keep_examples=True) as store:
                for user in store:
                    found = store.classifier(user, examples=True).predict_proba(["abc"])
                    # A name is no part of the state, so damage may rename a user.
                    np.testing.assert_array_equal(found, expected.get(user, found))
        except (L2LRNNError, OSError):
            refused += 1
    assert refused > 20


def test_a_damaged_state_names_the_user(tmp_path):
    path = tmp_path / "users.db"
    with UserStore(path, make_model("prior")) as store:
        store.partial_fit_many({"a": texts(), "b": texts()})
    connection = sqlite3.connect(path)
    state = bytearray(connection.execute("SELECT state FROM users WHERE name = 'a'").fetchone()[0])
    state[-1] ^= 1
    connection.execute("UPDATE users SET state = ? WHERE name = 'a'", (bytes(state),))
    connection.commit()
    connection.close()
    store = UserStore(path, make_model("prior"))
    with pytest.raises(DataError, match=r"user 'a' .* damaged bytes"):
        store.predict("a", ["abc"])
    assert store.predict("b", ["abc"]).shape == (1,)
    store.remove("a")
    assert store.users() == ["b"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(0o500)
    with pytest.raises(OSError, match="check the folder"):
        UserStore(tmp_path / "folder" / "users.db", make_model("prior"))


def test_a_full_disk(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    store.partial_fit("a", *texts())
    before = store.predict_proba("a", ["abc"])
    pages = store._database._connection().execute("PRAGMA page_count").fetchone()[0]
    store._database._connection().execute(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(OSError, match="full"):
        store.partial_fit_many({f"user {n}": examples(n) for n in range(50)})
    assert store.users() == ["a"]
    np.testing.assert_array_equal(store.predict_proba("a", ["abc"]), before)


def test_threads_take_turns(tmp_path):
    store, errors = UserStore(tmp_path / "users.db", make_model("prior")), []

    def add(name):
        try:
            for _ in range(10):
                store.partial_fit("shared", [ALPHABETS[name]], [name])
                store.predict_many({"shared": ["abc"]}) if name == "ann" else None
        except ArgumentError as error:
            if "at least two classes" not in str(error):
                errors.append(error)
        except Exception as error:
            errors.append(error)

    store.partial_fit("shared", ["abc", "efg"], ["ann", "bob"])
    threads = [threading.Thread(target=add, args=(name,)) for name in NAMES[:3]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert store.classifier("shared").counts_.tolist() == [11, 11, 10]
    store.close()
    assert len(store) == 1  # opens again
    store.close()


def test_a_store_used_after_a_fork(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    store.partial_fit("a", *texts())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork of a process with threads
        child = os.fork()
    if child == 0:
        try:
            store.partial_fit("child", *texts(seed=1))
            os._exit(0 if store.users() == ["a", "child"] else 1)
        except BaseException:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    store.partial_fit("b", *texts(seed=2))
    assert store.users() == ["a", "b", "child"]


def test_classes_must_hold_those_of_the_examples(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    with pytest.raises(
        ArgumentError, match=r"^UserStore.partial_fit: user 'a': classes must have .* 'ann'"
    ):
        store.partial_fit("a", *texts(), classes=["q"])
    assert store.users() == []
    store.partial_fit("a", *texts(), classes=["ann", "bob", "cid", "q"])
    assert store.classifier("a").counts_.tolist() == [4, 4, 4, 0]


def test_errors_begin_with_the_call(tmp_path):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    store.partial_fit("a", *texts())
    for name in ("predict", "predict_proba", "explain"):
        call = getattr(store, name)
        with pytest.raises(UnknownNameError, match=f"^UserStore.{name}: unknown user"):
            call("b", ["abc"])
        with pytest.raises(L2LRNNError, match=f"^UserStore.{name}: "):
            call("a", 3)
    store.partial_fit("one", ["abc"], ["ann"])
    with pytest.raises(ArgumentError, match=r"^UserStore.predict: at least two classes"):
        store.predict("one", ["abc"])


@pytest.mark.parametrize(
    ("call", "given", "match"),
    [
        ("predict_many", ["ann"], r"queries must be a dict by user, got list; pass \{user: X\}"),
        ("partial_fit_many", [("ann", 1)], "examples must be a dict by user, got list"),
        ("partial_fit_many", {"ann": ["abc"]}, r"user 'ann' must be a pair \(X, y\), got list"),
        ("partial_fit_many", {"ann": "ab"}, r"user 'ann' must be a pair \(X, y\), got str"),
    ],
)
def test_calls_for_many_users_take_dicts(tmp_path, call, given, match):
    store = UserStore(tmp_path / "users.db", make_model("prior"))
    with pytest.raises(ArgumentTypeError, match=f"^UserStore.{call}: .*{match}"):
        getattr(store, call)(given)


def test_a_store_belongs_to_its_steps_and_loss(tmp_path):
    options = {"keep_examples": True}
    path = tmp_path / "maml.db"
    UserStore(path, make_model("maml"), steps=2, **options).close()
    UserStore(path, make_model("maml", steps=2, loss="cross_entropy"), **options).close()
    for model, what in {
        make_model("maml"): "steps: '2', '1'",
        make_model("maml", steps=2, loss="mean_squared_error"): "loss: ",
    }.items():
        with pytest.raises(ArgumentError, match=f"another model .*{what}"):
            UserStore(path, model, **options)
    path = tmp_path / "slots.db"
    UserStore(path, make_model("slots")).close()
    with pytest.raises(ArgumentError, match=r"another model .*steps"):
        UserStore(path, make_model("slots"), steps=7)
    path = tmp_path / "prior.db"  # class means depend on neither
    UserStore(path, make_model("prior")).close()
    UserStore(path, make_model("prior"), steps=7).close()


def test_a_model_of_a_store_must_not_be_trained_on(tmp_path):
    model = make_model("prior")
    store = UserStore(tmp_path / "users.db", model)
    store.partial_fit("a", *texts())
    with torch.no_grad():
        next(model.learner.parameters()).add_(0.1)
    calls = (
        lambda: store.predict("a", ["abc"]),
        lambda: store.predict_many({"a": ["abc"]}),
        lambda: store.partial_fit("b", *texts()),
    )
    for call in calls:
        with pytest.raises(ArgumentError, match=r"^UserStore.*must have the weights"):
            call()
    assert store.users() == ["a"]
