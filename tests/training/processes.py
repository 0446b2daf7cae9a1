"""Trainings that `test_distributed` runs in one process and in two.

`python -m torch.distributed.run --nproc-per-node=2 tests/training/processes.py OUT.json [FOLDER]`
"""

import functools
import json
import os
import signal
import sys
import warnings
from pathlib import Path

import pytorch_lightning as pl
import torch

from l2l_rnn.errors import L2LRNNError
from l2l_rnn.tasksets import get_tasksets
from l2l_rnn.training import MetaLearning, TaskData, fit

if __name__ == "__main__":  # the folder of this file is on the path then, and `tests` may not be
    from cases import LEARNERS, QUIET, WAYS
else:
    from tests.training.cases import LEARNERS, QUIET, WAYS

# Learner, tasks per batch, and further options of MetaLearning.
RUNS = {
    "second order": ("MAML", 8, {}),
    "unequal shares": ("MAML", 7, {"tasks_per_slice": 2}),
    "memory": ("memory", 8, {}),
    "unequal shares of memories": ("memory", 7, {}),
    "unused parameters": ("Reptile", 5, {}),
}
STEPS = 30


class Losses(pl.Callback):
    def __init__(self):
        self.losses = []

    def on_train_batch_end(self, trainer, *_):
        self.losses.append(trainer.callback_metrics["train_loss"].item())


def train(name, tasksets, **options):
    """Train in as many processes as `options` say, and return losses and weights."""
    kind, tasks, settings = RUNS[name]
    torch.manual_seed(0)
    learner = LEARNERS[kind](tasksets.vocab_size).double()
    optimizer = functools.partial(torch.optim.Adam, lr=0.01)
    module = MetaLearning(learner, optimizer=optimizer, **settings)
    data = TaskData(tasksets, tasks=tasks, shots=2, batches_per_epoch=10, validation_tasks=5)
    watch = Losses()
    trainer = pl.Trainer(
        **QUIET, max_steps=STEPS, precision="64-true", callbacks=[watch], **options
    )
    trainer.fit(module, data)
    validation = {n: trainer.callback_metrics[n].item() for n in ("val_loss", "val_score")}
    weights = torch.cat([p.detach().flatten() for p in learner.parameters()])
    return {"losses": watch.losses, "weights": weights.tolist(), **validation}


class Poisoned(MetaLearning):
    """Gives the last task of the batch a loss of NaN."""

    def batch_loss(self, batch):
        losses, scores = super().batch_loss(batch)
        last = torch.tensor([torch.equal(x, self.last) for x in batch.query_x])
        return torch.where(last, torch.nan, losses), scores


def poisoned(tasksets, *, skip, **options):
    """Train with a NaN on one rank, and return the error on each rank, or the skipped steps."""
    torch.manual_seed(0)
    module = Poisoned(LEARNERS["MAML"](tasksets.vocab_size), skip_nonfinite=skip)
    data = TaskData(tasksets, tasks=4, shots=2)
    module.last = data.batch(1).query_x[3]
    trainer = pl.Trainer(**QUIET, max_steps=3, limit_val_batches=0, **options)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(module, data)
    except L2LRNNError as error:
        return str(error)
    weights = torch.cat([p.detach().flatten() for p in module.learner.parameters()])
    return [module.skipped_steps, trainer.global_step, weights.tolist()]


class LoseRank(pl.Callback):
    """Kills one of two processes in the middle of the second epoch, once."""

    def on_train_batch_end(self, trainer, *_):
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if first and trainer.global_step == 7 and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def survive(tasksets, folder=None, **options):
    """Train with a checkpoint at each step, and return the weights."""
    torch.manual_seed(0)
    module = MetaLearning(LEARNERS["MAML"](tasksets.vocab_size).double())
    data = TaskData(tasksets, tasks=5, shots=2, batches_per_epoch=5, validation_tasks=4)
    callbacks = [] if folder is None else [LoseRank()]
    options |= {"max_steps": 12, "every_n_steps": 1, "load_best": False, "precision": "64-true"}
    for name in ("accelerator", "logger", "enable_progress_bar", "enable_model_summary"):
        options[name] = QUIET[name]
    fit(module, data, folder=folder, callbacks=callbacks, **options)
    return torch.cat([p.detach().flatten() for p in module.learner.parameters()]).tolist()


def main(out, folder=None):
    warnings.simplefilter("ignore")
    sizes = {f"{split}_{n}": k for split in ("train", "test") for n, k in SIZES.items()}
    tasksets = get_tasksets("languages", **sizes)
    options = {"strategy": "ddp", "devices": 2}
    if folder is not None:
        found = {"weights": survive(tasksets, folder, **options)}
        found["restarts"] = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
        Path(f"{out}.{torch.distributed.get_rank()}").write_text(json.dumps(found))
        return
    found = {name: train(name, tasksets, **options) for name in RUNS}
    found["skipped"] = poisoned(tasksets, skip=True, **options)
    found["error"] = poisoned(tasksets, skip=False, **options)
    trainer = pl.Trainer(**QUIET, max_steps=1, devices=1, strategy="auto")
    try:
        trainer.fit(
            MetaLearning(LEARNERS["MAML"](tasksets.vocab_size)), TaskData(tasksets, shots=2)
        )
    except L2LRNNError as error:
        found["world size"] = str(error)
    rank = torch.distributed.get_rank()
    Path(f"{out}.{rank}").write_text(json.dumps(found))


SIZES = {"ways": WAYS, "samples": 4}

if __name__ == "__main__":
    main(*sys.argv[1:])
