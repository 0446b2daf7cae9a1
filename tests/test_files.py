"""Files are written atomically."""

import os

import pytest

from l2l_rnn.errors import DataError
from l2l_rnn.files import read_json, replacing, write_json


@pytest.mark.parametrize(("mode", "content"), [("w", "größer"), ("wb", b"\x00\xff")])
def test_a_completed_block_replaces_the_file(tmp_path, mode, content):
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path, mode) as file:
        file.write(content)
        assert path.read_text() == "old"
    assert path.read_bytes() == (content.encode() if mode == "w" else content)
    assert os.listdir(tmp_path) == ["file"]


def test_a_block_that_fails_leaves_the_file_unchanged(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail_half_way():
        with replacing(path) as file:
            file.write("new")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        fail_half_way()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_json_round_trip(tmp_path):
    path = tmp_path / "file.json"
    write_json(path, {"a": [1, None]}, indent=1)
    assert path.read_text() == '{\n "a": [\n  1,\n  null\n ]\n}\n'
    assert read_json("Here", path) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("content", "error"), [({"a": object()}, TypeError), ({"a": float("nan")}, ValueError)]
)
def test_values_that_json_cannot_represent_are_rejected_before_writing(tmp_path, content, error):
    path = tmp_path / "file.json"
    path.write_text("{}")
    with pytest.raises(error):
        write_json(path, content)
    assert path.read_text() == "{}"


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[" * 100_000])
def test_a_file_without_json_is_rejected(tmp_path, content):
    path = tmp_path / "file.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"Here: .* must be JSON"):
        read_json("Here", path)


def test_another_json_value_reads_as_an_empty_object(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("[1]")
    assert read_json("Here", path) == {}
