"""Requeue signals of SLURM, handled between batches."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from l2l_rnn.optional import require

require("pytorch_lightning", extra="training", purpose="l2l_rnn.training")

import pytorch_lightning as pl  # noqa: E402  # require explains a failure
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment  # noqa: E402


class RequeueBetweenBatches(pl.Callback):
    """Lets Lightning save and requeue a SLURM job between batches, not in the middle of one.

    When SLURM announces the end of a job with SIGUSR1, Lightning saves a checkpoint at once, maybe
    in the middle of an optimizer step, and with several processes maybe at different steps. This
    callback calls Lightning's handler after the batch, and after the validation that follows it.
    Elsewhere it does nothing.
    """

    def __init__(self) -> None:
        self._handler: Callable[..., Any] | None = None
        self._arrived: tuple[int, Any] | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Replace Lightning's handler."""
        environment = trainer._accelerator_connector.cluster_environment
        self._handler = self._arrived = None
        if not (isinstance(environment, SLURMEnvironment) and environment.auto_requeue):
            return
        number = environment.requeue_signal
        if number is None or threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(number)
        if callable(handler):
            self._handler = handler
            signal.signal(number, self._note)  # Lightning restores the handlers after training

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Handle a signal, unless validation or the end of the epoch comes first."""
        loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
        ends = loop._num_ready_batches_reached() or loop._should_accumulate()
        if not (ends or (fetcher is not None and loop._should_check_val_fx(fetcher))):
            self._handle(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Handle a signal after validation in the middle of an epoch."""
        within = not trainer.fit_loop.epoch_loop._num_ready_batches_reached()
        if trainer.state.fn == "fit" and not trainer.sanity_checking and within:
            self._handle(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Handle a signal after the epoch."""
        self._handle(trainer)

    def _note(self, number: int, frame: Any) -> None:
        self._arrived = (number, frame)

    def _handle(self, trainer: pl.Trainer) -> None:
        if self._handler is None:
            return
        arrived = self._arrived is not None
        if trainer.world_size > 1:  # saving needs all processes, at the same step
            arrived = trainer.strategy.reduce_boolean_decision(arrived, all=False)
        if arrived:
            number, frame = self._arrived or (0, None)
            self._arrived = None
            self._handler(number, frame)
