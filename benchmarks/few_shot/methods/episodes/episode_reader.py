"""Trained readers of episodes: recurrent networks with or without a memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.few_shot.methods.episodes.episode_method import EpisodeMethod
from benchmarks.few_shot.methods.episodes.episode_network import network_of_size
from benchmarks.few_shot.problems.episode_problem import EpisodeProblem
from benchmarks.few_shot.spec import Training
from benchmarks.few_shot.training import History, run_training
from benchmarks.sizes import parameter_count
from l2l_rnn.data import Episodes


class EpisodeReader(EpisodeMethod):
    """Trains a network to read episodes.

    Args:
        encoder, pretraining: as in `EpisodeMethod`.
        network: options of `EpisodeNetwork`, without its size.
        parameters: desired number of parameters; the size of the network is chosen to match it.
        training: settings of the training; `tasks` is the number of episodes per step.
        grow: fraction of the training during which episodes grow to their full size.
    """

    def __init__(
        self,
        problem: EpisodeProblem,
        label: str,
        *,
        encoder: dict[str, Any],
        pretraining: Training,
        network: dict[str, Any],
        parameters: int,
        training: Training,
        grow: float = 0.5,
    ) -> None:
        super().__init__(problem, label, encoder=encoder, pretraining=pretraining)
        self.network, self.parameters = network, parameters
        self.training, self.grow = training, grow

    def train(self) -> History:
        pretraining = super().train()
        items, ways = self.items["train"], self.problem.spec.ways
        vector_size = items.sequences.shape[-1]
        reader = network_of_size(self.parameters, vector_size, ways, **self.network)
        self.reader = reader.to(self.problem.device)
        tasks = self.problem.training_episodes(
            items, self.training.tasks, self.grow, self.problem.seed
        )
        history = run_training(
            self.reader,
            self.training,
            lambda step, progress: self._loss(tasks.batch(step, progress)),
            lambda: self.validation_score(self.training.validation_tasks),
            label=self.label,
            tasks_per_step=self.training.tasks,
        )
        return history.started_from(pretraining)

    def _loss(self, episodes: Episodes) -> tuple[Tensor, Tensor]:
        self.reader.train()
        scores = self.reader(episodes.x.squeeze(2), episodes.previous)
        loss = F.cross_entropy(scores.flatten(0, 1), episodes.y.flatten())
        return loss, (scores.argmax(-1) == episodes.y).float().mean()

    def predict(self, episodes: Episodes) -> Tensor:
        self.reader.eval()
        with torch.no_grad():
            return self.reader(episodes.x.squeeze(2), episodes.previous)

    def details(self) -> dict[str, Any]:
        return {"parameters": parameter_count(self.reader)}
