"""Problems with tasks drawn from task families."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.few_shot.columns import Column
from benchmarks.few_shot.problems.problem import Problem, TrainingTasks, generator_of
from benchmarks.few_shot.spec import FamilySpec, FamilyTasks, Training
from l2l_rnn.data import TaskBatch


class FamilyTrainingTasks(TrainingTasks):
    """Endless batches of training tasks of one kind, along its curriculum.

    Args:
        problem: the problem.
        kind: the kind of tasks.
        training: the number of tasks per batch.
        seed: random seed of the tasks.
    """

    def __init__(self, problem: FamilyProblem, kind: str, training: Training, seed: int) -> None:
        super().__init__(training.tasks, seed, problem.device)
        self.problem, self.kind = problem, kind

    def batch(self, step: int, progress: float) -> TaskBatch:
        """Draw the batch of a training step."""
        tasks = self.problem.curriculum(self.kind, step, progress)
        family = tasks.family("train")
        return self.draw(family, family.classes or 1, tasks.shots, tasks.queries)


class FamilyProblem(Problem):
    """The families of a spec.

    Args:
        spec: the experiment.
        seed: random seed of all tasks.
        device: device of the tensors.
        test_tasks: number of test tasks.
    """

    spec: FamilySpec

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.spec.columns

    def description(self) -> dict[str, Any]:
        return {
            name: {
                column.name: {
                    "family": repr(tasks.family("test")),
                    "shots": tasks.shots,
                    "queries": tasks.queries,
                }
                for column in self.columns
                for tasks in [kind.tasks(column)]
            }
            for name, kind in self.spec.kinds.items()
        }

    def curriculum(self, kind: str, step: int, progress: float) -> FamilyTasks:
        """Return the tasks of a training step, given its number and the progress (0 to 1)."""
        generator = random.Random(f"{self.seed} {kind} {step}")
        return self.spec.kinds[kind].curriculum(progress, generator)

    def training_tasks(self, kind: str, training: Training, seed: int) -> FamilyTrainingTasks:
        """Start a stream of training tasks."""
        return FamilyTrainingTasks(self, kind, training, seed)

    def evaluation_tasks(self, kind: str, column: Column, split: str, tasks: int) -> TaskBatch:
        """Return tasks of a kind and a split, the same in every call."""
        asked = self.spec.kinds[kind].tasks(column)
        generator = generator_of(self.seed, kind, column.name, split)
        family = asked.family(split)
        return family.draw(tasks, asked.shots, asked.queries, generator).to(self.device)
