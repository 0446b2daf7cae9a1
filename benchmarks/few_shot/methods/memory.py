"""Memory learner with a recurrent encoder: adapts by writing, without gradient steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.methods.method import ClassificationMethod
from benchmarks.few_shot.problems.classification_problem import ClassificationProblem, ways_of
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from l2l_rnn.algorithms import MemoryLearner
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import accuracy, cross_entropy
from l2l_rnn.memory import DeltaFastWeights, HebbianFastWeights, KeyValueMemory, Store
from l2l_rnn.models import MemoryModel

MEMORIES: dict[str, Callable[..., Store]] = {
    "key-value": KeyValueMemory,
    "delta": DeltaFastWeights,
    "hebbian": HebbianFastWeights,
}


class MemoryMethod(ClassificationMethod):
    """Meta-learns what to write for the support set, and how to read it for the queries.

    Args:
        model: options of `SequenceEncoder`.
        memory: the memory, one of `MEMORIES`.
        memory_options: options of the memory, except for the sizes of keys and values.
        training: settings of the meta-training; its ways may exceed those of the test tasks.
        key_size: `K`; None uses the encoder's output as keys.
        unit_keys: whether keys are scaled to length 1.
        writes: number of writes of the support set in meta-training; each writes the remaining
            error.
        test_writes: number of writes for validation and test tasks; None uses `writes`.
        class_weight: weight of a second training loss, the cross-entropy of a linear head over all
            training classes.
    """

    has_learner = True

    def __init__(
        self,
        problem: ClassificationProblem,
        label: str,
        *,
        model: dict[str, Any],
        memory: str,
        training: Training,
        memory_options: dict[str, Any] | None = None,
        key_size: int | None = None,
        unit_keys: bool = False,
        writes: int = 1,
        test_writes: int | None = None,
        class_weight: float = 0.0,
    ) -> None:
        super().__init__(problem, label)
        self.training, self.class_weight = training, class_weight
        self.writes = writes
        self.adaptation_steps = writes if test_writes is None else test_writes
        encoder = problem.encoder(**model)
        size = encoder.output_size if key_size is None else key_size
        # The value has a number for each class of the largest tasks; others use the first ones.
        ways = max(training.most_ways, problem.spec.ways, *problem.spec.more_ways)
        options = {"key_size": size, "value_size": ways, **(memory_options or {})}
        store = MEMORIES[memory](**options)
        self.learner = MemoryLearner(MemoryModel(encoder, store, unit_keys=unit_keys)).to(
            problem.device
        )
        self.head = nn.Linear(encoder.output_size, len(problem.train.classes)).to(problem.device)

    def train(self) -> History:
        both = nn.ModuleList([self.learner, self.head])
        tasks = self.problem.training_tasks(self.training, self.problem.seed)
        return run_training(
            both,
            self.training,
            lambda step, progress: self._loss(*tasks.batch(step, progress)),
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )

    def _loss(self, batch: TaskBatch, classes: TaskBatch) -> tuple[Tensor, Tensor]:
        self.learner.train()
        encoder = self.learner.module.encoder
        vectors = encoder(torch.cat([batch.support_x, batch.query_x], 1))  # (N, B, E)
        support, query = vectors.tensor_split([batch.support_x.shape[1]], 1)
        learner = self.learner.clone(tasks=len(batch))
        learner.module.encoder = nn.Identity()  # the sequences are already encoded
        learner.write(support, batch.support_y, self.writes)
        scores = learner(query)
        loss = cross_entropy(scores, batch.query_y).mean()
        if self.class_weight:
            labels = torch.cat([classes.support_y, classes.query_y], 1)
            loss = loss + self.class_weight * cross_entropy(self.head(vectors), labels).mean()
        return loss, accuracy(scores.detach(), batch.query_y).mean()

    def encoder_place(self) -> tuple[nn.Module, str]:
        return self.learner.module, "encoder"

    def predict(self, batch: TaskBatch) -> Tensor:
        self.learner.eval()
        with torch.no_grad():
            learner = self.learner.clone(tasks=len(batch))
            learner.write(batch.support_x, batch.support_y, self.adaptation_steps)
            return learner(batch.query_x)[..., : ways_of(batch)]
