"""Resident memory of a training, in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks.speed.training_overhead.steps import (
    QUERIES,
    SHOTS,
    Sizes,
    make_module,
    make_tasksets,
    quiet_trainer,
)
from l2l_rnn.training import TaskData

AROUND = 20  # steps; the median over them leaves out short peaks


class ResidentMemory(pl.Callback):
    """Records the resident memory in bytes after some steps."""

    def __init__(self, steps: tuple[int, ...]) -> None:
        self.steps, self.recent = steps, []
        self.found: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        step = trainer.global_step
        if any(end - AROUND < step <= end for end in self.steps):
            self.recent.append(resident_bytes())
        if step in self.steps:
            self.found.append(statistics.median(self.recent))
            self.recent.clear()


def resident_bytes() -> int:
    """Return the resident memory of this process (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def measure(name: str, steps: tuple[int, ...]) -> dict[str, Any]:
    """Train in another process, and return the resident memory after each of `steps`."""
    module = "benchmarks.speed.training_overhead.memory"
    command = [sys.executable, "-m", module, name, *map(str, steps)]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"learner": name, "steps": list(steps), "bytes": json.loads(run.stdout.splitlines()[-1])}


def main(name: str, *steps: str) -> None:
    """Train, and print the resident memory after each of `steps`."""
    warnings.simplefilter("ignore")
    tasksets, sizes = make_tasksets(), Sizes(name, 8, 32, 2)
    watch = ResidentMemory(tuple(map(int, steps)))
    data = TaskData(tasksets, sizes.tasks, SHOTS, QUERIES)
    trainer = quiet_trainer(max_steps=watch.steps[-1], callbacks=[watch])
    trainer.fit(make_module(sizes, tasksets.vocab_size), data)
    print(json.dumps(watch.found))


if __name__ == "__main__":
    main(*sys.argv[1:])
