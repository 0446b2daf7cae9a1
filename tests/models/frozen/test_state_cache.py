"""The files of a cache: interruptions, damage, several processes, a full disk."""

import json
import multiprocessing
import os

import numpy as np
import pytest
import torch
from filelock import FileLock

from l2l_rnn.errors import DataError
from l2l_rnn.models import FrozenEncoder
from l2l_rnn.models.frozen import state_cache
from l2l_rnn.models.frozen.state_cache import StateCache, row_key
from tests.models.frozen.tiny import NAME

IDENTITY = {
    "name": "it",
    "digest": "00",
    "layer": -1,
    "max_length": 9,
    "size": 3,
    "vocab_size": 50,
    "unknown": None,
}


def open_cache(folder):
    return StateCache("me", folder, IDENTITY, None)


def rows(*numbers):
    """Make rows with the given numbers, each of another length."""
    return {
        row_key(np.array([number], np.int32)): torch.full((number % 4 + 1, 3), float(number)).half()
        for number in numbers
    }


def check(cache, *numbers):
    assert len(cache) == len(numbers)
    for key, states in rows(*numbers).items():
        assert torch.equal(cache.get(key), states)


def test_appended_rows_are_found_by_others(tmp_path):
    one, other = open_cache(tmp_path / "a" / "b"), open_cache(tmp_path / "a" / "b")
    one.append(rows(1, 2, 3))
    other.append(rows(3, 4))  # reads first what the other has appended
    one.refresh()
    for cache in (one, other, open_cache(tmp_path / "a" / "b")):
        check(cache, 1, 2, 3, 4)
    assert one.get(row_key(np.array([9], np.int32))) is None
    states = sum(len(states) for states in rows(1, 2, 3, 4).values())
    assert (tmp_path / "a" / "b" / "states.f16").stat().st_size == states * 3 * 2


@pytest.mark.parametrize("cut", range(1, 100, 7))
def test_an_interrupted_append_is_overwritten(tmp_path, cut):
    """Cut both files at every kind of place, as a kill leaves them."""
    cache = open_cache(tmp_path)
    cache.append(rows(1, 2))
    size = {path: path.stat().st_size for path in (tmp_path / "index.bin", tmp_path / "states.f16")}
    cache.append(rows(3, 4, 5))
    index, data = size
    before = size[index]
    os.truncate(index, min(index.stat().st_size, before + cut))
    whole = (index.stat().st_size - before) // 32
    if cut % 2 and not whole:  # killed while the states were written, before any record
        os.truncate(data, size[data] + cut)
    again = open_cache(tmp_path)
    check(again, 1, 2, *(3, 4, 5)[:whole])
    again.append(rows(6, 3))
    check(open_cache(tmp_path), *sorted({1, 2, 3, 6, *(3, 4, 5)[:whole]}))


@pytest.mark.parametrize("place", range(0, 96, 5))
def test_a_damaged_record_ends_the_index(tmp_path, place):
    open_cache(tmp_path).append(rows(1, 2, 3))
    content = bytearray((tmp_path / "index.bin").read_bytes())
    assert len(content) == 96
    content[place] ^= 1
    (tmp_path / "index.bin").write_bytes(content)
    kept = (1, 2, 3)[: place // 32]
    again = open_cache(tmp_path)
    check(again, *kept)
    again.append(rows(1, 2, 3))
    check(open_cache(tmp_path), 1, 2, 3)


def test_records_without_states_are_ignored(tmp_path):
    open_cache(tmp_path).append(rows(1, 2, 3))
    os.truncate(tmp_path / "states.f16", 3 * 2 * 4)
    check(open_cache(tmp_path), 1)
    (tmp_path / "states.f16").unlink()
    cache = open_cache(tmp_path)
    check(cache)
    cache.append(rows(2))
    check(open_cache(tmp_path), 2)


def test_a_deleted_cache_starts_again(tmp_path):
    cache = open_cache(tmp_path / "c")
    cache.append(rows(1, 2))
    for path in (tmp_path / "c").iterdir():
        path.unlink()
    cache.append(rows(3))
    check(cache, 3)
    check(open_cache(tmp_path / "c"), 3)


def test_the_description_is_checked(tmp_path):
    cache = open_cache(tmp_path)
    cache.append(rows(1))
    path = tmp_path / "encoder.json"
    content = json.loads(path.read_text())
    wrong = (
        {"version": 2},
        {"format": "x"},
        {"size": "3"},
        {"size": 0},
        {"unknown": "a"},
        {"digest": 1},
    )
    for change in wrong:
        path.write_text(json.dumps({**content, **change}))
        with pytest.raises(DataError, match="must describe a cache of states"):
            FrozenEncoder(NAME, cache=tmp_path, max_length=9)
    path.unlink()
    with pytest.raises(DataError, match=r"must have a file encoder\.json"):
        cache.append(rows(2))


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="must be a folder that can be written to"):
        open_cache(tmp_path / "file" / "cache").append(rows(1))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["states.f16", "index.bin"])
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, name):
    cache = open_cache(tmp_path)
    cache.append(rows(1, 2))
    write = StateCache._write

    def full(self, file, start, array):
        if file == name:
            with open("/dev/full", "wb", buffering=0) as device:
                device.write(array.tobytes())
        write(self, file, start, array)

    monkeypatch.setattr(StateCache, "_write", full)
    with pytest.raises(DataError, match="No space left on device"):
        cache.append(rows(3))
    monkeypatch.undo()
    check(open_cache(tmp_path), 1, 2)
    cache.append(rows(3))
    check(open_cache(tmp_path), 1, 2, 3)


def test_a_lock_that_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(state_cache, "_SECONDS", 0.1)
    cache = open_cache(tmp_path)
    with FileLock(tmp_path / ".lock"), pytest.raises(DataError, match="must be free"):
        cache.append(rows(1))
    cache.append(rows(1))


def append_many(folder, start):
    cache = open_cache(folder)
    for number in range(start, start + 20):
        cache.append(rows(number, number + 1))


def test_several_processes_append(tmp_path):
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    processes = [context.Process(target=append_many, args=(tmp_path, n)) for n in (0, 10, 15)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    check(open_cache(tmp_path), *range(36))
