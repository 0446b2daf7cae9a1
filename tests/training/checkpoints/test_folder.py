"""The folder of a training run."""

import os
import shutil
import signal
import time
import warnings

import pytest
import torch

from l2l_rnn.errors import ArgumentError, CheckpointError, CheckpointWarning, DataError
from l2l_rnn.training.checkpoints import add_settings, latest_good
from l2l_rnn.training.checkpoints.container import read_checkpoint, write_checkpoint
from l2l_rnn.training.checkpoints.folder import RunFolder
from tests.training.checkpoints.processes import forked


def save(path, step, **entry):
    checkpoint = {"global_step": step, "w": torch.ones(9), "l2l_rnn": {"written": step, **entry}}
    write_checkpoint("me", path, checkpoint)


def step_of(path):
    return read_checkpoint("me", path)["global_step"]


@pytest.fixture
def run(tmp_path):
    """A folder with the checkpoints of three steps."""
    save(tmp_path / "best.ckpt", 1)
    save(tmp_path / "previous.ckpt", 2)
    save(tmp_path / "last.ckpt", 3)
    return tmp_path


def damage(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


def test_the_last_checkpoint_is_used(run):
    assert latest_good(run) == run / "last.ckpt"
    assert latest_good(str(run)) == run / "last.ckpt"


@pytest.mark.parametrize("how", ["flip", "truncate", "empty", "pickle", "folder", "gone"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(run, how):
    path = run / "last.ckpt"
    if how == "flip":
        damage(path)
    elif how == "truncate":
        os.truncate(path, 100)
    elif how == "empty":
        os.truncate(path, 0)
    elif how == "pickle":
        torch.save({"w": torch.ones(2)}, path)
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.unlink()
        assert latest_good(run) == run / "previous.ckpt"
        return
    with pytest.warns(CheckpointWarning, match=r"last\.ckpt is skipped and previous\.ckpt is used"):
        assert latest_good(run) == run / "previous.ckpt"


def test_all_checkpoints_may_be_damaged(run):
    damage(run / "last.ckpt")
    damage(run / "previous.ckpt")
    with pytest.warns(CheckpointWarning, match=r"best\.ckpt is used"):
        assert latest_good(run) == run / "best.ckpt"
    damage(run / "best.ckpt")
    with pytest.warns(CheckpointWarning, match="training starts from the beginning") as caught:
        assert latest_good(run) is None
    assert len(caught) == 3


def test_without_checkpoints_there_is_none(tmp_path):
    assert latest_good(tmp_path) is None
    assert latest_good(tmp_path / "none") is None


def test_a_copied_folder_keeps_the_order(run, tmp_path_factory):
    copy = tmp_path_factory.mktemp("copy")
    for name in ("last.ckpt", "best.ckpt", "previous.ckpt"):
        shutil.copyfile(run / name, copy / name)
    assert latest_good(copy) == copy / "last.ckpt"


def test_a_newer_version_s_checkpoint_is_not_skipped(run):
    data = (run / "last.ckpt").read_bytes()
    (run / "last.ckpt").write_bytes(data.replace(b'"format_version":"1"', b'"format_version":"2"'))
    with pytest.raises(DataError, match="a newer version's checkpoint"):
        latest_good(run)


def test_settings_are_compared(run):
    checkpoint = {}
    add_settings(checkpoint, {"lr": float("inf"), "ways": 5})
    save(run / "last.ckpt", 3, **checkpoint["l2l_rnn"])
    assert latest_good(run, settings={"lr": float("inf"), "ways": 5}) == run / "last.ckpt"
    with pytest.raises(ArgumentError, match=r"lr=0\.1 instead of inf, ways=3 instead of 5"):
        latest_good(run, settings={"lr": 0.1, "ways": 3})


def test_a_second_run_on_a_folder_is_refused(tmp_path):
    first, second = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run")
    first.lock("me")
    first.lock("me")  # once more: nothing changes
    with pytest.raises(ArgumentError, match=r"me: the folder must not be in use, got .*/run, to"):
        second.lock("me")
    first.unlock()
    first.unlock()
    second.lock("me")
    second.unlock()


def test_the_lock_of_another_process_ends_with_it_and_not_with_its_children(tmp_path):
    def hold():
        held = RunFolder(tmp_path)
        held.lock("me")
        forked(lambda: time.sleep(3))  # like the worker of a data loader
        (tmp_path / "ready").touch()
        time.sleep(60)

    child = forked(hold)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    folder = RunFolder(tmp_path)
    with pytest.raises(ArgumentError, match="in use"):
        folder.lock("me")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    folder.lock("me")
    folder.unlock()


def test_locking_removes_what_an_interrupted_write_left(run):
    for name in (".last.ckpt." + "a" * 16, ".previous.ckpt." + "0" * 16):
        (run / name).touch()
    for name in (".last.ckpt.mine", "other.ckpt", ".notes"):
        (run / name).touch()
    folder = RunFolder(run)
    folder.lock("me")
    names = {"last.ckpt", "previous.ckpt", "best.ckpt", ".last.ckpt.mine", "other.ckpt", ".notes"}
    assert set(os.listdir(run)) == names | {".lock"}
    folder.unlock()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(CheckpointError, match=r"file.* must be in a folder"):
            RunFolder(path).lock("me")


def test_a_read_only_folder_is_named(small_disk, read_only):
    with read_only(), pytest.raises(CheckpointError, match=r"disk.*Read-only file system"):
        RunFolder(small_disk).lock("me")


def test_a_removed_or_replaced_folder_is_noticed(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.lock("me")
    folder.check("me")
    shutil.rmtree(tmp_path / "run")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="run, which was removed or replaced"):
            folder.check("me")
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / ".lock").touch()
    folder.unlock()


def test_the_last_checkpoint_becomes_the_previous_one(run):
    folder = RunFolder(run)
    folder.lock("me")
    for step in (4, 5):
        folder.keep_last("me")
        assert step_of(run / "last.ckpt") == step - 1
        save(run / "last.ckpt", step)
        folder.rotate("me")
        assert step_of(run / "previous.ckpt") == step - 1
    folder.keep_last("me")
    folder.discard()  # because writing failed
    assert (step_of(run / "previous.ckpt"), step_of(run / "last.ckpt")) == (4, 5)
    assert set(os.listdir(run)) == {"last.ckpt", "previous.ckpt", "best.ckpt", ".lock"}
    folder.unlock()


def test_without_hard_links_the_last_checkpoint_is_copied(run, monkeypatch):
    def refuse(self, target):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    folder = RunFolder(run)
    folder.lock("me")
    folder.keep_last("me")
    save(run / "last.ckpt", 4)
    folder.rotate("me")
    assert (step_of(run / "previous.ckpt"), step_of(run / "last.ckpt")) == (3, 4)
    folder.unlock()


def test_a_damaged_last_checkpoint_does_not_replace_the_previous_one(run):
    damage(run / "last.ckpt")
    content = (run / "last.ckpt").read_bytes()
    folder = RunFolder(run)
    folder.lock("me")
    folder.keep_last("me")
    save(run / "last.ckpt", 4)
    folder.rotate("me")
    assert (step_of(run / "previous.ckpt"), step_of(run / "last.ckpt")) == (2, 4)
    assert (run / "damaged-last.ckpt").read_bytes() == content
    folder.unlock()


def test_a_new_run_does_not_replace_checkpoints_unless_asked(run):
    folder = RunFolder(run)
    with pytest.raises(ArgumentError, match=r"with last\.ckpt, previous\.ckpt, best\.ckpt; resume"):
        folder.clear("me", overwrite=False)
    assert step_of(run / "last.ckpt") == 3
    folder.clear("me", overwrite=True)
    assert not os.listdir(run)


def test_a_new_run_keeps_damaged_checkpoints_under_another_name(run):
    for name in ("last", "previous", "best"):
        damage(run / f"{name}.ckpt")
    RunFolder(run).clear("me", overwrite=False)
    assert {*os.listdir(run)} == {"damaged-last.ckpt", "damaged-previous.ckpt", "damaged-best.ckpt"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert latest_good(run) is None
