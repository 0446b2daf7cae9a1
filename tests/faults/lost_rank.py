"""A training of several processes, one of which is killed: `torchrun lost_rank.py FOLDER STEP`."""

import json
import os
import signal
import sys
from pathlib import Path

import pytorch_lightning as pl

from benchmarks.faults import problem


class Lost(pl.Callback):
    """Kills the last rank before a step, the first time."""

    def __init__(self, step, marker):
        self.step, self.marker = step, marker

    def on_train_batch_start(self, trainer, *_):
        last = trainer.global_rank == trainer.world_size - 1
        if last and trainer.global_step == self.step and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def main(folder, step):
    problem.prepare()
    folder = Path(folder)
    trainer, module = problem.train(
        folder / "run",
        20,
        epoch=8,
        log=False,
        module=problem.make_module(dropout=0.0),
        callbacks=[Lost(int(step), folder / "killed")],
        devices=2,
        strategy="ddp",
    )
    (history,) = (found for found in trainer.callbacks if isinstance(found, problem.History))
    weights = {name: value.tolist() for name, value in module.state_dict().items()}
    result = {"losses": history.losses, "validations": history.validations, "weights": weights}
    (folder / f"rank{trainer.global_rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
