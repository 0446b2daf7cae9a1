"""Learning a family's task by writing its examples to a memory: no gradient step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.families import MetaTrained
from benchmarks.few_shot.methods.memory import MEMORIES
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.data import TaskBatch
from l2l_rnn.models import MemoryModel


class FamilyMemory(MetaTrained):
    """Meta-learns what to write of a task's examples to a memory, and how to read it.

    Args:
        kind, network: as in `FamilyMethod`; the network's encoder makes the keys.
        steps: how often the support set is written, each time what is still wrong.
        memory: which one, of `benchmarks.few_shot.methods.memory.MEMORIES`.
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
        encoder = self.network().encoder
        size = self.options["hidden_size"]
        encoder.output_size = size  # which an encoder of plain layers does not say
        options = {"key_size": size, "value_size": self.family.output_size}
        store = MEMORIES[memory](**options, **(memory_options or {}))
        model = MemoryModel(
            encoder, store, regression=self.family.classes is None, unit_keys=unit_keys
        )
        self.begin(MemoryLearner(model).to(problem.device), training, encoder)

    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        encoder: nn.Module = self.learner.module.encoder
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner = self.learner.clone(tasks=len(batch))
        learner.module.encoder = nn.Identity()  # it has read the sequences already
        learner.write(support, batch.support_y, self.steps)
        outputs = learner(query)
        return self.family.loss(outputs, batch.query_y).mean(), outputs

    def adapted(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            learner = self.learner.clone(tasks=len(batch))
            learner.write(batch.support_x, batch.support_y, self.steps)
            return learner(batch.query_x)
