"""Learning a family's task by writing its examples to a memory: no gradient step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.family_problem import FamilyProblem
from benchmarks.methods.families import FamilyMethod
from benchmarks.methods.memory import MEMORIES
from benchmarks.spec import Training
from benchmarks.training import History, train
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.data import TaskBatch
from l2l_rnn.models import MemoryModel


class FamilyMemory(FamilyMethod):
    """Meta-learns what to write of a task's examples to a memory, and how to read it.

    Args:
        kind, network: as in `FamilyMethod`; the network's encoder makes the keys.
        steps: how often the support set is written, each time what is still wrong.
        memory: which one, of `benchmarks.methods.memory.MEMORIES`.
        memory_options: its options, but for the sizes of keys and values.
        training: how it is meta-trained.
        unit_keys: whether keys are scaled to length 1.
    """

    def __init__(
        self,
        problem: FamilyProblem,
        label: str,
        *,
        memory: str,
        training: Training,
        memory_options: dict[str, Any] | None = None,
        unit_keys: bool = False,
        **family: Any,
    ) -> None:
        super().__init__(problem, label, **family)
        self.training = training
        encoder = self.network().encoder
        size = self.options["hidden_size"]
        encoder.output_size = size  # which an encoder of plain layers does not say
        options = {"key_size": size, "value_size": self.family.output_size}
        store = MEMORIES[memory](None, **options, **(memory_options or {}))
        model = MemoryModel(
            encoder, store, regression=self.family.classes is None, unit_keys=unit_keys
        )
        self.learner = MemoryLearner(model).to(problem.device)
        self.flow_before = self.flow(encoder) if self.options["cell"] is not None else []

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
        encoder: nn.Module = self.learner.module.encoder
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner = self.learner.clone(tasks=len(batch))
        learner.module.encoder = nn.Identity()  # it has read the sequences already
        learner.write(support, batch.support_y, self.steps)
        outputs = learner(query)
        loss = self.family.loss(outputs, batch.query_y).mean()
        return loss, self.family.error(outputs.detach(), batch.query_y).mean()

    def adapted(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            learner = self.learner.clone(tasks=len(batch))
            learner.write(batch.support_x, batch.support_y, self.steps)
            return learner(batch.query_x)

    def details(self) -> dict[str, Any]:
        if self.options["cell"] is None:
            return {}
        after = self.flow(self.learner.module.encoder)
        return {"gradient_flow": {"before": self.flow_before, "after": after}}
