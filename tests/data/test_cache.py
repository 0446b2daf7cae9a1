"""The cache of arrays: built once, written atomically, and read without pickle."""

import contextlib
import gc
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from l2l_rnn.data import cached_arrays
from l2l_rnn.errors import ArgumentError, ArgumentTypeError

MADE = {
    "x": np.arange(6).reshape(2, 3),
    "f": np.array([0.5, np.nan]),
    "names": np.array(["ä", "bc"]),
    "none": np.zeros((0, 4), bool),
    "checksum": np.array(1),
    "file": np.array(2),
}


class Builder:
    def __init__(self, arrays=MADE):
        self.arrays, self.calls = arrays, 0

    def __call__(self):
        self.calls += 1
        return self.arrays


def files(root):
    return sorted((root / "l2l_rnn").glob("[!.]*"))


def same(found, made=MADE):
    return found.keys() == made.keys() and all(
        found[k].dtype == made[k].dtype
        and np.array_equal(found[k].astype(str), made[k].astype(str))
        for k in made
    )


def test_arrays_are_built_once_and_read_again(tmp_path):
    build = Builder()
    for _ in range(3):
        assert same(cached_arrays(tmp_path / "new" / "root", "set", {"v": 1}, build))
    assert build.calls == 1
    assert len(files(tmp_path / "new" / "root")) == 1


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cached_arrays("~/data", "set", {}, Builder())
    assert len(files(tmp_path / "data")) == 1


@pytest.mark.parametrize(
    "other",
    [("set", {"v": 2}), ("set", {"v": "1"}), ("set", {"v": 1, "layout": 7}), ("other", {"v": 1})],
)
def test_each_key_and_name_has_its_own_file(tmp_path, other):
    name, key = other
    cached_arrays(tmp_path, "set", {"v": 1}, Builder())
    build = Builder({"x": np.array(9)})
    assert cached_arrays(tmp_path, name, key, build)["x"] == 9
    assert build.calls == 1
    assert len(files(tmp_path)) == 2
    assert same(cached_arrays(tmp_path, "set", {"v": 1}, Builder({})))


def test_the_order_of_the_key_does_not_matter(tmp_path):
    build = Builder()
    cached_arrays(tmp_path, "set", {"a": 1, "b": (2, 3)}, build)
    cached_arrays(tmp_path, "set", {"b": [2, 3], "a": 1}, build)
    assert build.calls == 1


def test_a_file_with_another_key_is_ignored(tmp_path):
    cached_arrays(tmp_path, "set", {"v": 1}, Builder())
    (first,) = files(tmp_path)
    content = first.read_bytes()
    cached_arrays(tmp_path, "set", {"v": 2}, Builder({"x": np.array(9)}))
    (second,) = set(files(tmp_path)) - {first}
    second.write_bytes(content)
    build = Builder({"x": np.array(9)})
    assert cached_arrays(tmp_path, "set", {"v": 2}, build)["x"] == 9
    assert build.calls == 1


def test_a_damaged_file_is_built_again(tmp_path):
    build = Builder({"x": np.arange(3)})
    cached_arrays(tmp_path, "set", {}, build)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    harmless = 0
    for place in range(0, len(whole), 5):
        for damaged in (
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :],
            whole[:place],
        ):
            path.write_bytes(damaged)
            before = build.calls
            found = cached_arrays(tmp_path, "set", {}, build)
            assert found.keys() == {"x"}
            assert found["x"].tolist() == [0, 1, 2]
            harmless += build.calls == before
            assert build.calls == before or path.read_bytes() == whole
    assert harmless < len(whole) / 10  # such as a date in the zip file


@pytest.mark.parametrize("content", [b"", b"not a zip", pickle.dumps({"x": 1})])
def test_another_file_in_its_place_is_replaced(tmp_path, content):
    build = Builder()
    cached_arrays(tmp_path, "set", {}, build)
    (path,) = files(tmp_path)
    path.write_bytes(content)
    assert same(cached_arrays(tmp_path, "set", {}, build))
    assert build.calls == 2


class Trap:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_is_unpickled(tmp_path):
    build = Builder()
    cached_arrays(tmp_path, "set", {}, build)
    (path,) = files(tmp_path)
    sprung = str(tmp_path / "sprung")
    with path.open("wb") as file:
        np.savez(file, x=np.array([Trap(sprung)], dtype=object))
    assert same(cached_arrays(tmp_path, "set", {}, build))
    path.write_bytes(pickle.dumps(Trap(sprung)))
    assert same(cached_arrays(tmp_path, "set", {}, build))
    assert not os.path.exists(sprung)


def test_no_file_is_left_if_building_fails(tmp_path):
    def build():
        raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        cached_arrays(tmp_path, "set", {}, build)
    with pytest.raises(ArgumentTypeError, match="Python objects in 'x'; set the array's dtype"):
        cached_arrays(tmp_path, "set", {}, Builder({"x": np.array([None])}))
    assert not files(tmp_path)
    assert [p.suffix for p in (tmp_path / "l2l_rnn").iterdir()] == [".lock"]
    assert same(cached_arrays(tmp_path, "set", {}, Builder()))


@contextlib.contextmanager
def full_disk():
    """Limit files to 10 kB, to simulate a full disk."""
    resource = pytest.importorskip("resource")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def test_arrays_are_returned_if_the_disk_is_full(tmp_path):
    build = Builder({"x": np.arange(2), "y": np.arange(100_000.0)})
    message = r"set-\w+\.npz could not be written \(File too large\).*built again next time; free"
    with pytest.warns(RuntimeWarning, match=message) as caught, full_disk():
        found = cached_arrays(tmp_path, "set", {}, build)
    gc.collect()  # an unclosed file would warn here
    assert [warning.filename for warning in caught] == [__file__]
    assert same(found, build.arrays)
    assert build.calls == 1
    assert [p.suffix for p in (tmp_path / "l2l_rnn").iterdir()] == [".lock"]
    for _ in range(2):
        assert same(cached_arrays(tmp_path, "set", {}, build), build.arrays)
    assert build.calls == 2


def test_an_os_error_of_build_is_raised(tmp_path):
    def build():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        cached_arrays(tmp_path, "set", {}, build)
    assert not files(tmp_path)


def test_a_key_must_be_json_serializable(tmp_path):
    with pytest.raises(ArgumentTypeError, match=r"cached_arrays: key must be JSON serializable"):
        cached_arrays(tmp_path, "set", {"v": {1, 2}}, Builder())


def test_the_root_must_be_writable(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        build = Builder()
        with pytest.raises(ArgumentError, match="root must be a writable folder"):
            cached_arrays(root, "set", {}, build)
        assert not build.calls


def test_threads_build_it_once(tmp_path):
    build, found = Builder(), []

    def work():
        found.append(cached_arrays(tmp_path, "set", {}, build))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert build.calls == 1
    assert len(found) == 8
    assert all(map(same, found))


SCRIPT = """
import os, sys, time
import numpy as np
from l2l_rnn.data.cache import cached_arrays

root = sys.argv[1]
def build():
    with open(os.path.join(root, "builds"), "a") as file:
        file.write("built\\n")
    time.sleep(0.5)
    return {"x": np.arange(1000)}

open(os.path.join(root, f"ready-{os.getpid()}"), "w").close()
while len([name for name in os.listdir(root) if name.startswith("ready")]) < 2:
    time.sleep(0.01)
print(cached_arrays(root, "set", {"v": 1}, build)["x"].sum())
"""


@pytest.mark.slow
def test_two_processes_build_it_once(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["499500"] * 2
    assert (tmp_path / "builds").read_text() == "built\n"
