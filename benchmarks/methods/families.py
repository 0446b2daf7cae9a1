"""Methods for tasks of families: meta-learned learners, transfer, and training from scratch.

All of them take the same number of gradient steps on a task's support set; the one that takes none
is in `family_memory.py`.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.family_problem import FamilyProblem
from benchmarks.methods.adam import adam_on_support
from benchmarks.methods.method import Method
from benchmarks.spec import Training
from benchmarks.training import History, train
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


class MetaLearned(FamilyMethod):
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
        self.training = training
        network = self.network()
        options = {"first_order": first_order, "max_grad_norm": max_grad_norm}
        makers: dict[str, Callable[[], MAML]] = {
            "MAML": lambda: MAML(network, lr, **options),
            "MetaSGD": lambda: MetaSGD(network, lr, **options),
            "MAMLPlusPlus": lambda: MAMLPlusPlus(network, lr, self.steps, **options),
        }
        self.learner = makers[learner]()
        self.flow_before = self.flow(network) if self.options["cell"] is not None else []

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
        batch = self.problem.draw(
            self.problem.lesson(self.kind, step, progress), "train", self.training.tasks
        )
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
        return loss, self.family.error(outputs.detach(), batch.query_y).mean()

    def adapted(self, batch: TaskBatch) -> Tensor:
        learner = self.learner.clone(tasks=len(batch), first_order=True)
        for _ in range(self.steps):
            learner.adapt(self.family.loss(learner(batch.support_x), batch.support_y))
        with torch.no_grad():
            return learner(batch.query_x)

    def details(self) -> dict[str, Any]:
        if self.options["cell"] is None:
            return {}
        after = self.flow(self.learner.module)
        return {"gradient_flow": {"before": self.flow_before, "after": after}}


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
