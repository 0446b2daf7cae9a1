"""The file of a checkpoint: atomic, verified, and never unpickled."""

import contextlib
import hashlib
import json
import os
import pickle
import resource
import signal
import time

import pytest
import safetensors
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import l2l_rnn
from l2l_rnn.errors import ArgumentTypeError, CheckpointError, DataError
from l2l_rnn.training.checkpoints.container import (
    read_checkpoint,
    verify_checkpoint,
    write_checkpoint,
)
from tests.training.checkpoints.processes import forked

VALUE = {
    "state_dict": {"weight": torch.arange(6.0).reshape(2, 3), "on": torch.tensor([True, False])},
    "epoch": 3,
    "note": 'a string with "sha256":"' + "0" * 64,
    "rng": (1, float("nan"), b"bytes"),
}


def write(path, value=None):
    write_checkpoint("me", path, VALUE if value is None else value)
    return path.read_bytes()


def header(data):
    size = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + size]), data[8 + size :]


def packed(head, body=b""):
    """A file with a right checksum, as an attacker would make it."""
    metadata = head.get("__metadata__")
    if isinstance(metadata, dict) and len(str(metadata.get("sha256"))) == 64:
        metadata["sha256"] = "0" * 64
    text = json.dumps(head, separators=(",", ":")).encode()
    data = len(text).to_bytes(8, "little") + text + body
    blank = b'"sha256":"' + b"0" * 64
    checksum = hashlib.sha256(data).hexdigest().encode()
    return data.replace(blank, b'"sha256":"' + checksum, 1)


def test_a_checkpoint_is_read_as_it_was_written(tmp_path):
    write(tmp_path / "new" / "folder" / "a.ckpt")
    found = read_checkpoint("me", tmp_path / "new" / "folder" / "a.ckpt")
    assert torch.equal(found["state_dict"]["weight"], VALUE["state_dict"]["weight"])
    assert found["note"] == VALUE["note"]
    assert found["rng"][2] == b"bytes"
    assert os.listdir(tmp_path / "new" / "folder") == ["a.ckpt"]


def test_other_programs_can_open_it(tmp_path):
    write(tmp_path / "a.ckpt")
    with safetensors.safe_open(tmp_path / "a.ckpt", "pt") as file:
        assert set(file.keys()) == {"state_dict.weight", "state_dict.on", "rng.2"}
        assert json.loads(file.metadata()["content"])["epoch"] == 3
        assert file.metadata()["l2l_rnn"] == l2l_rnn.__version__


def test_a_refused_value_leaves_the_earlier_file(tmp_path):
    before = write(tmp_path / "a.ckpt")
    with pytest.raises(ArgumentTypeError, match="me: callbacks must be"):
        write_checkpoint("me", tmp_path / "a.ckpt", {"w": torch.ones(3), "callbacks": print})
    with pytest.raises(ArgumentTypeError, match="must be a dict, got list"):
        write_checkpoint("me", tmp_path / "a.ckpt", [])
    assert os.listdir(tmp_path) == ["a.ckpt"]
    assert (tmp_path / "a.ckpt").read_bytes() == before


def refused(tmp_path, data, match="must be a complete checkpoint"):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(data)
    for read in (read_checkpoint, verify_checkpoint):
        with pytest.raises(DataError, match=match) as caught:
            read("me", path)
        assert str(path) in str(caught.value)


def test_every_truncation_is_refused(tmp_path):
    data = write(tmp_path / "a.ckpt", {"w": torch.ones(2), "n": 1})
    for size in range(len(data)):
        path = tmp_path / "bad.ckpt"
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match="must be a complete checkpoint"):
            verify_checkpoint("me", path)
    refused(tmp_path, data + b"\0")
    refused(tmp_path, b"\0" * len(data))


def test_every_flipped_bit_is_refused(tmp_path):
    data = write(tmp_path / "a.ckpt", {"w": torch.ones(2), "n": 1})
    path = tmp_path / "bad.ckpt"
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        path.write_bytes(changed)
        with pytest.raises(DataError):
            read_checkpoint("me", path)


class Bomb:
    def __reduce__(self):
        return open, (os.environ["BOMB"], "w")


