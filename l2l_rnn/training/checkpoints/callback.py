"""The callback that keeps the last and the best checkpoint."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from torch import Tensor

from l2l_rnn.checks import check_choice, check_int, check_number
from l2l_rnn.errors import ArgumentError
from l2l_rnn.optional import require
from l2l_rnn.training.checkpoints.checkpoint_io import SafeCheckpointIO
from l2l_rnn.training.checkpoints.folder import BEST, LAST, RunFolder
from l2l_rnn.training.checkpoints.loops import (
    begin_next_epoch,
    check_logged,
    end_restart,
    ends_epoch,
    hold_sigterm,
    is_active,
    is_better,
    is_dry_run,
    more_follows,
    on_rank_zero,
    steps_due,
    take_steps,
)
from l2l_rnn.training.checkpoints.random_states import RandomStates
from l2l_rnn.training.checkpoints.saved_state import read_state
from l2l_rnn.training.checkpoints.settings import (
    ENTRY,
    add_settings,
    check_settings,
    saved_settings,
)

require("pytorch_lightning", extra="training", purpose="l2l_rnn.training.checkpoints")

import pytorch_lightning as pl  # noqa: E402  # require explains a failure
from pytorch_lightning.callbacks import ModelCheckpoint  # noqa: E402
from pytorch_lightning.utilities.exceptions import SIGTERMException  # noqa: E402

_WHO = "Checkpoints"


class Checkpoints(ModelCheckpoint):
    """Keeps the last, the previous and the best checkpoint of a training run in a folder.

    `last.ckpt` is written at the end of every epoch, at the end of training, on SIGTERM, and as
    often as `every_n_steps` and `every_minutes` say; the one before it stays as `previous.ckpt`.
    `best.ckpt` is written when `monitor` improves after validation or at the end of an epoch. Use
    it with `SafeCheckpointIO`, and resume with `latest_good`::

        checkpoints = Checkpoints("runs/languages", monitor="val_accuracy", mode="max")
        trainer = Trainer(plugins=[SafeCheckpointIO()], callbacks=[checkpoints])
        trainer.fit(module, data, ckpt_path=latest_good("runs/languages"))

    A resumed run is the unbroken one, bit for bit on the CPU, if the data loader continues where
    it was: either its state is saved (`state_dict`, `load_state_dict`), or runs stop between
    epochs. States of random number generators are saved, as by `RandomStates`. Means of metrics
    over an epoch are not: after a stop in the middle of an epoch they cover what follows it.

    The folder is locked during `fit`. A second training run on it raises an error. The lock of a
    process ends with the process.

    Args:
        folder: the folder; created if missing.
        monitor: name of the logged metric that selects the best checkpoint; None keeps none.
        mode: `"min"` if a smaller metric is better, or `"max"`.
        every_n_steps: optimizer steps between checkpoints within an epoch; None for none.
        every_minutes: minutes between checkpoints within an epoch; None for none.
        settings: saved in each checkpoint, and compared by `check_settings` when training is
            resumed; see `add_settings`. None if the module saves its own.
        overwrite: allow a new run in a folder with checkpoints, which are replaced.

    Raises:
        ArgumentError: an argument is invalid. In `fit`: another run uses the folder, it has
            checkpoints and training is not resumed, or the settings differ.
        CheckpointError: in `fit`, a checkpoint cannot be written. The weights and the earlier
            checkpoints are intact.

    Example:
        >>> checkpoints = Checkpoints("runs/mine", monitor="val_loss", every_n_steps=100)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        monitor: str | None = None,
        mode: str = "min",
        every_n_steps: int | None = None,
        every_minutes: float | None = None,
        settings: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        check_choice(_WHO, "mode", mode, ("min", "max"))
        if every_n_steps is not None:
            check_int(_WHO, "every_n_steps", every_n_steps)
        if every_minutes is not None:
            check_number(_WHO, "every_minutes", every_minutes, above=0)
        self.run_folder = RunFolder(folder)
        super().__init__(
            dirpath=self.run_folder.path,
            filename=BEST.removesuffix(".ckpt"),
            monitor=monitor,
            mode=mode,
            save_last=True,
            save_top_k=0 if monitor is None else 1,
            every_n_train_steps=every_n_steps,
            enable_version_counter=False,
        )
        self.every_n_steps = every_n_steps
        self.every = None if every_minutes is None else timedelta(minutes=every_minutes)
        self.settings = settings
        self.overwrite = overwrite
        self._random_states = RandomStates()
        self._own = False  # whether the checkpoints in the folder are those of this run
        self._due = self._validated = False
        self._last_step = 0  # when the batch before ended
        self._saved_step = 0  # of last.ckpt
        self._scheduler_steps: list[tuple[int, Tensor]] = []
        self._metrics: dict[str, Tensor] = {}  # of the checkpoint, until training starts
        self._last_time = time.monotonic()
        if settings is not None:
            add_settings({}, settings)  # raises now, not after hours

    @property
    def state_key(self) -> str:
        """The name of the state in a checkpoint, whatever is monitored."""
        return "l2l_rnn.Checkpoints"

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Lock the folder for training."""
        self._random_states.setup(trainer, pl_module, stage)
        self._metrics, self._scheduler_steps = {}, []
        if stage != "fit" or is_dry_run(trainer):
            return
        if not isinstance(trainer.strategy.checkpoint_io, SafeCheckpointIO):
            raise ArgumentError(
                f"{_WHO}: the trainer must save with SafeCheckpointIO, got "
                f"{type(trainer.strategy.checkpoint_io).__name__}; pass "
                "Trainer(plugins=[SafeCheckpointIO()])"
            )
        on_rank_zero(trainer, lambda: self.run_folder.lock(_WHO))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check that a new run replaces no checkpoints."""
        self._random_states.on_fit_start(trainer, pl_module)
        if is_dry_run(trainer):
            return
        if trainer.ckpt_path is None and not self._own:
            on_rank_zero(trainer, lambda: self.run_folder.clear(_WHO, self.overwrite))
        self._own = True
        best = trainer.strategy.broadcast((self.run_folder.path / BEST).is_file())
        if not best:
            self.best_model_path, self.best_model_score = "", None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count steps and time."""
        self._random_states.on_train_start(trainer, pl_module)
        begin_next_epoch(trainer)
        self._last_step = self._saved_step = trainer.global_step
        self._last_time, self._due = time.monotonic(), False
        device = trainer.strategy.root_device
        trainer.callback_metrics.update((k, v.to(device)) for k, v in self._metrics.items())
        take_steps(trainer, self._scheduler_steps)
        self._metrics, self._scheduler_steps = {}, []

    def on_train_batch_start(self, trainer: pl.Trainer, *args: Any) -> None:
        """Let SIGTERM end training after this batch."""
        hold_sigterm(trainer, False)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if it is time to."""
        end_restart(trainer)
        step = trainer.global_step
        hold_sigterm(trainer, step == self._last_step or more_follows(trainer))
        if step == self._last_step:
            return  # gradients are being accumulated; a checkpoint would lose them
        if self.every_n_steps is not None:
            self._due |= step // self.every_n_steps > self._last_step // self.every_n_steps
        if self.every is not None:
            late = time.monotonic() - self._last_time >= self.every.total_seconds()
            self._due |= trainer.strategy.broadcast(late) if trainer.world_size > 1 else late
        self._last_step = step
        if self._due and is_active(trainer) and not more_follows(trainer):
            self._scheduler_steps = steps_due(trainer, "step")
            self._save_last(trainer)
            self._scheduler_steps = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the best checkpoint."""
        if is_active(trainer):
            self._validated = True
            if not ends_epoch(trainer):
                self._save_best(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the best and the last checkpoint."""
        hold_sigterm(trainer, False)
        if is_active(trainer):
            self._scheduler_steps = steps_due(trainer, "epoch")
            self._save_best(trainer)
            if self._saved_step != trainer.global_step:
                self._save_last(trainer)
            self._scheduler_steps = []
            if self._validated or not trainer.enable_validation:
                check_logged(_WHO, self.monitor, trainer.callback_metrics)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the last checkpoint if steps were taken since."""
        if is_active(trainer) and self._saved_step != trainer.global_step:
            self._save_last(trainer)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save on SIGTERM, which Lightning raises between steps; unlock the folder."""
        try:
            # With several processes, the others may not have received it and would not join in.
            if (
                isinstance(exception, SIGTERMException)
                and trainer.world_size == 1
                and is_active(trainer)
                and self._saved_step != trainer.global_step
            ):
                self._save_last(trainer)
        finally:
            self.run_folder.unlock()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Unlock the folder."""
        self.run_folder.unlock()

    def _save_best(self, trainer: pl.Trainer) -> None:
        if self.monitor is None or self.monitor not in trainer.callback_metrics:
            return
        score = trainer.callback_metrics[self.monitor].detach().cpu().clone()
        self.current_score = score
        if not is_better(trainer, score, self.best_model_score, self.mode):
            return
        before = (self.best_model_path, self.best_model_score, self.best_k_models)
        path = str(self.run_folder.path / BEST)
        self.best_model_path, self.best_model_score = path, score
        self.best_k_models, self.kth_best_model_path = {path: score}, path
        self.kth_value = score
        try:
            on_rank_zero(trainer, lambda: self.run_folder.check(_WHO))
            self._save_checkpoint(trainer, path)
        except BaseException:
            self.best_model_path, self.best_model_score, self.best_k_models = before
            raise

    def _save_last(self, trainer: pl.Trainer) -> None:
        self._due, self._last_time = False, time.monotonic()
        path = str(self.run_folder.path / LAST)
        self.last_model_path = path
        on_rank_zero(trainer, lambda: self.run_folder.keep_last(_WHO))
        try:
            self._save_checkpoint(trainer, path)
        except BaseException:
            self.run_folder.discard()
            raise
        on_rank_zero(trainer, lambda: self.run_folder.rotate(_WHO))
        self._saved_step = trainer.global_step

    def state_dict(self) -> dict[str, Any]:
        """Return the best score and the random states; all processes must call it."""
        trainer = self._random_states.trainer
        metrics = {} if trainer is None else dict(trainer.callback_metrics)
        return {
            "monitor": self.monitor,
            "mode": self.mode,
            "best_model_score": self.best_model_score,
            "metrics": metrics,
            "plateau": list(self._scheduler_steps),
            "random_states": self._random_states.state_dict(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best score, if the same metric is monitored, and the random states."""
        score, metrics, steps, monitored = read_state(_WHO, state_dict)
        self._random_states.load_state_dict(state_dict["random_states"])
        self._metrics, self._scheduler_steps = metrics, steps
        self.best_model_score = score if monitored == (self.monitor, self.mode) else None
        best = self.run_folder.path / BEST
        self.best_model_path = "" if self.best_model_score is None else str(best)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the time and the settings."""
        checkpoint.setdefault(ENTRY, {})["written"] = time.time_ns()
        if self.settings is not None:
            add_settings(checkpoint, self.settings)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Compare the settings."""
        saved = saved_settings(checkpoint)
        if self.settings is not None and saved is not None and trainer.state.fn == "fit":
            check_settings(saved, self.settings)
