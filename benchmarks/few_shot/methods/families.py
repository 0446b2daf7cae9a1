"""Methods for tasks of families: what they share, and learners that take gradient steps.

`family_adam.py` has those that start from scratch or from a pre-trained network, with as many steps
on a task's support set; `family_memory.py` has the one that takes none.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, train
from l2l_rnn.algorithms import MAML, MAMLPlusPlus, MetaSGD
from l2l_rnn.analysis import gradient_flow
from l2l_rnn.data import TaskBatch
from l2l_rnn.models import SequenceEncoder
from l2l_rnn.nn import Linear


class Network(nn.Module):
    """A linear head on a recurrent encoder or, where inputs have no steps, on two relu layers.

    Args:
        input_size: features of a step, or of an input.
        outputs: values it gives out.
        hidden_size: hidden units.
        cell: the encoder's cell; None for inputs without steps.
    """

    task_axis: ClassVar[bool] = True

    def __init__(
        self, input_size: int, outputs: int, *, hidden_size: int, cell: str | None
    ) -> None:
        super().__init__()
        self.encoder: nn.Module
        if cell is None:
            self.encoder = nn.Sequential(
                Linear(input_size, hidden_size),
                nn.ReLU(),
                Linear(hidden_size, hidden_size),
                nn.ReLU(),
            )
        else:
            self.encoder = SequenceEncoder(
                input_size=input_size, hidden_size=hidden_size, cell=cell
            )
        self.head = Linear(hidden_size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


class FamilyMethod(Method):
    """Adapts a network to tasks of one kind.

    Args:
        kind: which of the spec's kinds of tasks.
        network: options of `Network`.
        steps: gradient steps on a support set.
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
        self.columns = problem.spec.kinds[kind].columns
        self.family = self.columns[problem.columns[0]].family("train")

    def network(self, outputs: int | None = None) -> Network:
        """Make a network of random parameters, for the family's answers or other outputs."""
        size = self.family.output_size if outputs is None else outputs
        return Network(self.family.input_size, size, **self.options).to(self.problem.device)

    @abstractmethod
    def adapted(self, batch: TaskBatch) -> Tensor:
        """Adapt to the support sets and answer the query: `(N, B, output_size)`."""

    def scores(self, column: str) -> Tensor:
        return self._errors(column, "test", self.problem.test_tasks)

    def validation_error(self, tasks: int) -> float:
        """Mean error on validation tasks, averaged over the columns."""
        means = [self._errors(c, "validation", tasks).mean() for c in self.problem.columns]
        return torch.stack(means).mean().item()

    def _errors(self, column: str, mode: str, tasks: int) -> Tensor:
        batch = self.problem.judged(self.kind, column, mode, tasks)
        parts = [
            self.family.error(self.adapted(part).detach(), part.query_y).cpu()
            for part in batch.chunks(self.chunk)
        ]
        return torch.cat(parts)

    def flow(self, module: nn.Module) -> list[float]:
        """How far back the gradient reaches in the last column's tasks, the longest."""
        batch = self.problem.judged(self.kind, self.problem.columns[-1], "validation", 1)
        return gradient_flow(module, batch.query_x[0]).tolist()


class MetaTrained(FamilyMethod):
    """Meta-trains a learner on batches of the kind's tasks; `batch_loss` says of what.

    Attributes:
        learner: what is trained, from `begin` on.
    """

    learner: Any

    def begin(self, learner: Any, training: Training, network: nn.Module) -> None:
        """Take the learner and its meta-training; the network's gradient flow is told."""
        self.learner, self.training = learner, training
        self.flowing = network if self.options["cell"] is not None else None
        self.flow_before = self.flow(network) if self.flowing is not None else []

    @abstractmethod
    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        """Compute the loss of a batch of tasks, and the query's outputs."""

    def fit(self) -> History:
        return train(
            self.learner,
            self.training,
            self._loss,
            lambda: self.validation_error(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
            lower_is_better=True,
        )

    def _loss(self, step: int, progress: float) -> tuple[Tensor, Tensor]:
        lesson = self.problem.lesson(self.kind, step, progress)
        batch = self.problem.draw(lesson, "train", self.training.tasks)
        loss, outputs = self.batch_loss(batch, progress)
        return loss, self.family.error(outputs.detach(), batch.query_y).mean()

    def details(self) -> dict[str, Any]:
        if self.flowing is None:
            return {}
        return {"gradient_flow": {"before": self.flow_before, "after": self.flow(self.flowing)}}


class MetaLearned(MetaTrained):
    """Meta-learns where gradient steps start and, if the learner does, how long they are.

    Args:
        kind, network, steps: as in `FamilyMethod`.
        learner: `"MAML"`, `"MetaSGD"` or `"MAMLPlusPlus"`.
        lr: step size of the inner loop, at its start where it is learned.
        training: the meta-training.
        max_grad_norm: longest inner gradient; None for no bound.
        first_order: whether to leave out the second derivative.
    """

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        learner: str,
        lr: float,
        training: Training,
        max_grad_norm: float | None = None,
        first_order: bool = False,
        **family: Any,
    ) -> None:
        super().__init__(problem, label, **family)
        network = self.network()
        options = {"first_order": first_order, "max_grad_norm": max_grad_norm}
        makers: dict[str, Callable[[], MAML]] = {
            "MAML": lambda: MAML(network, lr, **options),
            "MetaSGD": lambda: MetaSGD(network, lr, **options),
            "MAMLPlusPlus": lambda: MAMLPlusPlus(network, lr, self.steps, **options),
        }
        self.begin(makers[learner](), training, network)

    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        weights = torch.zeros(self.steps)
        weights[-1] = 1
        if isinstance(self.learner, MAMLPlusPlus):  # a loss at every step, then the last alone
            weights = self.learner.step_weights(min(1.0, 2 * progress))
        learner = self.learner.clone(tasks=len(batch))
        loss = torch.zeros((), device=self.problem.device)
        for weight in weights.tolist():
            learner.adapt(self.family.loss(learner(batch.support_x), batch.support_y))
            if weight:
                outputs = learner(batch.query_x)
                loss = loss + weight * self.family.loss(outputs, batch.query_y).mean()
        return loss, outputs

    def adapted(self, batch: TaskBatch) -> Tensor:
        learner = self.learner.clone(tasks=len(batch), first_order=True)
        for _ in range(self.steps):
            learner.adapt(self.family.loss(learner(batch.support_x), batch.support_y))
        with torch.no_grad():
            return learner(batch.query_x)
