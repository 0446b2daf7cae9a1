"""Several processes on one store, some of them killed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from l2l_rnn.errors import L2LRNNError
from l2l_rnn.estimators import FewShotClassifier, UserStore
from tests.estimators.models import make_model, texts

pytestmark = pytest.mark.filterwarnings("ignore::l2l_rnn.estimators.UnknownInputWarning")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def start():
    started = []

    def start(path, *arguments):
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("store_process.py")), path, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def wait_until_ready(process):
    assert process.stdout.readline() == "ready\n"


def end(process, code=0):
    process.communicate(timeout=60)
    assert process.returncode == code


@pytest.mark.slow
def test_three_processes_add_examples_of_one_user(start, tmp_path):
    path = tmp_path / "users.db"
    processes = [start(path, "add", name, "40") for name in ("ann", "bob", "cid")]
    for process in processes:
        wait_until_ready(process)
    for process in processes:
        end(process)
    store = UserStore(path, make_model("prior"), keep_examples=True)
    classifier = store.classifier("shared", examples=True)
    assert classifier.counts_.tolist() == [40, 40, 40]  # no update was lost
    kept = classifier._personal.examples
    labels = classifier._personal.names[kept.y.numpy()]
    for name in ("ann", "bob", "cid"):  # those of each process are in its order
        assert [raw[-1] for raw, label in zip(kept.raw, labels, strict=True) if label == name] == [
            "a",
            "b",
        ] * 20
    whole = FewShotClassifier(make_model("prior")).fit(list(kept.raw), labels)
    queries, _ = texts(seed=5)
    np.testing.assert_allclose(
        classifier.predict_proba(queries), whole.predict_proba(queries), atol=1e-4
    )


@pytest.mark.slow
def test_killed_processes_lose_nothing_that_was_acknowledged(start, tmp_path):
    path, draw, reached = tmp_path / "users.db", random.Random(0), []
    X, _ = texts(each=2)
    expected = 0
    for _ in range(4):
        process = start(path, "forever")
        wait_until_ready(process)
        for _ in range(draw.randint(1, 6)):
            done = int(process.stdout.readline())
        time.sleep(draw.random() / 50)
        process.send_signal(signal.SIGKILL)
        lines = process.communicate(timeout=60)[0].split("\n")
        done = max([done, *map(int, lines[:-1])])  # the last line may be cut off
        reached.append(done)
        store = UserStore(path, make_model("prior"), keep_examples=True)
        count = int(store.classifier("user").counts_.sum())
        assert count - expected in (done + 1, done + 2)  # the last one may not be acknowledged
        expected = count
        for number in range(done + 1):
            assert f"a{number}" in store
        names = set(store.users())
        assert {f"b{name[1:]}" for name in names if name[0] == "a"} == {
            name for name in names if name[0] == "b"
        }  # a call is there as a whole or not at all
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


@pytest.mark.slow
def test_a_process_that_writes_for_too_long(start, tmp_path):
    path = tmp_path / "users.db"
    UserStore(path, make_model("prior")).close()
    process = start(path, "hold")
    wait_until_ready(process)
    assert process.stdout.readline() == "holding\n"
    store = UserStore.__new__(UserStore)
    with pytest.raises(TimeoutError, match=r"free within 0\.1 s"):
        store.__init__(path, make_model("prior"), timeout=0.1)
    process.send_signal(signal.SIGKILL)
    end(process, -signal.SIGKILL)
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
