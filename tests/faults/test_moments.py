"""A training that stops at any moment, under any limit, resumes with all its counters."""

import os
import signal

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.utilities.exceptions import SIGTERMException

from l2l_rnn.training.checkpoints import Checkpoints, SafeCheckpointIO, latest_good
from tests.training.checkpoints.problem import (
    Interrupt,
    Interrupted,
    Module,
    loaders,
    seed,
    state_of,
)

LIMITS = {
    "epochs": {"max_epochs": 4},
    "steps": {"max_epochs": -1, "max_steps": 24},
    "steps, at the end of an epoch": {"max_epochs": -1, "max_steps": 21},
    "epochs before steps": {"max_epochs": 3, "max_steps": 1000},
    "steps before epochs": {"max_epochs": 9, "max_steps": 18},
    "validation within epochs": {"max_epochs": 3, "max_steps": 1000, "val_check_interval": 3},
    "accumulated gradients": {"max_epochs": 3, "max_steps": 1000, "accumulate_grad_batches": 2},
}
# OneCycleLR, which None stands for, or ReduceLROnPlateau of epochs or steps.
SCHEDULERS = {limit: ("epoch", "step", None)[n % 3] for n, limit in enumerate(LIMITS)}


class Logger(DummyLogger):
    """Keeps what is logged, by step, as a plot of it has it."""

    def __init__(self):
        super().__init__()
        self.rows = {}

    def log_metrics(self, metrics, step=None):
        self.rows.setdefault(step, {}).update(metrics)

    @property
    def log_dir(self):
        return None


def fit(folder, logger, *callbacks, plateau=None, **options):
    seed()
    module = Module(plateau)
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=logger,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[SafeCheckpointIO()],
        callbacks=[Checkpoints(folder, monitor="val_loss", every_n_steps=2), *callbacks],
        **options,
    )
    trainer.fit(module, *loaders(), ckpt_path=latest_good(folder))
    return trainer, module


def interrupted(folder, logger, hook, calls, **options):
    """Interrupt a training at the given calls of a hook, one process after the other."""
    for call in calls:
        try:
            return fit(folder, logger, Interrupt(hook, call), **options)
        except Interrupted:
            pass
    return fit(folder, logger, **options)


@pytest.mark.parametrize("limit", LIMITS)
def test_all_counters_continue(limit, tmp_path):
    options = {"plateau": SCHEDULERS[limit], **LIMITS[limit]}
    whole = Logger()
    expected = state_of(*fit(tmp_path / "whole", whole, **options))
    moments = [
        ("on_train_batch_start", (8, 8, 8)),  # an epoch has seven
        ("on_train_batch_end", (5, 6, 3)),
        ("on_train_epoch_end", (1, 1, 1)),
        ("on_validation_end", (2, 1)),
    ]
    wrong = []
    for hook, calls in moments:
        logger = Logger()
        found = state_of(*interrupted(tmp_path / hook, logger, hook, calls, **options))
        if not all(map(torch.equal, expected, found)):
            wrong.append(f"{hook}: state")
        if logger.rows != whole.rows:
            wrong.append(f"{hook}: steps of the logger")
    assert not wrong


class Terminate(pl.Callback):
    """Sends SIGTERM to this process at the given call of a hook."""

    def __init__(self, hook, call):
        self.left = call
        setattr(self, hook, self.count)

    def count(self, trainer, *args, **kwargs):
        if not trainer.sanity_checking:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    "limit", ["steps", "epochs before steps", "validation within epochs", "accumulated gradients"]
)
def test_sigterm_at_any_moment_loses_no_step(limit, tmp_path):
    options = {"plateau": SCHEDULERS[limit], **LIMITS[limit]}
    whole, wrong = Logger(), []
    expected = state_of(*fit(tmp_path / "whole", whole, **options))
    best = SafeCheckpointIO().load_checkpoint(tmp_path / "whole" / "best.ckpt")
    for hook, call in [
        ("on_train_batch_start", 7),
        ("on_train_batch_end", 3),
        ("on_validation_batch_end", 1),  # of two
        ("on_validation_batch_end", 4),
        ("on_validation_end", 1),
        ("on_train_epoch_end", 2),
    ]:
        logger, folder = Logger(), tmp_path / f"{hook}{call}"
        with pytest.raises(SIGTERMException):
            fit(folder, logger, Terminate(hook, call), **options)
        last = SafeCheckpointIO().load_checkpoint(folder / "last.ckpt")
        losses = [row for row in logger.rows.values() if "train_loss" in row]
        assert len(losses) == last["global_step"]  # no step is lost
        found = state_of(*fit(folder, logger, **options))
        if not all(map(torch.equal, expected, found)):
            wrong.append(f"{hook} {call}: state")
        if logger.rows != whole.rows:
            wrong.append(f"{hook} {call}: steps of the logger")
        again = SafeCheckpointIO().load_checkpoint(folder / "best.ckpt")
        if again["global_step"] != best["global_step"]:
            wrong.append(f"{hook} {call}: best")
    assert not wrong
