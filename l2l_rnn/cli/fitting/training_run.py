"""One training run with Lightning, from new or resumed, to the best weights."""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn

from l2l_rnn.cli import signals
from l2l_rnn.cli.fitting.progress import Progress
from l2l_rnn.cli.fitting.run_folder import CHECKPOINTS
from l2l_rnn.cli.fitting.settings import TrainingSettings
from l2l_rnn.cli.fitting.tasks import Tasks
from l2l_rnn.cli.output import log
from l2l_rnn.optional import require
from l2l_rnn.training.checkpoints import SafeCheckpointIO
from l2l_rnn.training.fitting import make_trainer, newest_checkpoint
from l2l_rnn.training.meta_learning import MetaLearning
from l2l_rnn.training.task_data import TaskData

_lightning: Any = require("pytorch_lightning", extra="training", purpose="l2l-rnn fit")
_BEST = "best.ckpt"


def train(
    learner: nn.Module,
    tasks: Tasks,
    settings: TrainingSettings,
    steps: int | None,
    folder: Path,
    *,
    resume: bool,
) -> int:
    """Train a learner in place, and leave the best validated weights in it.

    Args:
        learner: the learner.
        tasks: the tasks.
        settings: the settings of the training.
        steps: steps or writes of adaptation; None for those of the learner.
        folder: the folder of the run.
        resume: continue from the last good checkpoint.

    Returns:
        The number of training steps that were taken, over all processes that continued the run.

    Raises:
        ArgumentError: the checkpoint has other settings.
    """
    family = tasks.family
    scores_errors = tasks.regression
    module = MetaLearning(
        learner,
        loss=None if family is None else family.loss,
        score=family.error if family is not None and tasks.regression else None,
        steps=steps,
        optimizer=functools.partial(torch.optim.Adam, lr=settings.lr),
        scheduler="cosine",
    )
    data = TaskData(
        tasks.tasksets,
        settings.tasks,
        settings.shots,
        settings.queries,
        batches_per_epoch=min(settings.validate_every, settings.steps),
        validation_tasks=settings.validation_tasks,
        test_tasks=settings.test_tasks,
        seed=settings.seed,
    )
    mode = "min" if scores_errors else "max"
    progress = Progress(folder, settings.steps, "error" if scores_errors else "accuracy")
    callbacks: list[Any] = [progress]
    if settings.patience is not None:
        stopping = _lightning.callbacks.EarlyStopping
        callbacks.append(stopping("val_score", patience=settings.patience, mode=mode))
    device = torch.device(settings.device)
    accelerator = {"cuda": "gpu"}.get(device.type, device.type)
    with quiet_lightning():
        trainer = make_trainer(
            folder / CHECKPOINTS,
            monitor="val_score",
            mode=mode,
            every_minutes=2.0,
            callbacks=callbacks,
            accelerator=accelerator,
            devices=1 if device.type == "cpu" else [device.index or 0],
            max_epochs=-1,
            max_steps=settings.steps,
            max_time=None if settings.minutes is None else timedelta(minutes=settings.minutes),
            gradient_clip_val=settings.clip,
            num_sanity_val_steps=0,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        start = newest_checkpoint(folder / CHECKPOINTS) if resume else None
        if resume:
            log("from the beginning" if start is None else f"from the checkpoint {start.name}")
        with signals.deferred(functools.partial(_stop, trainer)):
            trainer.fit(module, data, ckpt_path=None if start is None else str(start))
        best = folder / CHECKPOINTS / _BEST
        score: Any = getattr(trainer.checkpoint_callback, "best_model_score", None)
        validated = progress.history[-1]["step"] if progress.history else -1
        if validated != trainer.global_step:  # the last steps were not a whole epoch
            last = trainer.validate(module, data, verbose=False)[0]["val_score"]
            log(f"step {trainer.global_step}: validation {progress.score} {last:.4g}")
            if score is None or (last < score if scores_errors else last > score):
                best, score = folder / CHECKPOINTS / "last.ckpt", torch.tensor(last)
        weights = SafeCheckpointIO().load_checkpoint(best)["state_dict"]
    module.cpu().load_state_dict(weights)
    log(f"best validation {progress.score} {float(score):.4g}")
    return int(trainer.global_step)


def _stop(trainer: Any, number: int) -> None:
    """Ask a trainer to stop after the step, as it does after SIGTERM, with a checkpoint."""
    log("stopping after this step; a second signal stops at once")
    trainer._signal_connector.received_sigterm = True


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Leave out what Lightning says about its own settings."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for module in ("pytorch_lightning", "lightning_fabric"):
                warnings.filterwarnings("ignore", module=module)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
