"""The training loop of all benchmarks: a Lightning Trainer without its files and progress bar."""

from __future__ import annotations

import logging
import signal
import warnings

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import nn


class StepTraining(LightningModule):
    """A training whose batches are the numbers of its steps. Abstract base class.

    A subclass implements `training_step(step)`, which draws the data of a step, and either returns
    its loss or, with `automatic_optimization = False`, updates the parameters.

    Args:
        module: the module to train.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


def fit(training: StepTraining, steps: int, callbacks: tuple[Callback, ...] = ()) -> None:
    """Train for a number of steps, or until a callback sets `trainer.should_stop`.

    The module stays on its device and in its training mode.

    Args:
        training: the module and its steps.
        steps: maximum number of steps.
        callbacks: Lightning callbacks.

    Raises:
        KeyboardInterrupt: the training was interrupted. Lightning alone would exit the process.
    """
    module = training.module
    device = next(module.parameters()).device
    modes = {part: part.training for part in module.modules()}
    handler = signal.getsignal(signal.SIGINT)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    trainer = Trainer(
        accelerator="gpu" if device.type == "cuda" else device.type,
        devices=1 if device.index is None else [device.index],
        max_epochs=1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*`training_step` returned `None`")
            warnings.filterwarnings("ignore", ".*GPU available but not used")
            trainer.fit(training, range(steps))  # a DataLoader would draw from the random numbers
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, handler)
        module.to(device)
        for part, mode in modes.items():
            part.training = mode
