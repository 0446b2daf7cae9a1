"""Where Lightning's loops are, for the callback that saves checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from l2l_rnn.errors import ArgumentError, L2LRNNError
from l2l_rnn.registry import hint

if TYPE_CHECKING:
    import pytorch_lightning as pl


def is_dry_run(trainer: pl.Trainer) -> bool:
    """Whether the trainer only tries a few batches and writes nothing."""
    return bool(getattr(trainer, "fast_dev_run", False))


def is_active(trainer: pl.Trainer) -> bool:
    """Whether the trainer trains, and writes checkpoints."""
    fitting = trainer.state.fn == "fit" and not trainer.sanity_checking
    return fitting and not is_dry_run(trainer)


def on_rank_zero(trainer: pl.Trainer, act: Callable[[], None]) -> None:
    """Run something on rank 0; all ranks raise its error."""
    error = None
    if trainer.is_global_zero:
        try:
            act()
        except L2LRNNError as caught:
            error = caught
    if trainer.world_size > 1:
        error = trainer.strategy.broadcast(error)
    if error is not None:
        raise error


def is_better(trainer: pl.Trainer, score: Tensor, best: Tensor | None, mode: str) -> bool:
    """Whether a score is the best so far; rank 0 decides."""
    better = not torch.isnan(score) and (
        best is None or bool(score < best if mode == "min" else score > best)
    )
    return bool(trainer.strategy.broadcast(better))


def check_logged(who: str, monitor: str | None, metrics: Iterable[str]) -> None:
    """Check that the metric to monitor is among those that were logged.

    Raises:
        ArgumentError: it is not.
    """
    known = list(metrics)
    if monitor is not None and monitor not in known:
        raise ArgumentError(
            f"{who}: monitor must be a logged metric, got {monitor!r}{hint(monitor, known)} Known: "
            f"{', '.join(known) or 'none'}"
        )


def ends_epoch(trainer: pl.Trainer) -> bool:
    """Whether the present batch is the last one of the epoch."""
    loop = trainer.fit_loop.epoch_loop
    return bool(loop._num_ready_batches_reached() or loop._is_training_done)


def more_follows(trainer: pl.Trainer) -> bool:
    """Whether validation or the end of the epoch comes before the next batch.

    Lightning does not repeat these after a restart, so a checkpoint waits for them.
    """
    fetcher = trainer.fit_loop._data_fetcher
    validates = fetcher is not None and trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)
    return validates or ends_epoch(trainer)


def begin_next_epoch(trainer: pl.Trainer) -> None:
    """Begin the next epoch if training resumes from the end of one; call it in `on_train_start`.

    With `Trainer(max_steps=...)`, Lightning would end the epoch a second time: it would train for
    fewer epochs than `max_epochs`, and log the following steps under other numbers.
    """
    loop = trainer.fit_loop
    if loop.restarted_on_epoch_end:
        loop.epoch_progress.increment_completed()
        for part in (loop, loop.epoch_loop, loop.epoch_loop.val_loop):
            part._restarting = False
            part.reset_restart_stage()


def end_restart(trainer: pl.Trainer) -> None:
    """End a restart after its first batch, or schedulers are skipped at the end of the epoch."""
    # The setter without an underscore would make the loops inside restart again.
    trainer.fit_loop._restarting = False


class _Holding:
    """Part of Lightning's signal connector that hides a SIGTERM while it is held back."""

    held = arrived = False

    @property
    def received_sigterm(self) -> bool:
        return self.arrived and not self.held

    @received_sigterm.setter
    def received_sigterm(self, value: bool) -> None:
        self.arrived = value


def hold_sigterm(trainer: pl.Trainer, hold: bool) -> None:
    """Hold back a SIGTERM, or let it end training at the next opportunity.

    Lightning would end training in the middle of validation, before the end of an epoch, or with
    gradients of some batches of a step, and not repeat what is missing after a restart.
    """
    connector: Any = trainer._signal_connector
    if not isinstance(connector, _Holding):
        arrived = vars(connector).pop("received_sigterm")
        connector.__class__ = type("SignalConnector", (_Holding, type(connector)), {})
        connector.arrived = arrived
    connector.held = hold


def steps_due(trainer: pl.Trainer, interval: str) -> list[tuple[int, Tensor]]:
    """Return the `ReduceLROnPlateau` schedulers that are about to be updated, with their metric.

    Lightning calls the hooks in which checkpoints are saved before it updates these schedulers,
    and does not update them after a restart.

    Args:
        trainer: in `on_train_batch_end` or `on_train_epoch_end`.
        interval: `"step"` or `"epoch"`, respectively.
    """
    if not trainer.lightning_module.automatic_optimization:
        return []
    at = trainer.current_epoch if interval == "epoch" else trainer.fit_loop.epoch_loop.batch_idx
    metrics = trainer.callback_metrics
    return [
        (index, metrics[config.monitor].detach().cpu().clone())
        for index, config in enumerate(trainer.lr_scheduler_configs)
        if config.reduce_on_plateau
        and config.interval == interval
        and config.monitor in metrics
        and (at + 1) % config.frequency == 0
    ]


def take_steps(trainer: pl.Trainer, steps: list[tuple[int, Tensor]]) -> None:
    """Update the schedulers as Lightning did after the checkpoint."""
    for index, metric in steps:
        if index < len(trainer.lr_scheduler_configs):
            scheduler = trainer.lr_scheduler_configs[index].scheduler
            trainer.lightning_module.lr_scheduler_step(scheduler, metric)
