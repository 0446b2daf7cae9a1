"""Checkpoints of several processes."""

import shutil

import pytest
import pytorch_lightning as pl
import torch
from torch.multiprocessing import ProcessRaisedException

from l2l_rnn.training.checkpoints import latest_good
from l2l_rnn.training.checkpoints.container import read_checkpoint
from l2l_rnn.training.checkpoints.folder import RunFolder
from tests.training.checkpoints.problem import Module, Stream, loaders, seed, trainer_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),  # of Lightning
    pytest.mark.filterwarnings("ignore:.*sync_dist=True"),
    pytest.mark.filterwarnings("ignore:.*fork"),
]


class OwnMasks(pl.Callback):
    """Each process draws its own numbers from the start."""

    def on_train_start(self, trainer, module):
        if trainer.global_step == 0:
            seed(trainer.global_rank)


class CopyLast(pl.Callback):
    """Copies the folder in the middle of an epoch, as if the run had been killed there."""

    def __init__(self, step, source, target):
        self.step, self.source, self.target = step, source, target

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step and trainer.is_global_zero:
            shutil.copytree(self.source, self.target)


def fit(folder, *callbacks):
    seed()
    module = Module()
    options = {"strategy": "ddp_fork", "devices": 2, "use_distributed_sampler": False}
    trainer = trainer_of(folder, OwnMasks(), *callbacks, every_n_steps=5, **options)
    trainer.fit(module, Stream(), loaders()[1], ckpt_path=latest_good(folder))
    return read_checkpoint("me", folder / "last.ckpt")


def test_a_resumed_run_of_two_processes_is_the_unbroken_one(tmp_path):
    copy = CopyLast(11, tmp_path / "run", tmp_path / "copy")
    whole = fit(tmp_path / "run", copy)
    assert read_checkpoint("me", tmp_path / "copy" / "last.ckpt")["global_step"] == 10
    states = whole["callbacks"]["l2l_rnn.Checkpoints"]["random_states"]["ranks"]
    assert len(states) == 2
    assert not torch.equal(states[0]["torch"], states[1]["torch"])
    resumed = fit(tmp_path / "copy")
    assert resumed["global_step"] == 21
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(tensor, resumed["state_dict"][name]), name
    for one, two in zip(
        states,
        resumed["callbacks"]["l2l_rnn.Checkpoints"]["random_states"]["ranks"],
        strict=True,
    ):
        assert one["python"] == two["python"]
        assert torch.equal(one["torch"], two["torch"])


def test_a_folder_in_use_is_refused_by_all_processes(tmp_path):
    folder = RunFolder(tmp_path)
    folder.lock("me")
    with pytest.raises(ProcessRaisedException, match="must not be in use"):
        fit(tmp_path)
    folder.unlock()
