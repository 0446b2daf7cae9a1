"""Baselines for task families: Adam on each support set, from random or pre-trained parameters."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.adam import adam_on_support
from benchmarks.few_shot.methods.families.family_method import FamilyMethod
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.data import TaskBatch


class FamilyFromScratch(FamilyMethod):
    """Trains a randomly initialized network on each support set with Adam.

    Args:
        kind, network, steps: as in `FamilyMethod`.
        lrs: candidate learning rates of Adam; the best one on validation tasks is used.
        validation_tasks: number of validation tasks.
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

    def train(self) -> History | None:
        history = self.prepare()
        self.choose_lr(self.validation_tasks)
        return history

    def choose_lr(self, tasks: int) -> float:
        """Choose the learning rate with the lowest validation error, and return that error."""
        errors = {}
        for lr in self.lrs:
            self.lr = lr
            errors[lr] = self.validation_score(tasks)
        self.lr = min(errors, key=errors.__getitem__)
        return errors[self.lr]

    def prepare(self) -> History | None:
        """Make `self.start`, the initial network of every task."""
        self.start = self.network()
        return None

    def predict(self, batch: TaskBatch) -> Tensor:
        return adam_on_support(self.start, batch, self.steps, self.lr, self.family.loss)

    def details(self) -> dict[str, Any]:
        return {"lr": self.lr}


class FamilyFineTuned(FamilyFromScratch):
    """Pre-trains a network on many training tasks, with a head for each, then fine-tunes it.

    Tasks differ only in their targets, so a single head could not learn anything. With a head for
    each task, the encoder learns features that determine the targets. The head of a new task starts
    as the mean of the trained heads.

    Args:
        kind, network, steps, lrs, validation_tasks: as in `FamilyFromScratch`.
        training: settings of the pre-training; `tasks` is the number of tasks per step.
        heads: number of training tasks.
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
            tasks = self.problem.curriculum(self.kind, step, progress)
            family = tasks.family("train")
            chosen = torch.randperm(self.heads)[: self.training.tasks]
            x, y = family.examples(parameters[chosen], tasks.shots + tasks.queries)
            x, y = x.to(self.problem.device), y.to(self.problem.device)
            outputs = shared(x.flatten(0, 1)).unflatten(0, x.shape[:2])  # (N, B, heads * size)
            by_head = outputs.unflatten(-1, (self.heads, size))
            own = by_head[torch.arange(len(chosen)), :, chosen]  # (N, B, size)
            return family.loss(own, y).mean(), family.error(own.detach(), y).mean()

        def validate() -> float:
            self.start.encoder = copy.deepcopy(shared.encoder)
            with torch.no_grad():
                for name, parameter in self.start.head.named_parameters():
                    trained = shared.head.get_parameter(name).unflatten(0, (self.heads, size))
                    parameter.copy_(trained.mean(0))
            return self.choose_lr(self.training.validation_tasks)

        history = run_training(
            shared,
            self.training,
            loss_of_step,
            validate,
            label=self.label,
            tasks_per_step=self.training.tasks,
            lower_is_better=True,
        )
        validate()  # copies the best parameters to `self.start`
        return history
