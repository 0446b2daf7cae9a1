"""A process that writes to a store of users is killed again and again, while another one writes."""

import random
import sqlite3

import numpy as np
import pytest

from l2l_rnn.estimators import FewShotClassifier, UserStore
from tests.estimators.models import make_model

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning"),
]


def acknowledged(path):
    """The number of rounds that the killed process had finished; its last line may be cut off."""
    return path.read_text().count("\n") if path.exists() else 0


def test_two_processes_one_of_which_is_killed(starter, tmp_path):
    path, draw, written, expected, rounds = tmp_path / "users.db", random.Random(0), 0, 0, 0
    store = UserStore(path, make_model("prior"), keep_examples=True)
    for attempt in range(7):
        done = tmp_path / f"done{attempt}"
        process = starter.start(tmp_path / "log", "serve_users", str(path), str(done))
        stop = draw.randint(0, 4)
        while acknowledged(done) < stop:
            store.partial_fit("shared", [f"survivor{'ab'[written % 2]}"], ["survivor"])
            written += 1
            assert not process.ended(draw.random() / 100)
        process.ended(draw.random() / 50)
        process.kill()
        assert process.wait() == -9
        rounds += acknowledged(done)
        # At once, without a lock that is left, and with all that either process was told is done.
        store.partial_fit("shared", [f"survivor{'ab'[written % 2]}"], ["survivor"])
        written += 1
        classifier = store.classifier("shared", examples=True)
        counts = dict(zip(classifier.classes_, classifier.counts_.tolist(), strict=True))
        assert counts["survivor"] == written
        assert 0 <= counts.get("victim", 0) - expected - acknowledged(done) <= 1
        expected = counts.get("victim", 0)
        # Each call is there as a whole or not at all, so at most the last user is not removed yet.
        left = [user for user in store if user != "shared"]
        assert all(store.classifier(user).counts_.tolist() == [1, 1] for user in left)
        for user in left:
            store.remove(user)
        assert len(left) <= 1
    assert rounds >= 3
    # What is stored are the examples in their order, and the state that they give.
    kept = classifier._personal.examples
    labels = classifier._personal.names[kept.y.numpy()]
    ours = [text for text, label in zip(kept.raw, labels, strict=True) if label == "survivor"]
    assert ours == [f"survivor{'ab'[n % 2]}" for n in range(written)]
    again = FewShotClassifier(make_model("prior")).fit(list(kept.raw), labels)
    queries = ["abc", "survivor", "victim"]
    np.testing.assert_allclose(
        store.predict_proba("shared", queries), again.predict_proba(queries), atol=1e-4
    )
    store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_store_whose_creation_was_killed(starter, tmp_path):
    draw = random.Random(1)
    for attempt in range(8):
        path, done = tmp_path / f"{attempt}.db", tmp_path / f"done{attempt}"
        process = starter.start(tmp_path / "log", "serve_users", str(path), str(done))
        process.ended(draw.random() * 0.06)
        process.kill()
        assert process.wait() == -9
        with UserStore(path, make_model("prior"), keep_examples=True) as store:
            found = store.classifier("shared").counts_.tolist() if "shared" in store else [0]
            assert 0 <= sum(found) - acknowledged(done) <= 1
            store.partial_fit("mine", ["abc", "cba"], ["a", "b"])
            assert store.predict("mine", ["abc"]).tolist() == ["a"]
