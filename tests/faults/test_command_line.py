"""`l2l-rnn fit` that is killed or terminated at any time, and resumed."""

import contextlib
import json
import random
import signal
import time

import pytest
import torch
from safetensors.torch import load_file

from l2l_rnn.cli import main
from l2l_rnn.training.checkpoints import SafeCheckpointIO
from tests.cli.conftest import TINY

pytestmark = pytest.mark.slow
STEPS = 30
FLAGS = ["--taskset", "languages", *TINY, "--dropout", "0.2", "--steps", str(STEPS)]
EXPECTED = {
    signal.SIGKILL: {-signal.SIGKILL},
    signal.SIGTERM: {128 + signal.SIGTERM, 0},  # 0 if it came at the very end
}


@pytest.fixture(scope="module")
def whole(starter, tmp_path_factory):
    """The folder of an unbroken run, and how long it took."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    begin = time.monotonic()
    process = starter.start(folder.parent / "log", "command_line", *command(folder))
    assert process.wait() == 0
    return folder, time.monotonic() - begin


def command(folder):
    """The command that starts a run or goes on with it."""
    begun = (folder / "settings.json").exists()
    return ["fit", *(["--resume"] if begun else FLAGS), "--out", str(folder)]


def history(folder):
    rows = json.loads((folder / "history.json").read_text())["validations"]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def assert_equal(folder, whole):
    one, other = (load_file(path / "model.safetensors") for path in (folder, whole))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert history(folder) == history(whole)
    results = [json.loads((path / "result.json").read_text()) for path in (folder, whole)]
    scores = [result["evaluation"]["per_task"] for result in results]
    assert scores[0] == scores[1]
    assert results[0]["training_steps"] == STEPS


@pytest.mark.parametrize("seed", range(2))
def test_a_run_that_is_killed_and_terminated_ends_as_an_unbroken_one(
    seed, starter, whole, tmp_path
):
    folder, log, draw = tmp_path / "run", tmp_path / "log", random.Random(seed)
    unbroken, seconds = whole
    stopped = 0
    for _ in range(9):
        process = starter.start(log, "command_line", *command(folder))
        process.ended(draw.random() * seconds / 2)
        number = draw.choice([signal.SIGKILL, signal.SIGTERM])
        if not process.ended():
            process.kill(number)
        status = process.wait()
        said = log.read_text()
        assert "Traceback" not in said, said
        assert status in EXPECTED[number] | {0}, said
        stopped += status != 0
        if status == 0:
            break
    assert stopped >= 2
    assert starter.start(log, "command_line", *command(folder)).wait() == 0, log.read_text()
    assert_equal(folder, unbroken)


def test_a_run_in_use_is_refused_and_unharmed(starter, tmp_path, capsys):
    folder, log = tmp_path / "run", tmp_path / "log"
    last = folder / "checkpoints" / "last.ckpt"
    flags = ["fit", *FLAGS, "--steps", "10000", "--out", str(folder)]
    process = starter.start(log, "command_line", *flags)
    while not last.exists():
        assert not process.ended(0.01)
    assert main(["fit", "--resume", "--out", str(folder)]) == 1
    assert "is in use by another run" in capsys.readouterr().err
    step = SafeCheckpointIO().load_checkpoint(last)["global_step"]
    while SafeCheckpointIO().load_checkpoint(last)["global_step"] == step:
        assert not process.ended(0.01)
    process.kill(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    assert "Traceback" not in log.read_text()


def test_a_full_disk_ends_the_run_with_one_line(starter, small_disk, tmp_path):
    folder, log = small_disk / "run", tmp_path / "log"
    process = starter.start(log, "command_line", *command(folder), "--steps", "10000")
    while not (folder / "checkpoints" / "last.ckpt").exists():
        assert not process.ended(0.005), log.read_text()
    with contextlib.suppress(OSError), (small_disk / "other").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    status, said = process.wait(), log.read_text()
    assert status == 1, said
    assert "Traceback" not in said
    assert "No space left on device" in said.splitlines()[-1]
    (small_disk / "other").unlink()
    flags = [*command(folder), "--minutes", "0.001"]
    assert starter.start(log, "command_line", *flags).wait() == 0, log.read_text()
    assert load_file(folder / "model.safetensors")
