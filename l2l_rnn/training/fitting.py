"""One call that trains, saves and resumes."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from l2l_rnn.errors import ArgumentError
from l2l_rnn.optional import require
from l2l_rnn.training.checkpoints import Checkpoints, RandomStates, SafeCheckpointIO, latest_good
from l2l_rnn.training.checkpoints.container import verify_checkpoint
from l2l_rnn.training.distributed import join_restarted_group
from l2l_rnn.training.learning.problems import Problems
from l2l_rnn.training.learning.trainer_options import made_trainer
from l2l_rnn.training.meta_learning import MetaLearning
from l2l_rnn.training.requeue import RequeueBetweenBatches
from l2l_rnn.training.task_data import TaskData

require("pytorch_lightning", extra="training", purpose="l2l_rnn.training.fit")

import pytorch_lightning as pl  # noqa: E402  # require explains a failure
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment  # noqa: E402
from pytorch_lightning.plugins.io import CheckpointIO  # noqa: E402
from pytorch_lightning.strategies import DDPStrategy  # noqa: E402
from pytorch_lightning.utilities.exceptions import SIGTERMException  # noqa: E402

# What meta-learning needs from a Trainer. TaskData shares out tasks itself, and learners adapt in
# validation, which needs gradients.
_OPTIONS = {"use_distributed_sampler": False, "inference_mode": False}


_LIGHTNING_MESSAGES = logging.getLogger("pytorch_lightning.utilities.rank_zero")


def make_trainer(
    folder: str | os.PathLike[str] | None = None,
    *,
    monitor: str | None = "val_loss",
    mode: str = "min",
    every_n_steps: int | None = None,
    every_minutes: float | None = 10.0,
    overwrite: bool = False,
    callbacks: Sequence[pl.Callback] = (),
    plugins: Sequence[Any] = (),
    **options: Any,
) -> pl.Trainer:
    """Return a Lightning Trainer for meta-learning, whose checkpoints resume exactly.

    It is `pytorch_lightning.Trainer(use_distributed_sampler=False, inference_mode=False)` with
    `SafeCheckpointIO`, `Checkpoints` and `RequeueBetweenBatches`.

    Args:
        folder: folder of checkpoints and logs; None saves none.
        monitor, mode, every_n_steps, every_minutes, overwrite: as in `Checkpoints`.
        callbacks: more callbacks.
        plugins: more plugins.
        options: options of Lightning's `Trainer`, such as `max_steps=1000`, `max_time="00:08:00"`,
            `devices=2`, `precision="bf16-mixed"` and `gradient_clip_val=1.0`. Here,
            `enable_progress_bar` is True only in a terminal, and `log_every_n_steps` is 10.

    Raises:
        ArgumentError: options are invalid, or are those that meta-learning sets; the message names
            all of them.

    Example:
        >>> trainer = make_trainer(max_steps=10, logger=False, enable_progress_bar=False)
        >>> trainer.max_steps
        10
    """
    problems = Problems("make_trainer")
    for name, value in _OPTIONS.items():
        if options.setdefault(name, value) is not value:
            problems.add(f"{name} must be {value}, got {options[name]!r}; leave it out")
    if monitor == "val_loss" and options.get("limit_val_batches") == 0:
        monitor = None  # the default, but nothing is validated
    options.setdefault("enable_progress_bar", sys.stderr.isatty())  # a bar would fill a log file
    options.setdefault("log_every_n_steps", 10)
    _LIGHTNING_MESSAGES.addFilter(_is_no_tip)
    own: list[pl.Callback] = [RequeueBetweenBatches()]
    # Without it, a path that is given to Trainer.fit would be unpickled.
    has_io = any(isinstance(plugin, CheckpointIO) for plugin in _listed(plugins))
    io = [] if has_io else [SafeCheckpointIO()]
    if folder is None:
        own.append(RandomStates())
        options.setdefault("enable_checkpointing", False)
    else:
        folder = Path(folder).expanduser()
        saving = {"mode": mode, "every_n_steps": every_n_steps, "every_minutes": every_minutes}
        for name, given in saving.items():
            with problems.collected():
                Checkpoints(folder, **{name: given})  # type: ignore[arg-type]
        if not problems.found:
            own.append(Checkpoints(folder, monitor=monitor, overwrite=overwrite, **saving))  # type: ignore[arg-type]
        options.setdefault("default_root_dir", folder)
    parts = {"callbacks": [*_listed(callbacks), *own], "plugins": [*_listed(plugins), *io]}
    return made_trainer(problems, options, **parts)


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def _is_no_tip(record: logging.LogRecord) -> bool:
    """Return whether a message is no advertisement of another package."""
    return "Tip: For seamless" not in record.getMessage()


def fit(
    module: nn.Module,
    data: Any,
    *,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = True,
    load_best: bool = True,
    **options: Any,
) -> pl.Trainer:
    """Train a learner, and resume if the folder holds an unfinished training.

    Start the same script again after an interruption: training continues from the newest good
    checkpoint, exactly where it was. Under `torchrun --max-restarts` and in a requeued SLURM job
    this happens by itself.

    Args:
        module: a `MetaLearning`, or a learner to train with its defaults.
        data: a `TaskData`, or anything else that Lightning takes.
        folder: folder of checkpoints and logs; None saves none.
        resume: whether to continue from a checkpoint in the folder. If not, and there is one, an
            error is raised, unless `overwrite=True`.
        load_best: whether to load the weights of the best checkpoint at the end. They belong to the
            lowest `val_loss`; without validation, the last weights stay.
        options: options of `make_trainer`, and so of Lightning's `Trainer`.

    Returns:
        the Trainer. Its `callback_metrics` are the last logged values.

    Raises:
        ArgumentError: settings are invalid, or differ from those of the checkpoint.
        ArgumentTypeError: `module` is not a learner.
        AdaptationError: a loss or gradient is not finite.
        CheckpointError: a checkpoint cannot be written, for example because the disk is full.
        SystemExit: SIGTERM came. The last step is saved, and the status is 143.

    Example:
        >>> from l2l_rnn.algorithms import ProtoNet
        >>> from l2l_rnn.models import SequenceEncoder
        >>> from l2l_rnn.tasksets import get_tasksets
        >>> from l2l_rnn.training import TaskData
        >>> tasksets = get_tasksets("languages", train_samples=6)
        >>> encoder = SequenceEncoder(vocab_size=tasksets.vocab_size, hidden_size=8)
        >>> data = TaskData(tasksets, tasks=4, shots=1, batches_per_epoch=2, validation_tasks=4)
        >>> quiet = dict(logger=False, enable_progress_bar=False, enable_model_summary=False)
        >>> trainer = fit(ProtoNet(encoder, ways=5), data, max_steps=2, **quiet)
        >>> sorted(trainer.callback_metrics)
        ['train_loss', 'train_score', 'val_loss', 'val_score']
    """
    if not isinstance(module, pl.LightningModule):
        module = MetaLearning(module)
    if isinstance(data, TaskData) and data.tasksets["validation"] is None:
        options["limit_val_batches"] = 0
    if options.get("limit_val_batches") == 0:
        options.setdefault("monitor", None)
    trainer = make_trainer(folder, **options)
    path = None
    if folder is not None and resume:
        path = newest_checkpoint(folder)
    strategy = trainer.strategy
    if isinstance(strategy, DDPStrategy):
        join_restarted_group(strategy._get_process_group_backend(), strategy._timeout)
    try:
        trainer.fit(module, data, ckpt_path=path)
    except SIGTERMException as error:  # Lightning's has the status 0, like a finished training
        raise SIGTERMException(128 + signal.SIGTERM) from error
    if folder is not None and load_best:
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if best and Path(best).is_file():
            module.load_state_dict(SafeCheckpointIO().load_checkpoint(best)["state_dict"])
    return trainer


def newest_checkpoint(folder: str | os.PathLike[str]) -> Path | None:
    """Return the newest good checkpoint of a folder, also one that a SLURM requeue has saved."""
    folder = Path(folder).expanduser()
    found = latest_good(folder)
    if not SLURMEnvironment.detect():
        return found
    saved = sorted(folder.glob("hpc_ckpt_*.ckpt"), key=lambda path: path.stat().st_mtime)
    for path in reversed(saved):
        if found is not None and path.stat().st_mtime < found.stat().st_mtime:
            break
        try:
            verify_checkpoint("fit", path)
        except ArgumentError:
            continue
        return path
    return found
