"""Families' tasks by Adam on each support set, from random parameters or from pre-trained ones."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.adam import adam_on_support
from benchmarks.few_shot.methods.families import FamilyMethod
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, train
from l2l_rnn.data import TaskBatch


class AdamFromRandom(FamilyMethod):
    """Trains a network of random parameters on each support set with Adam.

    Args:
        kind, network, steps: as in `FamilyMethod`.
        lrs: Adam's step sizes to choose from, by validation tasks.
        validation_tasks: how many of those.
    """

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        lrs: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
        validation_tasks: int = 50,
        **family: Any,
    ) -> None:
        super().__init__(problem, label, **family)
        self.lrs, self.validation_tasks = lrs, validation_tasks
        self.lr = lrs[0]

    def fit(self) -> History | None:
        history = self.prepare()
        self.choose_rate(self.validation_tasks)
        return history

    def choose_rate(self, tasks: int) -> float:
        """Take the step size with the least validation error, and return that error."""
        errors = {}
        for lr in self.lrs:
            self.lr = lr
            errors[lr] = self.validation_error(tasks)
        self.lr = min(errors, key=errors.__getitem__)
        return errors[self.lr]

    def prepare(self) -> History | None:
        """Make `self.start`, the network that every task starts from."""
        self.start = self.network()
        return None

    def adapted(self, batch: TaskBatch) -> Tensor:
        return adam_on_support(self.start, batch, self.steps, self.lr, self.family.loss)

    def details(self) -> dict[str, Any]:
        return {"lr": self.lr}


class AdamFromPretrained(AdamFromRandom):
    """Pre-trains a network on many training tasks at once, with a head for each, then fine-tunes.

    The tasks differ in their answers alone, so that one network for all of them, without a head
    each, could learn nothing: with the heads, the encoder learns what answers are made of. A new
    head starts as the mean of theirs.

    Args:
        kind, network, steps, lrs, validation_tasks: as in `AdamFromRandom`.
        training: the pre-training; its tasks are those of a step.
        heads: how many training tasks there are.
    """

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        training: Training,
        heads: int = 64,
        **scratch: Any,
    ) -> None:
        super().__init__(problem, label, **scratch)
        self.training, self.heads = training, heads

    def prepare(self) -> History:
        size = self.family.output_size
        shared = self.network(self.heads * size)
        self.start = self.network()
        parameters = self.family.parameters(self.heads)

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            lesson = self.problem.lesson(self.kind, step, progress)
            family = lesson.family("train")
            which = torch.randperm(self.heads)[: self.training.tasks]
            x, y = family.examples(parameters[which], lesson.shots + lesson.queries)
            x, y = x.to(self.problem.device), y.to(self.problem.device)
            outputs = shared(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # (tasks, B, heads * size)
            own = outputs.unflatten(-1, (self.heads, size))[torch.arange(len(which)), :, which]
            return family.loss(own, y).mean(), family.error(own.detach(), y).mean()

        def validate() -> float:
            self.start.encoder = copy.deepcopy(shared.encoder)
            with torch.no_grad():
                for name, parameter in self.start.head.named_parameters():
                    given = shared.head.get_parameter(name).unflatten(0, (self.heads, size))
                    parameter.copy_(given.mean(0))
            return self.choose_rate(self.training.validation_tasks)

        history = train(
            shared,
            self.training,
            loss_of_step,
            validate,
            label=self.label,
            tasks_per_step=self.training.tasks,
            lower_is_better=True,
        )
        validate()  # takes over the best parameters
        return history
