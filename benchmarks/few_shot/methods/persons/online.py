"""Online adaptation to a person: one window after another, by gradient steps or memory writes."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.few_shot.methods.maml import MAMLMethod
from benchmarks.few_shot.methods.memory import MemoryMethod
from benchmarks.few_shot.methods.persons.population import PopulationModel
from benchmarks.few_shot.problems.classification_problem import ways_of
from benchmarks.few_shot.problems.drift_problem import windows_of
from l2l_rnn.algorithms import MAML
from l2l_rnn.data import TaskBatch
from l2l_rnn.functional import cross_entropy


class OnlineMAML(MAMLMethod):
    """Takes gradient steps on each window when it comes, in meta-training too.

    `inner_steps` and `test_steps` are steps for each window.
    """

    def adapt(self, learner: MAML, batch: TaskBatch, steps: int) -> None:
        for x, y in windows_of(batch, ways_of(batch)):
            for _ in range(steps):
                learner.adapt(cross_entropy(learner(x), y))


class OnlinePopulation(PopulationModel):
    """Takes gradient steps on each window, from the population's model.

    `steps` are those for each window, and `lr` is the learning rate of gradient descent.
    """

    def predict(self, batch: TaskBatch) -> Tensor:
        learner = MAML(self.classifier.eval(), self.lr).clone(tasks=len(batch), first_order=True)
        for x, y in windows_of(batch, ways_of(batch)):
            for _ in range(self.steps):
                learner.adapt(cross_entropy(learner(x), y))
        with torch.no_grad():
            scores: Tensor = learner(batch.query_x)
            return scores


class OnlineMemory(MemoryMethod):
    """Writes each window to the memory when it comes."""

    def predict(self, batch: TaskBatch) -> Tensor:
        self.learner.eval()
        with torch.no_grad():
            learner = self.learner.clone(tasks=len(batch))
            for x, y in windows_of(batch, ways_of(batch)):
                learner.write(x, y, self.adaptation_steps)
            scores: Tensor = learner(batch.query_x)
            return scores[..., : ways_of(batch)]
