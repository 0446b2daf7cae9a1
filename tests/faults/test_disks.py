"""Folders that fill up, become read-only, vanish, or have a second training."""

import os
import re
import shutil
import signal
import subprocess

import pytest
import pytorch_lightning as pl
import torch

from benchmarks.faults import problem
from benchmarks.faults.kill_and_resume import compare, differences
from l2l_rnn.errors import ArgumentError, CheckpointError
from l2l_rnn.training import fit
from l2l_rnn.training.checkpoints import SafeCheckpointIO, latest_good

STEPS = 20
FILES = {".lock", "steps.log", "last.ckpt", "previous.ckpt", "best.ckpt"}


class At(pl.Callback):
    """Calls a function before a step."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            self.act()


def train(folder, *callbacks, **options):
    return problem.train(folder, STEPS, epoch=8, callbacks=callbacks, log=False, **options)


def step_of(path):
    return SafeCheckpointIO().load_checkpoint(path)["global_step"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an unbroken training."""
    folder = tmp_path_factory.mktemp("training") / "whole"
    train(folder)
    return folder


def assert_goes_on(folder, whole):
    train(folder)
    assert not any(compare(folder, whole).values())


@pytest.mark.parametrize("free", [0, 40_000, 250_000])
def test_a_full_disk_leaves_the_checkpoints_and_the_training(free, small_disk, whole, tmp_path):
    def fill():
        left = os.statvfs(small_disk)
        with (small_disk / "other").open("wb") as file:
            file.write(bytes(max(0, left.f_bavail * left.f_frsize - free)))

    kept = {}

    class Keep(pl.Callback):
        def on_exception(self, trainer, module, error):
            trainer.save_checkpoint(tmp_path / "elsewhere.ckpt")
            kept.update(module.state_dict())

    if free < 250_000:
        with pytest.raises(CheckpointError, match=r"best\.ckpt .*No space left on device.*free"):
            train(small_disk, At(7, fill), Keep())
        assert step_of(latest_good(small_disk)) == 5
        saved = SafeCheckpointIO().load_checkpoint(tmp_path / "elsewhere.ckpt")
        assert saved["global_step"] == 8
        assert not [*differences(dict(saved["state_dict"]), kept)]
    else:
        train(small_disk, At(7, fill))
    assert {*os.listdir(small_disk)} <= FILES | {"other"}  # nothing half-written
    (small_disk / "other").unlink()
    assert_goes_on(small_disk, whole)


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 60_000])
def test_a_limit_of_the_size_of_files(size, starter, whole, tmp_path):
    folder, said = tmp_path / "run", tmp_path / "said"
    process = starter.start(
        tmp_path / "log", "train_with_limit", str(folder), STEPS, size, str(said)
    )
    assert process.wait() == 0
    assert re.match(
        r"CheckpointError SafeCheckpointIO: .*File too large; training is", said.read_text()
    )
    assert latest_good(folder) is None
    assert {*os.listdir(folder)} <= FILES
    assert_goes_on(folder, whole)


def test_a_disk_that_becomes_read_only(small_disk, whole):
    folder = small_disk / "run"

    def protect():
        subprocess.run(["mount", "--bind", str(small_disk), str(small_disk)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(small_disk)], check=True)

    try:
        with pytest.raises(CheckpointError, match=r"run.*Read-only file system"):
            train(folder, At(7, protect))
        assert step_of(latest_good(folder)) == 5
        with pytest.raises(CheckpointError, match=r"run.*Read-only file system"):
            train(folder)  # before any step is lost
    finally:
        subprocess.run(["umount", "-l", str(small_disk)], check=True)
    assert_goes_on(folder, whole)


@pytest.mark.parametrize("how", ["removed", "moved", "replaced by a file", "parent removed"])
def test_a_folder_that_vanishes(how, whole, tmp_path):
    folder = tmp_path / "parent" / "run"

    def vanish():
        if how == "moved":
            folder.rename(tmp_path / "moved")
            return
        shutil.rmtree(folder.parent if how == "parent removed" else folder)
        if how == "replaced by a file":
            folder.touch()

    with pytest.raises(CheckpointError, match=r"run.*(removed or replaced|Not a directory)"):
        train(folder, At(7, vanish))
    assert not folder.is_dir()
    if how == "moved":
        assert step_of(latest_good(tmp_path / "moved")) == 5
        assert_goes_on(tmp_path / "moved", whole)
    elif how == "replaced by a file":
        with pytest.raises(CheckpointError, match="must be in a folder"):
            fit(
                problem.make_module(),
                problem.make_data(),
                folder=folder,
                max_steps=1,
                **problem.QUIET,
            )
    else:
        assert_goes_on(folder, whole)


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_training_is_refused_and_the_first_unharmed(overwrite, starter, whole, tmp_path):
    folder = tmp_path / "run"
    process = starter.start(tmp_path / "log", "train", str(folder), STEPS)
    while latest_good(folder) is None:
        assert not process.ended(0.01)
    process.kill(signal.SIGSTOP)  # so that it does not end before the other one begins
    with pytest.raises(ArgumentError, match=r"must not be in use, got .*run, to which another"):
        train(folder, resume=not overwrite, overwrite=overwrite)
    process.kill(signal.SIGCONT)
    assert process.wait() == 0
    assert not any(compare(folder, whole).values())


def test_threads_of_one_process_are_refused_too(whole, tmp_path):
    def second():
        with pytest.raises(ArgumentError, match="must not be in use"):
            train(tmp_path / "run")

    states = []

    def keep_states():
        states.append(torch.get_rng_state())
        second()
        torch.set_rng_state(states[0])

    train(tmp_path / "run", At(7, keep_states))
    found = compare(tmp_path / "run", whole)
    assert not found["parameters"]
    assert not found["losses of all steps"]
