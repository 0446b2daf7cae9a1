"""A training that is killed at any time, and resumed, ends as an unbroken one, bit for bit."""

import json
import signal
from pathlib import Path

import pytest
import torch

from benchmarks.faults.kill_and_resume import (
    EVERY,
    compare,
    differences,
    kill_and_resume,
    most_repeated,
)
from l2l_rnn.training.checkpoints import SafeCheckpointIO, latest_good

RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "kill-and-resume-full.json"
STEPS = 80


@pytest.fixture(scope="module")
def whole(starter, tmp_path_factory):
    """The folder of an unbroken training."""
    folder = tmp_path_factory.mktemp("training") / "whole"
    assert starter.start(folder.parent / "log", "train", str(folder), STEPS).wait() == 0
    return folder


@pytest.mark.slow
def test_a_killed_training_ends_as_an_unbroken_one(starter, whole, tmp_path):
    folder, log = tmp_path / "run", tmp_path / "log"

    def start():
        return starter.start(log, "train", str(folder), STEPS)

    kills = kill_and_resume(folder, 4, start, start, seed=1, imports=0.5, most_steps=9)
    assert not any(compare(folder, whole).values())
    assert [kill.damaged for kill in kills] == [[]] * 4
    assert most_repeated(kills) <= EVERY
    assert any(kill.began_at for kill in kills)  # one was resumed, not started again


@pytest.mark.slow
def test_a_terminated_training_saves_its_last_step(starter, whole, tmp_path):
    folder, log = tmp_path / "run", tmp_path / "log"
    process = starter.start(log, "train", str(folder), STEPS)
    while latest_good(folder) is None:
        assert not process.ended(0.01)
    process.kill(signal.SIGTERM)
    assert process.wait() == 128 + signal.SIGTERM
    step = SafeCheckpointIO().load_checkpoint(folder / "last.ckpt")["global_step"]
    assert step == max(int(n) for n in (folder / "steps.log").read_text().split() if n.isdecimal())
    assert starter.start(log, "train", str(folder), STEPS).wait() == 0
    assert not any(compare(folder, whole).values())


@pytest.mark.slow
def test_another_run_is_distinguished(starter, whole, tmp_path):
    assert starter.start(tmp_path / "log", "train", str(tmp_path), STEPS - 1).wait() == 0
    found = compare(tmp_path, whole)
    assert all(".ckpt.learner.module." in place for place in found["parameters"])
    assert found["losses of all steps"]


def test_values_are_compared_to_the_last_bit():
    def places(a, b):
        return list(differences(a, b))

    value = {"a": [torch.tensor([1.0, float("nan")]), (2, float("nan"))]}
    assert places(value, {"a": [torch.tensor([1.0, float("nan")]), (2, float("nan"))]}) == []
    assert places(value, {"a": [torch.tensor([1.0, 2.0]), (2.0, float("nan"))]}) == [
        ".a[0]",
        ".a[1][0]",
    ]
    assert places(torch.tensor([0.0]), torch.tensor([-0.0])) == [""]
    assert places([0.0], [-0.0]) == ["[0]"]
    assert places(torch.tensor([1.0]), torch.tensor([1.0]).double()) == [""]
    assert places([1], [1, 2]) == [""]
    assert places({"a": 1, "b": 2}, {"b": 2, "a": 1}) == [""]


def test_the_published_result():
    result = json.loads(RESULT.read_text())
    assert len(result["kills"]) == result["settings"]["kills"] == 50
    assert set(result["identical"].values()) == {True}
    assert result["damaged_checkpoints"] == 0
    assert result["most_steps_repeated"] <= result["settings"]["every_n_steps"]
    assert min(result["kills_by_moment"].values()) >= 1
    assert result["kills_with_a_file_half_written"] >= 5
