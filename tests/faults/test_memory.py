"""A process that runs out of memory: slices of tasks halve if asked, with the same result."""

import pytest
import torch

from l2l_rnn.training.checkpoints import SafeCheckpointIO

pytestmark = pytest.mark.slow


def weights(folder):
    return SafeCheckpointIO().load_checkpoint(folder / "last.ckpt")["state_dict"]


def test_slices_halve_until_they_fit(starter, tmp_path):
    whole, little, log = tmp_path / "whole", tmp_path / "little", tmp_path / "log"
    assert starter.start(log, "train_in_memory", str(whole), None, "auto").wait() == 0
    assert "did not fit" not in log.read_text()
    assert starter.start(log, "train_in_memory", str(little), 10, "auto").wait() == 0
    assert "64 tasks did not fit into memory; computing 32 at a time from now on" in log.read_text()
    for name, tensor in weights(whole).items():
        torch.testing.assert_close(weights(little)[name], tensor, rtol=1e-3, atol=1e-5)
    entry = SafeCheckpointIO().load_checkpoint(little / "last.ckpt")["l2l_rnn"]
    assert entry["tasks_per_slice"] <= 32  # a resumed training begins with slices that fit


def test_without_being_asked_the_error_says_how(starter, tmp_path):
    process = starter.start(tmp_path / "log", "train_in_memory", str(tmp_path / "run"), 10, None)
    assert process.wait() == 1
    said = (tmp_path / "log").read_text()
    assert "can't allocate memory" in said
    assert "64 tasks did not fit into memory; set tasks_per_slice to fewer, or to 'auto'" in said
