"""The tasks of an experiment whose tasks are drawn from families."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import torch
from torch import Generator

from benchmarks.few_shot.spec import Column, FamilySpec
from l2l_rnn.data import TaskBatch


class FamilyProblem:
    """A spec's families, with a seed.

    Args:
        spec: the experiment.
        seed: fixes the test tasks and, with `seed_everything`, all else.
        device: where tensors go.
        test_tasks: how many meta-test tasks.
    """

    chance: float | None = None

    def __init__(self, spec: FamilySpec, seed: int, device: torch.device, test_tasks: int) -> None:
        self.spec, self.seed, self.device, self.test_tasks = spec, seed, device, test_tasks

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns of the table are called; every kind has the same ones."""
        return tuple(next(iter(self.spec.kinds.values())).columns)

    def data(self) -> dict[str, Any]:
        """What a result says of the data."""
        return {
            name: {
                column: {
                    "family": repr(asked.family("test")),
                    "shots": asked.shots,
                    "queries": asked.queries,
                }
                for column, asked in kind.columns.items()
            }
            for name, kind in self.spec.kinds.items()
        }

    def draw(self, column: Column, mode: str, tasks: int, seed: int | None = None) -> TaskBatch:
        """Draw tasks of a column: always the same for a seed, new ones for None."""
        generator = None
        if seed is not None:
            generator = Generator().manual_seed(seed)
        family = column.family(mode)
        return self._placed(family.draw(tasks, column.shots, column.queries, generator))

    def judged(self, kind: str, column: str, mode: str, tasks: int) -> TaskBatch:
        """The tasks that every method is judged on, the same ones at each call."""
        # A seed of its own for each split; Python's hash of a string changes between runs.
        seed = random.Random(f"{self.seed} {kind} {column} {mode}").getrandbits(48)
        return self.draw(self.spec.kinds[kind].columns[column], mode, tasks, seed)

    def lesson(self, kind: str, step: int, progress: float) -> Column:
        """What a training step is about, from its number and how much of the training is over."""
        chance = random.Random(f"{self.seed} {kind} {step}")
        return self.spec.kinds[kind].lesson(progress, chance)

    def _placed(self, batch: TaskBatch) -> TaskBatch:
        return TaskBatch(
            *(getattr(batch, f.name).to(self.device) for f in dataclasses.fields(TaskBatch))
        )
