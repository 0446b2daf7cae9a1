"""A training with every kind of state, for a process that may be killed at any time.

`python -m benchmarks.faults.problem FOLDER` trains, and resumes if the folder holds a training.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from l2l_rnn.algorithms import MAML
from l2l_rnn.models import SequenceClassifier
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import MetaLearning, TaskData, fit

WAYS, SHOTS, TASKS = 3, 2, 4
EVERY = 5  # steps between two checkpoints
STEPS_LOG = "steps.log"  # in the folder: one line for each step, those of killed processes included
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class History(pl.Callback):
    """All losses of a training, which its checkpoints hold.

    Args:
        file: a file to which the number of each step is added at once; None for none.
    """

    def __init__(self, file: Path | None = None) -> None:
        self.losses: list[float] = []
        self.validations: list[float] = []
        self.file = file

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log where the training begins."""
        self._write(f"from {trainer.global_step}")

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Keep the loss of a step."""
        self.losses.append(trainer.callback_metrics["train_loss"].item())
        self._write(str(trainer.global_step))

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the loss of a validation."""
        if not trainer.sanity_checking:
            self.validations.append(trainer.callback_metrics["val_loss"].item())

    def state_dict(self) -> dict[str, Any]:
        """Return the history; Lightning saves it."""
        return {"losses": self.losses, "validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue a history."""
        self.losses, self.validations = state_dict["losses"], state_dict["validations"]

    def _write(self, text: str) -> None:
        if self.file is not None:
            with self.file.open("a") as log:
                log.write(f"{text}\n")


def make_module(hidden_size: int = 8, dropout: float = 0.1, **options: Any) -> MetaLearning:
    """Return second-order MAML of an LSTM with dropout, with Adam and a cosine; always the same."""
    torch.manual_seed(0)
    tasksets = _tasksets()
    model = SequenceClassifier(
        WAYS,
        vocab_size=tasksets.vocab_size,
        embedding_size=8,
        hidden_size=hidden_size,
        dropout=dropout,
    )
    optimizer = functools.partial(torch.optim.Adam, lr=0.01)
    options = {"optimizer": optimizer, "scheduler": "cosine", "steps": 2, **options}
    return MetaLearning(MAML(model, lr=0.1), **options)


def make_data(**options: Any) -> TaskData:
    """Return tasks of names in different languages, from a stream with batches drawn ahead."""
    return TaskData(
        _tasksets(), **{"tasks": TASKS, "shots": SHOTS, "validation_tasks": 4, **options}
    )


def train(
    folder: str | os.PathLike[str],
    steps: int,
    *,
    epoch: int = 25,
    log: bool = True,
    module: MetaLearning | None = None,
    **options: Any,
) -> tuple[pl.Trainer, MetaLearning]:
    """Train, and resume if the folder holds a training.

    Args:
        folder: folder of the checkpoints; created if missing.
        steps: steps of the whole training.
        epoch: steps between two validations.
        log: whether to log steps to the folder.
        module: the module to train; None makes one.
        options: more options of `fit`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    history = History(folder / STEPS_LOG if log else None)
    module = make_module() if module is None else module
    pl.seed_everything(0, verbose=False)
    options = {"gradient_clip_val": 1.0, "num_sanity_val_steps": 0, **QUIET, **options}
    options["callbacks"] = [history, *options.get("callbacks", ())]
    trainer = fit(
        module,
        make_data(batches_per_epoch=epoch),
        folder=folder,
        every_n_steps=EVERY,
        max_steps=steps,
        load_best=False,
        **options,
    )
    return trainer, module


@functools.cache
def _tasksets() -> Any:
    sizes = {"ways": WAYS, "samples": 2 * SHOTS}
    splits = {
        f"{split}_{name}": size for split in ("train", "test") for name, size in sizes.items()
    }
    return get_tasksets("languages", **splits)


def prepare() -> None:
    """Import and load what every training needs."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    _tasksets()


def main(folder: str, steps: str) -> None:
    """Train in this process, with one thread."""
    prepare()
    train(folder, int(steps))


if __name__ == "__main__":
    main(*sys.argv[1:])
