"""MAML and its variants on task families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.few_shot.methods.families.family_method import MetaTrainedMethod
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from l2l_rnn.algorithms import MAML, MAMLPlusPlus, MetaSGD
from l2l_rnn.data import TaskBatch


class FamilyMAML(MetaTrainedMethod):
    """Meta-learns initial parameters and, depending on the learner, learning rates.

    Args:
        kind, network, steps: as in `FamilyMethod`.
        learner: `"MAML"`, `"MetaSGD"` or `"MAMLPlusPlus"`.
        lr: learning rate of the inner loop, or its initial value if it is learned.
        training: settings of the meta-training.
        max_grad_norm: maximum norm of the inner gradient; None for no limit.
        first_order: whether to use the first-order approximation.
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
        self.prepare(makers[learner](), training, network)

    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        weights = torch.zeros(self.steps)
        weights[-1] = 1
        if isinstance(self.learner, MAMLPlusPlus):  # multi-step loss, annealed to the last step
            weights = self.learner.step_weights(min(1.0, 2 * progress))
        learner = self.learner.clone(tasks=len(batch))
        loss = torch.zeros((), device=self.problem.device)
        for weight in weights.tolist():
            learner.adapt(self.family.loss(learner(batch.support_x), batch.support_y))
            if weight:
                outputs = learner(batch.query_x)
                loss = loss + weight * self.family.loss(outputs, batch.query_y).mean()
        return loss, outputs

    def predict(self, batch: TaskBatch) -> Tensor:
        learner = self.learner.clone(tasks=len(batch), first_order=True)
        for _ in range(self.steps):
            learner.adapt(self.family.loss(learner(batch.support_x), batch.support_y))
        with torch.no_grad():
            return learner(batch.query_x)
