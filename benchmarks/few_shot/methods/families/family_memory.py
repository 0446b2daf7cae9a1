"""Memory learner on task families: adapts by writing, without gradient steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.families.family_method import MetaTrainedMethod
from benchmarks.few_shot.methods.memory import MEMORIES
from benchmarks.few_shot.problems.family_problem import FamilyProblem
from benchmarks.few_shot.spec import Training
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.data import TaskBatch
from l2l_rnn.models import MemoryModel


class FamilyMemory(MetaTrainedMethod):
    """Meta-learns what to write for a task's examples, and how to read it.

    Args:
        kind, network: as in `FamilyMethod`; the network's encoder computes the keys.
        steps: number of writes of the support set; each writes the remaining error.
        memory: the memory, one of `benchmarks.few_shot.methods.memory.MEMORIES`.
        memory_options: options of the memory, except for the sizes of keys and values.
        training: settings of the meta-training.
        unit_keys: whether keys are scaled to length 1.
        in_order: whether the examples of a support set are written one after the other.
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
        in_order: bool = False,
        **family: Any,
    ) -> None:
        super().__init__(problem, label, **family)
        encoder = self.network().encoder
        size = self.options["hidden_size"]
        encoder.output_size = size  # not set for an encoder of plain layers
        options = {"key_size": size, "value_size": self.family.output_size}
        store = MEMORIES[memory](**options, **(memory_options or {}))
        model = MemoryModel(
            encoder, store, regression=self.family.classes is None, unit_keys=unit_keys
        )
        self.prepare(MemoryLearner(model, in_order=in_order).to(problem.device), training, encoder)

    def batch_loss(self, batch: TaskBatch, progress: float) -> tuple[Tensor, Tensor]:
        encoder: nn.Module = self.learner.module.encoder
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner = self.learner.clone(tasks=len(batch))
        learner.module.encoder = nn.Identity()  # the sequences are already encoded
        learner.write(support, batch.support_y, self.steps)
        outputs = learner(query)
        return self.family.loss(outputs, batch.query_y).mean(), outputs

    def predict(self, batch: TaskBatch) -> Tensor:
        with torch.no_grad():
            learner = self.learner.clone(tasks=len(batch))
            learner.write(batch.support_x, batch.support_y, self.steps)
            return learner(batch.query_x)
