"""Several processes on one store, some of them killed."""

import itertools
import multiprocessing
import os
import random
import signal
import time
import warnings

import numpy as np
import pytest

from l2l_rnn.errors import L2LRNNError
from l2l_rnn.estimators import FewShotClassifier, UserStore
from tests.estimators.models import make_model, texts

pytestmark = pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning")
NAMES = ("ann", "bob", "cid")


@pytest.fixture
def start():
    """A function that runs `work(path, say, *arguments)` in another process.

    `say(text)` sends a line. Processes are forked, because an import takes seconds.
    """
    started, ends = [], []

    def start(work, path, *arguments):
        reader, writer = os.pipe()

        def run():
            os.close(reader)
            work(path, lambda line: os.write(writer, f"{line}\n".encode()), *arguments)

        process = multiprocessing.get_context("fork").Process(target=run)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads
            process.start()
        os.close(writer)
        started.append(process)
        ends.append(open(reader, encoding="utf-8"))  # noqa: SIM115
        return process, ends[-1]

    yield start
    for process in started:
        process.kill()
        process.join()
    for file in ends:
        file.close()


def add(path, say, name, count):
    """Add examples of one user, one at a time."""
    with UserStore(path, make_model("prior"), keep_examples=True) as store:
        for number in range(count):
            store.partial_fit("shared", [f"{name}{'ab'[number % 2]}"], [name])


def add_forever(path, say):
    """Add examples and users until killed, and say the number of each call that has returned."""
    store, (X, y) = UserStore(path, make_model("prior"), keep_examples=True), texts(each=2)
    for number in itertools.count():
        store.partial_fit("user", [X[number % len(X)]], [y[number % len(X)]])
        store.partial_fit_many({f"a{number}": (X, y), f"b{number}": (X, y)})
        say(number)


def hold(path, say):
    """Hold the right to write until killed."""
    with UserStore(path, make_model("prior"))._database.writing():
        say("holding")
        time.sleep(600)


def test_three_processes_add_examples_of_one_user(start, tmp_path):
    path = tmp_path / "users.db"
    for process, _ in [start(add, path, name, 40) for name in NAMES]:
        process.join()
        assert process.exitcode == 0
    store = UserStore(path, make_model("prior"), keep_examples=True)
    classifier = store.classifier("shared", examples=True)
    assert classifier.counts_.tolist() == [40, 40, 40]  # no update was lost
    kept = classifier._personal.examples
    labels = classifier._personal.names[kept.y.numpy()]
    for name in NAMES:  # those of each process are in its order
        assert [raw[-1] for raw, label in zip(kept.raw, labels, strict=True) if label == name] == [
            "a",
            "b",
        ] * 20
    whole = FewShotClassifier(make_model("prior")).fit(list(kept.raw), labels)
    queries, _ = texts(seed=5)
    np.testing.assert_allclose(
        classifier.predict_proba(queries), whole.predict_proba(queries), atol=1e-4
    )


def test_killed_processes_lose_nothing_that_was_acknowledged(start, tmp_path):
    path, draw, reached = tmp_path / "users.db", random.Random(0), []
    X, _ = texts(each=2)
    expected = 0
    for _ in range(15):
        process, lines = start(add_forever, path)
        done = -1
        for _ in range(draw.randint(0, 6)):
            done = int(lines.readline())
        time.sleep(draw.random() / 50)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        done = max([done, *map(int, lines.read().split())])
        reached.append(done)
        store = UserStore(path, make_model("prior"), keep_examples=True)
        count = len(store) and int(store.classifier("user").counts_.sum())
        assert count - expected in (done + 1, done + 2)  # the last one may not be acknowledged
        expected = count
        for number in range(done + 1):
            assert f"a{number}" in store
        names = set(store.users())
        assert {f"b{name[1:]}" for name in names if name[0] == "a"} == {
            name for name in names if name[0] == "b"
        }  # a call is there as a whole or not at all
        if not count:
            continue
        # The state is that of the examples.
        classifier = store.classifier("user", examples=True)
        kept = classifier._personal.examples
        assert len(kept.raw) == count
        again = FewShotClassifier(make_model("prior")).fit(
            list(kept.raw), classifier._personal.names[kept.y.numpy()]
        )
        np.testing.assert_allclose(classifier.predict_proba(X), again.predict_proba(X), atol=1e-4)
        store.close()
    assert max(reached) > 0


def test_a_process_that_writes_for_too_long(start, tmp_path):
    path = tmp_path / "users.db"
    UserStore(path, make_model("prior")).close()
    process, lines = start(hold, path)
    assert lines.readline() == "holding\n"
    with pytest.raises(TimeoutError, match=r"free within 0\.1 s"):
        UserStore(path, make_model("prior"), timeout=0.1).partial_fit("a", *texts())
    process.kill()
    process.join()
    store = UserStore(path, make_model("prior"), timeout=0.1)
    store.partial_fit("a", *texts())
    assert len(store) == 1


def test_readers_do_not_wait_for_a_writer(tmp_path):
    path = tmp_path / "users.db"
    writer = UserStore(path, make_model("prior"))
    writer.partial_fit("a", *texts())
    reader = UserStore(path, make_model("prior"), timeout=0.0)
    with writer._database.writing():
        assert reader.predict("a", ["abc"]).shape == (1,)
        with pytest.raises(TimeoutError):
            reader.partial_fit("a", *texts())
    reader.partial_fit("a", *texts())
    assert not isinstance(TimeoutError(), L2LRNNError)