@pytest.mark.parametrize("kind", ["pickle0", "pickle2", "pickle5", "torch", "legacy"])
def test_pickled_files_are_refused_and_not_run(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    path = tmp_path / "poisoned.ckpt"
    if kind.startswith("pickle"):
        path.write_bytes(pickle.dumps({"state_dict": Bomb()}, protocol=int(kind[-1])))
    else:
        zipped = kind == "torch"
        torch.save({"x": Bomb()}, path, _use_new_zipfile_serialization=zipped)
    match = "must be a complete checkpoint" if kind == "pickle0" else "it can run code"
    with pytest.raises(DataError, match=match):
        read_checkpoint("me", path)
    assert not (tmp_path / "exploded").exists()


def test_a_newer_format_names_the_version_that_wrote_it(tmp_path):
    head, body = header(write(tmp_path / "a.ckpt"))
    head["__metadata__"] |= {"format_version": "2", "l2l_rnn": "9.8.7"}
    refused(tmp_path, packed(head, body), "a newer version's checkpoint .*l2l_rnn 9.8.7; install")


@pytest.mark.parametrize(
    "change",
    [
        {"format": "pt"},
        {"format_version": "x"},
        {"format_version": 2},
        {"sha256": "short"},
        {"sha256": None},
        {"content": "{"},
        {"content": '{"a": NaN}'},
        {"content": '{"a": 1, "a": 2}'},
        {"content": "[" * 100_000},
        {"content": 3},
    ],
    ids=str,
)
def test_another_head_is_refused(tmp_path, change):
    head, body = header(write(tmp_path / "a.ckpt"))
    head["__metadata__"] |= change
    refused(tmp_path, packed(head, body))


def test_plain_safetensors_and_other_json_are_refused(tmp_path):
    refused(tmp_path, safetensors.torch.save({"w": torch.ones(2)}))
    for head in ([], 3, {}, {"__metadata__": 3}, {"__metadata__": {}}, "x"):
        text = json.dumps(head).encode()
        refused(tmp_path, len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [10**15], "data_offsets": [0, 4 * 10**15]},
        {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
        {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]},
        {"dtype": "object", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": "F64", "shape": [1], "data_offsets": [0, 8], "extra": 1},
        {"dtype": "I64", "shape": [], "data_offsets": [0, 8]},
        3,
    ],
    ids=str,
)
def test_a_lying_head_with_a_right_checksum_is_refused(tmp_path, entry):
    head, body = header(write(tmp_path / "a.ckpt", {"w": torch.ones(2)}))
    head["w"] = entry
    path = tmp_path / "bad.ckpt"
    path.write_bytes(packed(head, body))
    with contextlib.suppress(DataError):
        found = read_checkpoint("me", path)["w"]
        assert found.numel() * found.element_size() == 8


def test_a_huge_head_is_refused_without_reading_it(tmp_path):
    path = tmp_path / "huge.ckpt"
    with path.open("wb") as file:  # sparse: takes no space
        file.write((2**35).to_bytes(8, "little"))
        file.truncate(2**36)
    with pytest.raises(DataError, match="another file or a part of one"):
        read_checkpoint("me", path)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutations_with_a_right_checksum_give_a_value_or_a_data_error(tmp_path, data):
    original = tmp_path / "a.ckpt"
    if not original.exists():
        write(original)
    head, body = header(original.read_bytes())
    text = bytearray(json.dumps(head, separators=(",", ":")).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text) - 1))
        text[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b"1", b"9", b'"', b"{", b"]", b"-", b"e"])
        )
    try:
        changed = packed(json.loads(text), body)
    except (ValueError, RecursionError, AttributeError, KeyError):
        changed = len(text).to_bytes(8, "little") + bytes(text) + body
    path = tmp_path / "bad.ckpt"
    path.write_bytes(changed)
    with contextlib.suppress(DataError):
        assert isinstance(read_checkpoint("me", path), dict)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
@example(b"")
@example(b"\0" * 8)
@example(b"\2" + b"\0" * 7 + b"{}")
def test_any_bytes_are_refused(tmp_path, data):
    path = tmp_path / "bad.ckpt"
    path.write_bytes(data)
    with pytest.raises(DataError):
        read_checkpoint("me", path)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "none", tmp_path / "fifo", "a\0b"):
        with pytest.raises(DataError, match="must be a readable file"):
            read_checkpoint("me", path)


def test_a_folder_that_cannot_be_made_is_named_with_the_cause(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"file/a\.ckpt must be .*(File|directory)"):
        write_checkpoint("me", tmp_path / "file" / "a.ckpt", VALUE)
    (tmp_path / "a.ckpt").mkdir()
    with pytest.raises(CheckpointError, match="Is a directory"):
        write_checkpoint("me", tmp_path / "a.ckpt", VALUE)
    assert sorted(os.listdir(tmp_path)) == ["a.ckpt", "file"]


def test_a_full_disk_leaves_the_earlier_file(small_disk):
    before = write(small_disk / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"a\.ckpt .*No space left on device") as caught:
        write_checkpoint("me", small_disk / "a.ckpt", {"w": torch.ones(2**20)})
    assert caught.value.errno == 28
    assert os.listdir(small_disk) == ["a.ckpt"]
    assert (small_disk / "a.ckpt").read_bytes() == before
    write_checkpoint("me", small_disk / "a.ckpt", {"w": torch.ones(2**15)})


def test_a_read_only_disk_leaves_the_earlier_file(small_disk, read_only):
    before = write(small_disk / "a.ckpt")
    with read_only(), pytest.raises(CheckpointError, match="Read-only file system"):
        write_checkpoint("me", small_disk / "a.ckpt", VALUE)
    assert (small_disk / "a.ckpt").read_bytes() == before


def test_a_limit_on_file_sizes_leaves_the_earlier_file(tmp_path):
    """Also where no disk can be mounted."""
    write(tmp_path / "a.ckpt")

    def write_with_a_limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        with pytest.raises(CheckpointError, match="File too large"):
            write_checkpoint("me", tmp_path / "a.ckpt", {"w": torch.ones(10_000)})

    assert os.waitpid(forked(write_with_a_limit), 0)[1] == 0
    assert os.listdir(tmp_path) == ["a.ckpt"]
    read_checkpoint("me", tmp_path / "a.ckpt")


def test_a_killed_writer_leaves_a_complete_file(tmp_path):
    path = tmp_path / "a.ckpt"

    def write_forever():
        for step in range(10**6):
            write_checkpoint("me", path, {"w": torch.full((10**5,), step)})

    for delay in (0.0, 0.003, 0.007, 0.013, 0.017, 0.023):
        path.unlink(missing_ok=True)
        child = forked(write_forever)
        while not path.exists():
            time.sleep(0.001)
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        written = read_checkpoint("me", path)["w"]
        assert written.shape == (10**5,)
        assert written.unique().numel() == 1
