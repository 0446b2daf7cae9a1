"""Methods that classify the items of an episode in sequence."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.few_shot.columns import Instance
from benchmarks.few_shot.methods.method import Method
from benchmarks.few_shot.methods.protonet import ProtoNetMethod
from benchmarks.few_shot.problems.episode_problem import EpisodeProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History
from l2l_rnn.algorithms import ProtoNet
from l2l_rnn.data import SPLITS, Episodes, SequenceDataset


class EpisodeMethod(Method):
    """Classifies the items of episodes, given their features from a pre-trained encoder.

    The encoder is meta-trained as a ProtoNet, then frozen. Methods with the same settings share it.

    Args:
        encoder: options of the problem's encoder.
        pretraining: settings of the encoder's training.
    """

    problem: EpisodeProblem

    def __init__(
        self,
        problem: EpisodeProblem,
        label: str,
        *,
        encoder: dict[str, Any],
        pretraining: Training,
    ) -> None:
        super().__init__(problem, label)
        self.metric = ProtoNetMethod(problem, "encoder", model=encoder, training=pretraining)
        self.items: dict[str, SequenceDataset] = {}

    @classmethod
    def trainings(cls, options: dict[str, Any]) -> dict[str, Training]:
        metric = {"model": options["encoder"], "training": options["pretraining"]}
        return ProtoNetMethod.trainings(metric) | super().trainings(options)

    def train(self) -> History:
        history = self.metric.train()
        (encoder,) = self.metric.encoders
        for split in SPLITS:
            key = ("vectors", split, id(encoder))
            if key not in self.problem.memo:
                self.problem.memo[key] = self.problem.vectors(split, encoder)
            self.items[split] = self.problem.memo[key]
        return history

    @abstractmethod
    def predict(self, episodes: Episodes) -> Tensor:
        """Compute the scores of all labels for each item, `(N, T, C)`."""

    def evaluate(self, column: Instance) -> Tensor:
        return self.accuracies("test", self.problem.test_tasks, column.instance)

    def accuracies(self, split: str, episodes: int, instance: int) -> Tensor:
        """Compute the accuracy on the given instance of each class, `(episodes,)`."""
        found = []
        tasks = self.problem.evaluation_episodes(split, self.items[split], episodes)
        for part in _chunks(tasks, self.chunk):
            right = self.predict(part).argmax(-1) == part.y
            found.append(right[part.instance == instance].view(len(part), -1).float().mean(-1))
        return torch.cat(found).cpu()

    def validation_score(self, episodes: int) -> float:
        """Return the mean accuracy on validation episodes, over all columns except the first."""
        instances = [i for i in self.problem.spec.instances if i > 1]
        means = [self.accuracies("validation", episodes, i).mean().item() for i in instances]
        return sum(means) / len(means)


class RunningClassMeans(EpisodeMethod):
    """Predicts the class with the nearest mean of the items labeled so far, without a memory.

    Args:
        encoder, pretraining: as in `EpisodeMethod`.
    """

    def predict(self, episodes: Episodes) -> Tensor:
        vectors = episodes.x.squeeze(2)
        learner = ProtoNet(nn.Identity(), self.problem.spec.ways).clone(tasks=len(episodes))
        scores = [episodes.previous[:, 0]]  # no label is known yet
        for t in range(1, vectors.shape[1]):
            learner.write(vectors[:, t - 1 : t], episodes.y[:, t - 1 : t])
            known = episodes.previous[:, : t + 1].amax(1)
            outputs = learner(vectors[:, t : t + 1]).squeeze(1)
            scores.append(outputs.masked_fill(known == 0, -torch.inf))
        return torch.stack(scores, 1)


def _chunks(episodes: Episodes, size: int) -> Iterator[Episodes]:
    parts = (episodes.x, episodes.previous, episodes.y, episodes.instance)
    for chunk in zip(*(part.split(size) for part in parts), strict=True):
        yield Episodes(*chunk)
