"""Cross-validation over persons: a method is trained for each fold and tested on its persons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.closed_form import ClosedFormMethod
from benchmarks.few_shot.methods.maml import MAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.method import ClassificationMethod, Method
from benchmarks.few_shot.methods.persons.online import (
    OnlineMAML,
    OnlineMemory,
    OnlinePopulation,
)
from benchmarks.few_shot.methods.persons.population import PopulationModel
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.methods.series.joined import JoinedSeries
from benchmarks.few_shot.methods.series.neighbors import MeanSeries, NearestSeries
from benchmarks.few_shot.methods.series.rocket import RocketRidge
from benchmarks.few_shot.problems.persons_problem import PersonsProblem, persons_of
from benchmarks.few_shot.saving import pretrained
from benchmarks.few_shot.shared_trainings import fold_key
from benchmarks.few_shot.spec import Entry, Training
from benchmarks.few_shot.training import History, combined
from l2l_rnn.data import TaskBatch
from l2l_rnn.training import Pretrained

METHODS: dict[str, type[ClassificationMethod]] = {
    method.__name__: method
    for method in (
        ClosedFormMethod,
        JoinedSeries,
        MAMLMethod,
        MeanSeries,
        MemoryMethod,
        NearestSeries,
        OnlineMAML,
        OnlineMemory,
        OnlinePopulation,
        PopulationModel,
        ProtoNetMethod,
        RocketRidge,
    )
}


class Rotated(Method):
    """Trains and evaluates a method for each fold. A score is the mean accuracy of a person.

    So intervals are over persons.

    Args:
        method: name of the method, one of `METHODS`.
        options: its options.
        folds: the folds.
        windows: most support examples of each class, the first ones; None uses all.
    """

    def __init__(
        self,
        problem: PersonsProblem,
        label: str,
        *,
        method: str,
        options: dict[str, Any] | None = None,
        folds: tuple[int, ...] = (0, 1, 2, 3, 4),
        windows: int | None = None,
    ) -> None:
        super().__init__(problem, label)
        self.windows = windows
        tasks = max(1, problem.test_tasks // len(folds))
        self.methods = [
            METHODS[method](
                problem.fold(number, tasks), f"{label}, fold {number}", **(options or {})
            )
            for number in folds
        ]

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        found = METHODS[options["method"]].trainings(options.get("options") or {})
        folds = options.get("folds", (0, 1, 2, 3, 4))
        return {fold_key(n, key): training for n in folds for key, training in found.items()}

    @classmethod
    def saves(cls, options: dict[str, Any]) -> bool:
        return METHODS[options["method"]].has_learner

    def pretrained(self, entry: Entry, row: dict[str, Any], form: str) -> Pretrained:
        """Return the model of the last fold, with the results of all folds."""
        method = self.methods[-1]
        tested = " and ".join(name.split()[-1] for name in method.problem.test.grouped.group_names)
        note = (
            " The results are from a cross-validation over persons. The saved model is from one "
            f"fold, whose training did not use persons {tested}."
        )
        return pretrained(method, entry, row, form, note)

    def train(self) -> History | None:
        histories = []
        for method in self.methods:
            history = method.train()
            method.trained, method.saved_seconds = True, 0.0
            histories += [] if history is None else [history]
        return combined(histories) if histories else None

    def evaluate(self, column: Any) -> Tensor:
        scores = []
        for method in self.methods:
            problem = method.problem
            # A point of a curve has fewer tasks, which are those of all folds together.
            count = getattr(column, "tasks", self.problem.test_tasks) // len(self.methods)
            count = max(1, count if self.most_tasks is None else min(count, self.most_tasks))
            tasks = problem.evaluation_tasks("test", column, count)
            if self.windows is not None:
                tasks = replace(tasks, index=_first(tasks.index, problem.spec.ways, self.windows))
            found = method.accuracies(tasks).double()
            persons = persons_of(problem, tasks.index.support_x)
            scores += [found[persons == person].mean() for person in persons.unique()]
        return torch.stack(scores)


def _first(index: TaskBatch, ways: int, shots: int) -> TaskBatch:
    """Return tasks with the first support examples of each class."""
    x, y = (
        part.unflatten(1, (ways, -1))[:, :, :shots].flatten(1, 2)
        for part in (index.support_x, index.support_y)
    )
    return TaskBatch(x, y, index.query_x, index.query_y)
