"""Lightning's interface to checkpoints."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from l2l_rnn.errors import ArgumentError, CheckpointError, DataError
from l2l_rnn.training.checkpoints import SafeCheckpointIO

SCHEDULERS = {
    "StepLR": (2,),
    "MultiStepLR": ([1, 2],),
    "LambdaLR": (lambda step: 0.5**step,),
    "CosineAnnealingLR": (5,),
    "CosineAnnealingWarmRestarts": (2,),
    "OneCycleLR": (0.1, 10),
    "CyclicLR": (0.1, 0.2),
    "ReduceLROnPlateau": (),
    "LinearLR": (),
    "PolynomialLR": (),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_continue(name, tmp_path):
    optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, *SCHEDULERS[name])
    optimizer.step()
    scheduler.step(*([torch.tensor(1.0)] if name == "ReduceLROnPlateau" else []))
    checkpoint = {"lr_schedulers": [scheduler.state_dict()]}
    SafeCheckpointIO().save_checkpoint(checkpoint, tmp_path / "a.ckpt")
    found = SafeCheckpointIO().load_checkpoint(tmp_path / "a.ckpt")

    twin_optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
    twin = getattr(torch.optim.lr_scheduler, name)(twin_optimizer, *SCHEDULERS[name])
    twin.load_state_dict(found["lr_schedulers"][0])
    twin_optimizer.load_state_dict(optimizer.state_dict())
    for _ in range(4):
        for one in (optimizer, twin_optimizer):
            one.step()
        for one in (scheduler, twin):
            one.step(*([torch.tensor(1.0)] if name == "ReduceLROnPlateau" else []))
        assert optimizer.param_groups[0]["lr"] == twin_optimizer.param_groups[0]["lr"]


def test_the_device_of_a_loaded_checkpoint(tmp_path):
    weight = torch.ones(2)
    value = {"a": {"b": [weight, (weight, 1)]}, "n": None}
    SafeCheckpointIO().save_checkpoint(value, tmp_path / "a.ckpt")
    for place in (None, "cpu", torch.device("cpu"), lambda storage, location: storage):
        found = SafeCheckpointIO().load_checkpoint(tmp_path / "a.ckpt", place, weights_only=True)
        assert found["a"]["b"][0].device.type == "cpu"
    found = SafeCheckpointIO().load_checkpoint(tmp_path / "a.ckpt", map_location="meta")
    assert found["a"]["b"][0].is_meta
    assert found["a"]["b"][0] is found["a"]["b"][1][0]


def test_a_checkpoint_is_removed_once_or_twice(tmp_path):
    SafeCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt")
    SafeCheckpointIO().remove_checkpoint(str(tmp_path / "a.ckpt"))
    SafeCheckpointIO().remove_checkpoint(tmp_path / "a.ckpt")
    assert not os.listdir(tmp_path)
    with pytest.raises(CheckpointError, match="SafeCheckpointIO: "):
        SafeCheckpointIO().remove_checkpoint(tmp_path)


def test_what_it_cannot_do_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="storage_options must be None"):
        SafeCheckpointIO().save_checkpoint({}, tmp_path / "a.ckpt", storage_options={})
    with pytest.raises(ArgumentError, match="a file of this machine, got s3://bucket/a"):
        SafeCheckpointIO().save_checkpoint({}, "s3://bucket/a")
    with pytest.raises(DataError, match="must be a readable file"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "none.ckpt")


def test_a_path_may_begin_with_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    SafeCheckpointIO().save_checkpoint({"a": 1}, "~/a.ckpt")
    assert SafeCheckpointIO().load_checkpoint(Path("~/a.ckpt")) == {"a": 1}
