"""A small training run with every kind of state."""

import random

import numpy as np
import pytorch_lightning as pl
import torch
from torch import nn

from l2l_rnn.training.checkpoints import Checkpoints, SafeCheckpointIO


class Stream:
    """Batches by number, which continue where they were."""

    def __init__(self, length=7):
        self.length, self.at = length, 0

    def __len__(self):
        return self.length

    def __iter__(self):
        if self.at == self.length:
            self.at = 0
        while self.at < self.length:
            self.at += 1
            yield torch.randn(4, 3, generator=torch.Generator().manual_seed(self.at))

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.at = state["at"]


class Module(pl.LightningModule):
    """Dropout, running statistics, Adam, a scheduler, and random numbers of three generators."""

    def __init__(self, plateau=None):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)
        )
        self.plateau = plateau
        self.losses = []

    def training_step(self, batch, index):
        loss = (self.net(batch) * random.random() - np.random.rand()).pow(2).mean()
        self.log("train_loss", loss)
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.net(batch).pow(2).mean() + torch.rand(()) / 100)

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.01)
        if self.plateau is None:
            scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, 100)
            found = {"scheduler": scheduler, "interval": "step"}
        else:
            scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
            metric = "val_loss" if self.plateau == "epoch" else "train_loss"
            found = {"scheduler": scheduler, "interval": self.plateau, "monitor": metric}
        return {"optimizer": optimizer, "lr_scheduler": found}


class Interrupted(Exception):
    pass


class Interrupt(pl.Callback):
    """Ends training with an error at the given call of a hook."""

    def __init__(self, hook, call):
        self.left = call
        setattr(self, hook, self.count)

    def count(self, trainer, *args, **kwargs):
        if not trainer.sanity_checking:
            self.left -= 1
            if self.left == 0:
                raise Interrupted


def trainer_of(
    folder, *callbacks, monitor="val_loss", every_n_steps=2, checkpoints=None, **options
):
    checkpoints = checkpoints or Checkpoints(folder, monitor=monitor, every_n_steps=every_n_steps)
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[SafeCheckpointIO()],
        callbacks=[checkpoints, *callbacks],
        **{"max_epochs": 3, "devices": 1} | options,
    )


def seed(number=1):
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def loaders(kind="stream"):
    data = torch.arange(84.0).reshape(28, 3).sin()
    validation = torch.utils.data.DataLoader(data, 14)
    if kind == "stream":
        return Stream(), validation
    return torch.utils.data.DataLoader(data, 4, shuffle=True), validation


def state_of(trainer, module):
    """Everything that the rest of training depends on."""
    (optimizer,) = trainer.optimizers
    return [
        *(tensor.clone() for tensor in module.state_dict().values()),
        *(value for state in optimizer.state.values() for value in state.values()),
        torch.tensor([optimizer.param_groups[0]["lr"]], dtype=torch.float64),
        torch.rand(3),
        torch.tensor([random.random(), np.random.rand()], dtype=torch.float64),
        torch.tensor([trainer.global_step, trainer.current_epoch]),
    ]
