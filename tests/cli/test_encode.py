"""`l2l-rnn encode`, with a tiny encoder."""

import json

import pytest

from l2l_rnn.cli import main
from l2l_rnn.data import encoder_pipeline
from l2l_rnn.models import FrozenEncoder
from l2l_rnn.training import TextInputs
from tests.models.frozen.tiny import NAME, TEXTS, weights


@pytest.fixture
def posts(tmp_path):
    path = tmp_path / "posts.csv"
    lines = [f"{number},{text}" for number, text in enumerate(TEXTS)]
    path.write_text("\n".join(["title,body", *lines]) + "\n")
    return str(path)


def test_texts_of_files_are_stored_once(posts, tmp_path, capsys):
    flags = ["encode", NAME, "--cache", str(tmp_path / "cache"), "--max_length", "10"]
    flags += ["--data", posts]
    assert main([*flags, "--text", "body"]) == 0
    assert f"stored 5 new rows in {tmp_path / 'cache'}" in capsys.readouterr().out
    assert main([*flags, "--text", "body", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] == 0
    assert main([*flags, "--text", "title", "body"]) == 0
    with weights(None):
        alone = FrozenEncoder(NAME, cache=tmp_path / "cache", max_length=10)
        inputs = TextInputs(encoder_pipeline(alone), 10)
        assert (
            alone.missing(inputs([*TEXTS, *(f"{n} {text}" for n, text in enumerate(TEXTS))])) == 0
        )


def test_a_task_set_is_stored(tmp_path, capsys):
    flags = ["--cache", str(tmp_path / "cache"), "--taskset", "intents", "--max_length", "32"]
    assert main(["encode", NAME, *flags, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["new"] > 200  # many words are unknown to it


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "name the texts"),
        (["--data", "a.csv", "--taskset", "intents"], 2, "name the texts"),
        (["--taskset", "intent"], 2, "did you mean"),
        (["--taskset", "intents", "--text", "body"], 2, "--text is only for --data"),
        (["--taskset", "intents", "--batch_size", "0"], 2, "--batch_size must be a positive"),
        (["--data", "missing.csv"], 1, "missing.csv"),
        (["--data", "empty.csv"], 1, "row 1 of empty.csv must have a value"),
    ],
)
def test_bad_flags(flags, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text('text,label\nhome,a\n"",b\n')
    assert main(["encode", NAME, "--cache", "cache", "--max_length", "32", *flags]) == code
    assert message in capsys.readouterr().err


def test_an_encoder_that_is_not_there(posts, tmp_path, capsys):
    with weights(None):
        flags = ["--cache", str(tmp_path / "cache"), "--data", posts, "--text", "body"]
        assert main(["encode", NAME, *flags]) == 1
    assert "not on this machine" in capsys.readouterr().err
