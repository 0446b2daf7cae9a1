"""Base classes of the methods for task families."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.few_shot.columns import Column
from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.analysis import gradient_flow
from l2l_rnn.data import TaskBatch
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.nn import Linear


class Sine(nn.Module):
    """Element-wise sine."""

    task_axis: ClassVar[bool] = True

    def forward(self, x: Tensor) -> Tensor:
        return x.sin()


class Network(nn.Module):
    """Linear head on a recurrent encoder or, for inputs without steps, on one or two layers.

    Args:
        input_size: features of a step, or of an input without steps.
        output_size: number of outputs.
        hidden_size: hidden units.
        cell: the encoder's cell; None for inputs without steps.
        frequency: for inputs without steps, the largest initial frequency of a first layer of sine
            units; None for ReLU units.
        layers: for inputs without steps, the number of layers, 1 or 2.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        hidden_size: int,
        cell: str | None,
        frequency: float | None = None,
        layers: int = 2,
    ) -> None:
        super().__init__()
        self.encoder: nn.Module
        if cell is None:
            first = Linear(input_size, hidden_size)
            if frequency is not None:
                nn.init.uniform_(first.weight, -frequency, frequency)
                nn.init.uniform_(first.bias, -math.pi, math.pi)
            second = [Linear(hidden_size, hidden_size), nn.ReLU()] if layers == 2 else []
            self.encoder = nn.Sequential(first, nn.ReLU() if frequency is None else Sine(), *second)
        else:
            self.encoder = SequenceEncoder(
                input_size=input_size, hidden_size=hidden_size, cell=cell
            )
        self.head = Linear(hidden_size, output_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


class FamilyMethod(Method):
    """Adapts a network to tasks of one kind.

    Args:
        kind: one of the spec's kinds of tasks.
        network: options of `Network`.
        steps: gradient steps per task.
    """

    chunk = 100
    problem: FamilyProblem

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        kind: str,
        network: dict[str, Any],
        steps: int,
    ) -> None:
        super().__init__(problem, label)
        self.kind, self.options, self.steps = kind, network, steps
        tasks = problem.spec.kinds[kind].tasks(problem.columns[0])
        self.family = tasks.family("train")

    def network(self, output_size: int | None = None) -> Network:
        """Make a randomly initialized network, by default with the family's output size."""
        size = self.family.output_size if output_size is None else output_size
        return Network(self.family.input_size, size, **self.options).to(self.problem.device)

    @abstractmethod
    def predict(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets and compute outputs on the queries, `(N, B, output_size)`."""

    def evaluate(self, column: Column) -> Tensor:
        return self.errors(column, "test", self.problem.test_tasks)

    def validation_score(self, tasks: int) -> float:
        """Return the mean error on validation tasks, averaged over the columns."""
        means = [self.errors(c, "validation", tasks).mean() for c in self.problem.columns]
        return torch.stack(means).mean().item()

    def errors(self, column: Column, split: str, tasks: int) -> Tensor:
        """Compute the error on each evaluation task, `(N,)`."""
        batch = self.problem.evaluation_tasks(self.kind, column, split, tasks)
        parts = [
            self.family.error(self.predict(part).detach(), part.query_y).cpu()
            for part in batch.chunks(self.chunk)
        ]
        return torch.cat(parts)

    def flow(self, module: nn.Module) -> list[float]:
        """Compute the gradient norm at each step back, on a validation task of the last column."""
        column = self.problem.columns[-1]
        batch = self.problem.evaluation_tasks(self.kind, column, "validation", 1)
        return gradient_flow(module, batch.query_x[0]).tolist()


class MetaTrainedMethod(FamilyMethod):
    """Meta-trains a learner on batches of tasks, with the loss computed by `batch_loss`.

    Attributes:
        learner: the learner, set by `prepare`.
    """

    learner: Any

    def prepare(self, learner: Any, training: Training, network: nn.Module) -> None:
        """Set the learner and its meta-training; gradient flow is measured on `network`."""
        self.learner, self.training = learner, training
        self.recurrent = network if self.options["cell"] is not None else None
        self.flow_before = self.flow(network) if self.recurrent is not None else []

    @abstractmethod
    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch of tasks and the outputs on its queries."""

    def train(self) -> History:
        tasks = self.problem.training_tasks(self.kind, self.training, self.problem.seed)

        def loss_of_step(step: int, progress: float) -> tuple[Tensor, Tensor]:
            batch = tasks.batch(step, progress)
            loss, outputs = self.batch_loss(batch, progress)
            return loss, self.family.error(outputs.detach(), batch.query_y).mean()

        return run_training(
            self.learner,
            self.training,
            loss_of_step,
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
            lower_is_better=True,
        )

    def details(self) -> dict[str, Any]:
        if self.recurrent is None:
            return {}
        return {"gradient_flow": {"before": self.flow_before, "after": self.flow(self.recurrent)}}
